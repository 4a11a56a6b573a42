"""A float bundle with its INT8 variants added, from calibration faces that are kept apart.

Not a quantiser: the files beside this one are. Not a judge: what INT8 cost is measured downstream.
"""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from landmint.export.isolated import missing_packages, run_isolated
from landmint.quantize.calibration import Calibration, calibrate
from landmint.quantize.config import Format, QuantizeConfig
from landmint.runtime.bundle import Bundle, Manifest, Variant, write_bundle
from landmint.runtime.contract import Layout
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import read_json
from landmint.runtime.machine import installed
from landmint.train.faces.face import FaceSet

PRECISION = "int8"

_GRAPH = "onnx/float32"
_WORKER = "landmint.quantize.worker"
_TOOLS = ("onnx", "onnxruntime", "nncf", "openvino", "ai-edge-quantizer", "tensorrt")


@dataclass(frozen=True)
class _Way:
    """How one format becomes INT8."""

    source: str
    """The float variant to start from; it has the same layout."""
    engine: str
    """What runs the result."""
    packages: tuple[str, ...]
    """What the quantiser imports."""
    suffixes: tuple[str, ...]
    """Of the files that may come of it, what the engine opens first."""
    target: str
    """Suffix of the file that the quantiser writes."""


_WAYS: Mapping[Format, _Way] = MappingProxyType(
    {
        "onnx": _Way(
            source="onnx/float32",
            engine="onnxruntime",
            packages=("onnx", "onnxruntime"),
            suffixes=(".onnx",),
            target=".onnx",
        ),
        "openvino": _Way(
            source="openvino/float32",
            engine="openvino",
            packages=("openvino", "nncf"),
            suffixes=(".xml", ".bin"),
            target=".xml",
        ),
        "tflite": _Way(
            source="tflite/float32",
            engine="litert",
            packages=("ai_edge_litert", "ai_edge_quantizer", "flatbuffers"),
            suffixes=(".tflite",),
            target=".tflite",
        ),
        "tensorrt": _Way(
            source="onnx/float32",
            engine="tensorrt",
            packages=("onnx", "onnxruntime"),
            suffixes=(".engine", ".onnx"),
            target=".onnx",
        ),
    }
)


def quantize_bundle(
    bundle: Bundle,
    calibration: FaceSet,
    evaluation: FaceSet,
    config: QuantizeConfig,
    final: Path,
    progress: Callable[[str], None] = lambda step: None,
) -> Bundle:
    """Write a bundle with every variant of `bundle` and the INT8 variants of `config.formats`.

    INT8 variants that `bundle` already had are left out. A variant whose library or float source
    is missing stands in the manifest with the reason.

    Args:
        bundle: of `landmint.export`.
        calibration: faces to choose the calibration set from.
        evaluation: faces that the variants will be measured on; looked at only to make sure that
            no image and no person is in both sets.
        config: formats and calibration.
        final: folder of the new bundle.
        progress: told of each step before it starts.

    Raises:
        LandmintError: the calibration set is too small, unsound or shares a face with the
            evaluation set; or a converter failed, or made a variant that does not run.
    """
    progress("choose calibration faces and compare them with the evaluation set")
    chosen = calibrate(calibration, evaluation, bundle.manifest.contract, config)

    def build(folder: Path) -> Manifest:
        variants = _copy_float(bundle, folder)
        for format_ in dict.fromkeys(config.formats):
            progress(f"quantise to {format_} and run it")
            variants.append(_quantise(bundle, folder, format_, chosen, config))
        return replace(
            bundle.manifest,
            variants=tuple(variants),
            tools={**bundle.manifest.tools, **installed(_TOOLS)},
            calibration=chosen.record,
        )

    return write_bundle(final, build)


def _copy_float(bundle: Bundle, folder: Path) -> list[Variant]:
    """Copy all files that are not of INT8 variants; the variants that were copied."""
    old = [variant for variant in bundle.manifest.variants if variant.precision == PRECISION]
    dropped = {name for variant in old for name in variant.files}
    for name in bundle.manifest.files:
        if name not in dropped:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle.path / name, folder / name)
    return [variant for variant in bundle.manifest.variants if variant not in old]


def _quantise(
    bundle: Bundle, folder: Path, format_: Format, chosen: Calibration, config: QuantizeConfig
) -> Variant:
    """Make one INT8 variant and run it on a few faces, in a process of its own.

    Raises:
        LandmintError: the quantiser failed, or the variant does not run.
    """
    way, name = _WAYS[format_], f"{format_}/{PRECISION}"
    reason = (
        missing_packages(*way.packages)
        or _no_source(bundle, way.source)
        or _no_source(bundle, _GRAPH)
    )
    if reason:
        return Variant(name, way.engine, layout=_layout_of(format_), reason=reason)
    source = bundle.variant(way.source)
    with tempfile.TemporaryDirectory(prefix="landmint-") as work:
        crops, notes = Path(work) / "crops.npy", Path(work) / "notes.json"
        np.save(crops, chosen.crops)
        request = {
            "module": f"landmint.quantize.int8_{format_}",
            "source": str(bundle.entry(source).absolute()),
            "source_engine": source.engine,
            "graph": str(bundle.entry(bundle.variant(_GRAPH)).absolute()),
            "target": str((folder / f"{name}{way.target}").absolute()),
            "engine": way.engine,
            "crops": str(crops),
            "contract": bundle.contract_of(source).to_json(),
            "config": config.model_dump(mode="json"),
            "notes": str(notes),
        }
        run_isolated(_WORKER, request, fact=f"{source.name} could not be quantised to {name}")
        made = read_json(notes)
    files = (f"{name}{suffix}" for suffix in way.suffixes)
    there = tuple(file for file in files if (folder / file).is_file())
    return Variant(name, way.engine, there, source.layout, notes=made)


def _layout_of(format_: Format) -> Layout:
    return "NHWC" if format_ == "tflite" else "NCHW"


def _no_source(bundle: Bundle, name: str) -> str:
    """Why the bundle has no float variant to start from; empty when it has."""
    try:
        bundle.entry(bundle.variant(name))
    except LandmintError as error:
        return f"it is made from {name}: {error.reason or 'the bundle has no such variant'}"
    return ""
