"""Exports a trained network to a bundle: every float form, each compared with the network.

The conversion to each format stands in `forms/`.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

from landmint.export.bundle_decoded import decoded_twins
from landmint.export.config import LINT_FILE, ExportConfig
from landmint.export.finding import write_findings
from landmint.export.forms import Export
from landmint.export.forms.onnx import to_onnx
from landmint.export.fused_decode import fusable_decoder
from landmint.export.isolated import missing_packages, why_not
from landmint.export.lint import EVERY, lint
from landmint.export.parity import (
    Crops,
    Tensors,
    compare,
    crops_for_parity,
    engine_outputs,
    require,
    torch_outputs,
)
from landmint.runtime.bundle import Bundle, Manifest, Variant, write_bundle
from landmint.runtime.contract import Contract
from landmint.runtime.engines import load_engine
from landmint.runtime.errors import NotMeasuredError
from landmint.runtime.formats import (
    FORMATS,
    SOURCE,
    SOURCE_VARIANT,
    TORCH,
    Format,
    FormatRecord,
    export_tools,
    load,
)
from landmint.runtime.machine import installed
from landmint.runtime.progress import SILENT, Progress
from landmint.train.faces.face import FaceSet
from landmint.train.models import save_model
from landmint.train.models.base import LandmarkModel

TORCH_WEIGHTS = "torch/model.safetensors"
"""Path in a bundle of the trained network's own weights."""
ONNX = f"{SOURCE_VARIANT}.onnx"
"""Path in a bundle of the ONNX graph, which every other form is made from."""

_TOOLS = ("landmint", "torch", "timm")


class Origin(Protocol):
    """A network of which forms are made: one that was trained here, or one that was imported."""

    @property
    def name(self) -> str:
        """Name of the model, for the manifest."""

    @property
    def contract(self) -> Contract:
        """What the network takes and returns."""

    def outputs(self, crops: Crops) -> Tensors:
        """Canonical outputs (N, ...) of crops (N, S, S, 3), which every form is compared with.

        Raises:
            LandmintError: an output is not finite.
        """

    def save(self, folder: Path) -> Variant:
        """Write the network itself into a bundle's folder; returns its variant, the reference."""

    @property
    def source(self) -> Format:
        """The format that is made of the network itself, as float32."""

    @property
    def label(self) -> str:
        """What the network is, in a sentence."""

    def write_source(self, path: Path) -> None:
        """Write the network in the format `source`, with its contract inside.

        Raises:
            LandmintError: the graph does not fit the contract.
        """


@dataclass(frozen=True, eq=False)
class Trained:
    """The origin that is a network of landmint's own."""

    model: LandmarkModel
    """It is neither moved nor changed."""

    @property
    def name(self) -> str:
        """Architecture, trunk and input size: "pipnet-mobilenetv3_small_100-128"."""
        config = self.model.config
        return "-".join((config.name, self.model.backbone_of(config), str(config.input_size)))

    @property
    def contract(self) -> Contract:
        """As `Origin` says."""
        return self.model.contract

    def outputs(self, crops: Crops) -> Tensors:
        """As `Origin` says."""
        return torch_outputs(self.model, crops)

    def save(self, folder: Path) -> Variant:
        """As `Origin` says."""
        save_model(self.model, folder / TORCH_WEIGHTS)
        return Variant(TORCH, "torch", (TORCH_WEIGHTS,))

    source: ClassVar[Format] = SOURCE
    label: ClassVar[str] = "the network"

    def write_source(self, path: Path) -> None:
        """As `Origin` says."""
        to_onnx(self.model, path)


def export_bundle(
    network: LandmarkModel | Origin,
    faces: FaceSet,
    config: ExportConfig,
    final: Path,
    provenance: Mapping[str, Any],
    progress: Progress = SILENT,
) -> Bundle:
    """Write a bundle with a network in every form that `config` asks for.

    The network itself is the reference. Every other float32 variant must
    be in parity with it; how far float16 variants are from it is noted. Before the other forms are
    made of the ONNX graph, it is linted, and the findings are stored in the bundle. A form whose
    converter is not installed or fails, that the linter refuses, or that is not in parity, becomes
    a variant with the reason.

    Args:
        network: trained here, or imported.
        faces: real faces, for the crops of the parity check.
        config: the forms and the tolerance.
        final: folder of the bundle.
        provenance: where the network comes from, for the manifest.
        progress: called before each step.

    Raises:
        LandmintError: there is no face or an image cannot be read; the network's first form, which
            the others are made of, cannot be written or is not in parity; or the decode cannot be
            put into the graph though `config` asks for it.
    """
    origin = Trained(network) if isinstance(network, LandmarkModel) else network
    contract = origin.contract
    if config.fuse_decode:
        fusable_decoder(contract)  # refuse at once what cannot be fused
    crops = crops_for_parity(faces, contract, config.parity_faces)
    check = FormCheck(contract, config, crops, origin.outputs(crops))

    def build(folder: Path) -> Manifest:
        variants = [origin.save(folder)]
        variants += _export_all(origin, config, check, folder, progress)
        if config.fuse_decode:
            progress.step("put the decode into the graphs and compare with numpy's")
            variants += decoded_twins(folder, contract, variants, crops)
        return Manifest(
            name=origin.name,
            contract=contract,
            variants=tuple(variants),
            provenance=dict(provenance),
            tools=installed((*_TOOLS, *export_tools())),
        )

    return write_bundle(final, build)


def _export_all(
    origin: Origin, config: ExportConfig, check: "FormCheck", folder: Path, progress: Progress
) -> Iterator[Variant]:
    """Export to the source, then to every other format; each is compared with the network."""
    progress.step(f"export to {origin.source} and compare with the network")
    yield from (check(folder, variant) for variant in _export_source(origin, folder))
    refusals = _lint(origin.contract, folder, config.formats)
    for name in dict.fromkeys(config.formats):
        if name != origin.source:
            progress.step(f"export to {name} and compare with the network")
            refusal = refusals.get(name, "")
            if origin.source != SOURCE:
                refusal = f"it is made of {SOURCE_VARIANT}, and {origin.label} does not become ONNX"
            yield from float_forms(name, folder, check, refusal)


def _lint(contract: Contract, folder: Path, formats: Sequence[Format]) -> dict[str, str]:
    """Lint the ONNX file and store the findings.

    Returns:
        for each format that cannot be made of this file, the reason.
    """
    if not (folder / ONNX).is_file():
        return {}
    import onnx

    findings = lint(onnx.load(folder / ONNX), contract, formats)
    write_findings(folder / LINT_FILE, findings)
    refusals: dict[str, str] = {}
    for finding in findings:
        if finding.severity == "error" and finding.target != EVERY:
            refusals.setdefault(finding.target, f"{finding}; {finding.reason}")
    return refusals


def _export_source(origin: Origin, folder: Path) -> list[Variant]:
    """Write the file that is made of the network itself; returns its variant."""
    record, name = FORMATS[origin.source], f"{origin.source}/float32"
    reason = _missing(record) if origin.source == SOURCE else ""
    variant = Variant(name, record.engine, layout=record.layout, reason=reason)
    if reason:
        return [variant]
    origin.write_source(folder / f"{name}{record.graph_suffix}")
    return [replace(variant, files=record.files(folder, name))]


def float_forms(name: Format, folder: Path, check: "FormCheck", refusal: str = "") -> list[Variant]:
    """Make the float variants of a format, and compare each with the network.

    Args:
        name: any format but the source.
        folder: of the bundle; it holds the ONNX file.
        check: compares a variant with the network.
        refusal: why they are not to be tried; empty to try.

    Returns:
        the variants. Where the converter is missing or fails, or one of them computes something
        else than the network, all have the reason and no files.
    """
    record = FORMATS[name]
    variants = [
        Variant(f"{name}/{precision}", record.engine, layout=record.layout)
        for precision in record.precisions
    ]
    reason = refusal or _missing(FORMATS[SOURCE]) or _missing(record)
    if not reason:
        try:
            return _converted(variants, folder, check)
        except Exception as error:  # converters raise types of their own
            shutil.rmtree(folder / name, ignore_errors=True)
            reason = why_not(error)
    return [replace(variant, reason=reason) for variant in variants]


def _converted(variants: Sequence[Variant], folder: Path, check: "FormCheck") -> list[Variant]:
    """Write and compare the variants of one format."""
    name = variants[0].format
    record = FORMATS[name]
    (folder / name).mkdir(exist_ok=True)
    export: Export = load(record.export.function)
    notes = export(
        folder / ONNX,
        {v.precision: folder / f"{v.name}{record.graph_suffix}" for v in variants},
    )
    made = (replace(v, files=record.files(folder, v.name), notes=notes) for v in variants)
    return [check(folder, variant) for variant in made]


def _missing(record: FormatRecord) -> str:
    """Why this machine cannot write a format; empty when it can."""
    return missing_packages(*record.export.packages)


@dataclass(frozen=True)
class FormCheck:
    """Compares variants with the network, and notes the result in the manifest."""

    contract: Contract
    """What the network takes and returns."""
    config: ExportConfig
    """The tolerance."""
    crops: Crops
    """What all run on."""
    reference: Tensors = field(repr=False)
    """What the network makes of the crops."""

    def __call__(self, folder: Path, variant: Variant) -> Variant:
        """Compare a variant; returns it with the result among its notes.

        Raises:
            LandmintError: it is a float32 variant and not in parity.
        """
        if not variant.files:
            return variant
        notes = {**variant.notes, "parity": self._figures(folder, variant, variant.engine)}
        if engine := FORMATS[variant.format].graph_engine:
            # The graph can be checked where the format's own engine cannot run.
            graph = replace(variant, files=variant.files[-1:])
            notes["graph parity"] = self._figures(folder, graph, engine)
        return replace(variant, notes=notes)

    def _figures(self, folder: Path, variant: Variant, engine: str) -> str:
        contract = self.contract.with_layout(variant.layout)
        try:
            session = load_engine(engine).load(folder / variant.files[0], contract, threads=1)
            exported = engine_outputs(session, contract, self.crops)
        except NotMeasuredError as error:
            return f"not measured: {error.fact}"
        parity = compare(self.contract, self.reference, exported)
        if variant.precision == "float32":
            require(variant.name, parity, self.config.mean_px, self.config.max_px)
        return f"{parity} ({engine}, {session.executed_precision})"
