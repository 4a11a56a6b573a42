"""From a float bundle to a new bundle that holds quantised variants as well.

This file chooses the calibration faces, starts a process for each variant, and writes the bundle.
How a format is quantised stands in `forms/`; what that cost is measured downstream.
"""

import itertools
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from landmint.export.bundle_decoded import decoded_twins
from landmint.export.isolated import missing_packages, run_isolated, why_not
from landmint.quantize.config import QuantizeConfig
from landmint.quantize.decide.calibration import Calibration, calibrate
from landmint.quantize.decide.decision import RANGES
from landmint.quantize.decide.features import features_of
from landmint.runtime.bundle import Bundle, Manifest, Variant, remove_variant, write_bundle
from landmint.runtime.contract import Contract
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import read_json
from landmint.runtime.formats import (
    FORMATS,
    INT8,
    QUANTIZED,
    SOURCE,
    SOURCE_VARIANT,
    Format,
    Maker,
    quantize_tools,
)
from landmint.runtime.machine import installed
from landmint.runtime.progress import SILENT, Progress
from landmint.runtime.scratch import scratch_folder
from landmint.train.faces.face import Face, FaceSet

_DECIDER = ("onnx", "onnxruntime")
_WORKER = "landmint.quantize.worker"
_TRIED_FACES = 8  # on so many, a decode in the graph is compared with numpy's


def quantize_bundle(
    bundle: Bundle,
    calibration: FaceSet,
    evaluation: FaceSet,
    config: QuantizeConfig,
    final: Path,
    progress: Progress = SILENT,
    adapted: Bundle | None = None,
) -> Bundle:
    """Write a bundle with the float variants of `bundle` and the quantised ones of `config`.

    Quantised variants that `bundle` already had are left out. A variant whose library or float
    source is missing, whose quantiser fails, or that does not run stands in the manifest with the
    reason. Where `bundle` has variants with the decode in the graph, so has INT8; only the network
    is INT8 there.

    Args:
        bundle: of `landmint.export`.
        calibration: faces to choose the calibration set from.
        evaluation: faces that the variants will be measured on; looked at only to make sure that
            no image and no person is in both sets.
        config: formats and calibration.
        final: folder of the new bundle.
        progress: called before each step.
        adapted: a float bundle of the same network after quantisation-aware training. INT8 is then
            made from its weights, and the float variants still come from `bundle`.

    Raises:
        LandmintError: `config` wants a precision that none of its formats has, or an explanation
            without ONNX's INT8, or names a layer that there is not; the calibration set is too
            small, unsound or shares a face with the evaluation set; `adapted` is another network;
            or no range can be decided.
    """
    _refuse_to_make_nothing(config)
    progress.step("choose calibration faces and compare them with the evaluation set")
    contract = bundle.manifest.contract
    features = partial(_features, bundle) if config.strategy == "features" else None
    chosen = calibrate(calibration, evaluation, contract, config, features)
    provenance = _provenance(bundle, adapted)

    def build(folder: Path) -> Manifest:
        variants = _copy_float(bundle, folder)
        with scratch_folder() as scratch:
            work = _Work(adapted or bundle, folder, scratch, config)
            made = work.quantise(chosen, progress)
        if any(variant.decoded for variant in variants):
            made += decoded_twins(folder, contract, made, chosen.crops[:_TRIED_FACES])
        variants += made
        return replace(
            bundle.manifest,
            variants=tuple(variants),
            provenance=provenance,
            tools={**bundle.manifest.tools, **installed(quantize_tools())},
            calibration=chosen.record,
        )

    return write_bundle(final, build)


def _refuse_to_make_nothing(config: QuantizeConfig) -> None:
    for precision in config.unavailable:
        having = [name for name, record in FORMATS.items() if precision in record.quantized]
        raise LandmintError(
            f"no {precision} can be made of {', '.join(config.formats)}",
            reason=f"it is a precision of {', '.join(having)}",
            remedy="add that to quantize.formats, or leave the precision out",
        )
    if config.explains and f"{SOURCE}/{INT8}" not in config.variants:
        raise LandmintError(
            f"there is nothing to explain without {SOURCE}/{INT8}",
            reason="layers are looked at in the ONNX INT8 graph",
            remedy=f'add "{SOURCE}" to quantize.formats and "{INT8}" to quantize.precisions, or '
            "explain nothing",
        )


def _features(bundle: Bundle, faces: Sequence[Face]) -> NDArray[np.float32]:
    """Feature vectors (N, F) of faces, computed by the bundle's float ONNX graph."""
    variant = bundle.variant(SOURCE_VARIANT)
    bundle.check_artefact(variant)
    model = onnx.load(bundle.entry(variant))
    return features_of(model, bundle.manifest.contract, faces)


@dataclass(frozen=True)
class _Work:
    """Makes the quantised variants of one bundle."""

    bundle: Bundle
    folder: Path
    scratch: Path
    config: QuantizeConfig

    def quantise(self, chosen: Calibration, progress: Progress) -> list[Variant]:
        """Decide the ranges of all tensors once, then make every variant with them.

        Raises:
            LandmintError: a range could not be decided, or the settings name a layer that the
                graph does not have.
        """
        makers = {name: _maker_of(name) for name in self.config.variants}
        reasons = {name: self._missing(name, maker) for name, maker in makers.items()}
        if not all(reasons.values()):
            progress.step("decide the range of every tensor")
            np.save(self.scratch / "crops.npy", chosen.crops)
            self._decide([image["name"] for image in chosen.record["images"]])
        variants = []
        for name, maker in makers.items():
            progress.step(f"quantise to {name} and run it")
            variants.append(self._variant(name, maker, reasons[name]))
        return variants

    def _missing(self, name: str, maker: Maker) -> str:
        """Why a variant cannot be made here; empty when it can."""
        wanted = (names for key, names in maker.extras.items() if getattr(self.config, key))
        extras = itertools.chain.from_iterable(wanted)
        return (
            missing_packages(*_DECIDER, *maker.packages, *extras)
            or _no_source(self.bundle, maker.source)
            or _no_source(self.bundle, SOURCE_VARIANT)
            or _no_float_form(self.bundle, name.partition("/")[0])
        )

    def _request(self, task: str, contract: Contract) -> dict[str, Any]:
        return {
            "task": task,
            "graph": str(self.bundle.entry(self.bundle.variant(SOURCE_VARIANT)).absolute()),
            "crops": str(self.scratch / "crops.npy"),
            "contract": contract.to_json(),
            "config": self.config.model_dump(mode="json")
            | {"ranges": self.config.ranges and str(self.config.ranges.absolute())},
            "ranges": str((self.folder / RANGES).absolute()),
        }

    def _decide(self, faces: list[str]) -> None:
        self.bundle.check_artefact(self.bundle.variant(SOURCE_VARIANT))
        request = self._request("decide", self.bundle.manifest.contract) | {"faces": faces}
        run_isolated(_WORKER, request, fact=f"no ranges could be drawn for {SOURCE_VARIANT}")

    def _variant(self, name: str, maker: Maker, reason: str) -> Variant:
        """Make one variant and run it on a few faces, in a process of its own."""
        record = FORMATS[name.partition("/")[0]]
        if reason:
            return Variant(name, record.engine, layout=record.layout, reason=reason)
        source = self.bundle.variant(maker.source)
        self.bundle.check_artefact(source)
        notes = self.scratch / f"{name.replace('/', '-')}.json"
        request = self._request("quantise", self.bundle.contract_of(source)) | {
            "function": maker.function,
            "source": str(self.bundle.entry(source).absolute()),
            "source_engine": source.engine,
            "target": str((self.folder / f"{name}{record.graph_suffix}").absolute()),
            "engine": record.engine,
            "notes": str(notes),
        }
        try:
            run_isolated(_WORKER, request, fact=f"{source.name} could not be quantised to {name}")
        except LandmintError as error:
            remove_variant(self.folder, name)
            return Variant(name, record.engine, layout=record.layout, reason=why_not(error))
        files = record.files(self.folder, name)
        return Variant(name, record.engine, files, source.layout, notes=read_json(notes))


def _maker_of(variant: str) -> Maker:
    name, _, precision = variant.partition("/")
    return FORMATS[name].quantized[precision]


def _provenance(bundle: Bundle, adapted: Bundle | None) -> dict[str, Any]:
    """The bundle's provenance, with that of the adapted weights, which must be of its network."""
    if adapted is None:
        return dict(bundle.manifest.provenance)
    if adapted.manifest.contract != bundle.manifest.contract:
        raise LandmintError(
            f"the adapted weights are not those of the network in {bundle.path}",
            reason="their contracts differ",
            remedy="give weights that `landmint qat` made of this bundle's network",
        )
    return {**bundle.manifest.provenance, "qat": dict(adapted.manifest.provenance)}


def _copy_float(bundle: Bundle, folder: Path) -> list[Variant]:
    """Copy the files of all float variants; returns the variants that were copied."""
    old = [variant for variant in bundle.manifest.variants if variant.precision in QUANTIZED]
    dropped = {RANGES, *(name for variant in old for name in variant.files)}
    for name in bundle.manifest.files:
        if name not in dropped:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle.path / name, folder / name)
    return [variant for variant in bundle.manifest.variants if variant not in old]


def _no_source(bundle: Bundle, name: str) -> str:
    """Why the bundle has no float variant to start from; empty when it has."""
    for variant in bundle.manifest.variants:
        if variant.name == name:
            return "" if variant.files else f"it is made from {name}: {variant.reason}"
    return f"it is made from {name}: the bundle has no such variant"


def _no_float_form(bundle: Bundle, format_: Format) -> str:
    """Why the format's float variants were not built: nor can INT8 be. Empty where it can.

    ncnn and TensorRT make INT8 from ONNX, and by the same converter.
    """
    own = [variant for variant in bundle.manifest.variants if variant.format == format_]
    absent = own and not any(variant.files for variant in own)
    return f"{own[0].name} was not built: {own[0].reason}" if absent else ""
