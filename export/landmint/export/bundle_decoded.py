"""Adds to a bundle's variants copies whose graph returns landmarks: the decode is in the graph.

`fused_decode` puts it there. Each copy ("twin") is then compared with the variant it was made from,
on the same engine, with that variant's outputs decoded by numpy.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from landmint.export.isolated import missing_packages, why_not
from landmint.export.parity import Crops, engine_outputs
from landmint.runtime.bundle import Variant, remove_variant
from landmint.runtime.contract import Contract
from landmint.runtime.crop import Floats
from landmint.runtime.decode import decode
from landmint.runtime.engines import load_engine
from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.formats import FORMATS, Maker, load

NEAR_PX = 0.01
"""Greatest distance allowed between landmarks of a twin and those decoded by numpy, in crop
pixels."""


_PRECISIONS = ("float32", "int8")


def decoded_twins(
    folder: Path, contract: Contract, variants: Sequence[Variant], crops: Crops
) -> list[Variant]:
    """Make and check a twin of each float32 and INT8 variant whose format can hold a decode.

    A twin that cannot be made, or that returns other landmarks than numpy's decode, becomes a
    variant with the reason.

    Args:
        folder: folder of the bundle that is being made.
        contract: of the network without the decode.
        variants: the variants made so far.
        crops: (N, S, S, 3), on which landmarks are compared.
    """
    return [
        _twin(folder, contract, variant, crops, maker)
        for variant in variants
        if variant.precision in _PRECISIONS
        and variant.format in FORMATS
        and (maker := FORMATS[variant.format].decode)
    ]


def _twin(
    folder: Path, contract: Contract, variant: Variant, crops: Crops, maker: Maker
) -> Variant:
    name = f"{variant.format}-decoded/{variant.precision}"
    twin = replace(variant, name=name, files=(), notes={}, decoded=True)
    reason = variant.reason or missing_packages(*maker.packages)
    if reason:
        return replace(twin, reason=reason)
    files = tuple(f"{name}{Path(file).suffix}" for file in variant.files)
    (folder / name).parent.mkdir(exist_ok=True)
    try:
        load(maker.function)(folder / variant.files[0], folder / files[0])
        made = replace(twin, files=files)
        return replace(made, notes={"decode": _compare(folder, contract, variant, made, crops)})
    except Exception as error:  # converters raise types of their own
        remove_variant(folder, name)
        return replace(twin, reason=why_not(error))


def _compare(
    folder: Path, contract: Contract, variant: Variant, twin: Variant, crops: Crops
) -> str:
    """A note for the manifest: how far the twin's landmarks are from those decoded by numpy.

    Raises:
        LandmintError: they are further away than `NEAR_PX`.
    """
    try:
        expected, _ = _landmarks(folder, variant, contract, crops)
        points, precision = _landmarks(folder, twin, contract.decoded(), crops)
    except NotMeasuredError as error:
        return f"not measured: {error.fact}"
    apart = float(
        np.nan_to_num(np.linalg.norm(points - expected, axis=2), nan=np.inf, posinf=np.inf).max()
    )
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
