"""The variants of a bundle once more, with their decode in the graph.

Not the decode itself: `fused_decode` is. What is compared here is the decode alone: each twin
with the variant that it comes from, on the same engine, decoded by numpy.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from landmint.export.fused_decode import fuse_decode, fuse_decode_ir
from landmint.export.parity import Crops, engine_outputs
from landmint.export.to_openvino import to_openvino
from landmint.export.to_tflite import to_tflite
from landmint.runtime.bundle import Variant
from landmint.runtime.contract import Contract
from landmint.runtime.crop import Floats
from landmint.runtime.decode import decode
from landmint.runtime.engines import load_engine
from landmint.runtime.errors import LandmintError, NotMeasuredError

NEAR_PX = 0.01
"""A graph's own landmarks may differ by this much from numpy's, in crop pixels."""


def decoded_twins(
    folder: Path, contract: Contract, variants: Sequence[Variant], crops: Crops
) -> list[Variant]:
    """A twin of each float32 variant, and of INT8 ONNX and OpenVINO, checked.

    Args:
        folder: of the bundle that is being made.
        contract: of the network without the decode.
        variants: those made so far.
        crops: (N, S, S, 3), to compare the decodes on.

    Raises:
        LandmintError: the decode cannot be fused, or a graph decodes otherwise than numpy.
    """
    made = []
    for variant in variants:
        if variant.name not in _TWINS:
            continue
        name = f"{variant.format}-decoded/{variant.precision}"
        twin = replace(variant, name=name, files=(), notes={}, decoded=True)
        if variant.files:
            files = _TWINS[variant.name](folder / variant.files[0], folder / name)
            twin = replace(twin, files=tuple(str(file.relative_to(folder)) for file in files))
            twin = replace(twin, notes={"decode": _compare(folder, contract, variant, twin, crops)})
        made.append(twin)
    return made


def _onnx(source: Path, target: Path) -> tuple[Path, ...]:
    made = target.with_suffix(".onnx")
    fuse_decode(source, made)
    return (made,)


def _openvino(source: Path, target: Path) -> tuple[Path, ...]:
    return to_openvino(_fused(target), target.with_suffix(".xml"))


def _openvino_int8(source: Path, target: Path) -> tuple[Path, ...]:
    made = target.with_suffix(".xml")
    fuse_decode_ir(source, made)
    return made, made.with_suffix(".bin")


def _tflite(source: Path, target: Path) -> tuple[Path, ...]:
    return tuple(to_tflite(_fused(target), target.parent, ("float32",)).values())


def _fused(target: Path) -> Path:
    """The ONNX twin, which is made first."""
    return target.parents[1] / "onnx-decoded" / "float32.onnx"


_TWINS: Mapping[str, Callable[[Path, Path], tuple[Path, ...]]] = MappingProxyType(
    {
        "onnx/float32": _onnx,
        "onnx/int8": _onnx,
        "openvino/float32": _openvino,
        "openvino/int8": _openvino_int8,
        "tflite/float32": _tflite,
    }
)
"""From the variant's file, and the path of its twin without suffix, to the twin's files."""


def _compare(
    folder: Path, contract: Contract, variant: Variant, twin: Variant, crops: Crops
) -> str:
    """How far a graph's own landmarks are from numpy's, for the manifest.

    Raises:
        LandmintError: further than `NEAR_PX`.
    """
    try:
        expected, _ = _landmarks(folder, variant, contract, crops)
        found, precision = _landmarks(folder, twin, contract.decoded(), crops)
    except NotMeasuredError as error:
        return f"not measured: {error.fact}"
    apart = float(np.nan_to_num(np.linalg.norm(found - expected, axis=2), nan=np.inf).max())
    if apart > NEAR_PX:
        raise LandmintError(
            f"{twin.name} decodes otherwise than numpy",
            reason=f"a landmark differs by {apart:.3g} px, {NEAR_PX} are allowed",
            remedy="report the network and the engine's version; set export.fuse_decode = false "
            "to go on without it",
        )
    return f"within {apart:.2g} px of numpy's over {len(crops)} crops ({twin.engine}, {precision})"


def _landmarks(
    folder: Path, variant: Variant, contract: Contract, crops: Crops
) -> tuple[Floats, str]:
    """Landmarks (N, L, 2) of a variant in crop pixels, and the precision that ran."""
    own = contract.with_layout(variant.layout)
    session = load_engine(variant.engine).load(folder / variant.files[0], own, threads=1)
    points, _ = decode(contract, engine_outputs(session, own, crops))
    return points, session.executed_precision
