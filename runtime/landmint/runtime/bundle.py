"""A bundle: a folder with one model in all its forms, and a manifest with the hash of each file.

Bundles are written, opened and checked here; what is in them is made by `export` and `quantize`.
"""

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from landmint.runtime.contract import Contract, Layout
from landmint.runtime.embedded import CARRIERS, external_locations, find_contract
from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.files import (
    atomic_path,
    read_json,
    remove_suffixed,
    remove_unfinished,
    sha256_file,
    write_json,
)
from landmint.runtime.formats import REFERENCES, is_reference
from landmint.runtime.typed_json import MismatchError, read_as

SCHEMA = 1
MANIFEST = "manifest.json"
PLAN_SUFFIX = ".engine"
"""Suffix of a TensorRT plan."""
_MOST_FILES, _MOST_VARIANTS = 1000, 200
_LARGEST_MANIFEST_BYTES = 16 * 2**20
_VARIANT_NAME = re.compile(r"[a-z0-9-]{1,40}/[a-z0-9-]{1,40}")
_REMEDY = "do not use this bundle; get one from somebody whom you trust, or export the model again"


@dataclass(frozen=True)
class Variant:
    """One form of the model: format x precision."""

    name: str
    """Format and precision, such as "tflite/int8"."""
    engine: str
    """Registry name of the engine that runs it."""
    files: tuple[str, ...] = ()
    """Paths in the bundle; the first is what the engine opens. Empty when it was not built."""
    layout: Layout = "NCHW"
    """Axis order of this artefact."""
    reason: str = ""
    """Why it was not built; empty when it was."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """What is worth knowing of how it was made, such as its parity with the reference."""

    decoded: bool = False
    """Whether its graph holds the decode, and so returns landmarks."""

    def __post_init__(self) -> None:
        """Refuse a name or a path that leads elsewhere.

        Raises:
            LandmintError: the name is not format and precision, or a path leaves the bundle.
        """
        if not _VARIANT_NAME.fullmatch(self.name):
            raise LandmintError(
                f"a variant is called {self.name[:80]!r}",
                reason='a name is format and precision, such as "tflite/int8"',
                remedy=_REMEDY,
            )
        for file in self.files:
            _check_inside(file)

    @property
    def format(self) -> str:
        """The part of the name before the slash."""
        return self.name.split("/")[0]

    @property
    def precision(self) -> str:
        """The part of the name after the slash."""
        return self.name.split("/")[1]


@dataclass(frozen=True)
class Manifest:
    """The content of a bundle, as its manifest.json says it."""

    name: str
    """Name of the model."""
    contract: Contract
    """What the model takes and returns, in NCHW."""
    variants: tuple[Variant, ...]
    """Every variant that was asked for, those that could not be built among them."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Path in the bundle to sha256."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Where the model comes from: recipe, data, training. Equal runs have equal entries."""
    tools: Mapping[str, str] = field(default_factory=dict)
    """Versions of the libraries that made it."""
    calibration: Mapping[str, Any] | None = None
    """How the calibration set was chosen and the hashes of its images."""

    @property
    def reference(self) -> Variant:
        """The variant that every other is compared with.

        Raises:
            LandmintError: there is none.
        """
        for variant in self.variants:
            if is_reference(variant.name):
                return variant
        raise LandmintError(
            f"the bundle {self.name} has no reference",
            reason=f"none of its variants is of {' or '.join(REFERENCES)}, so nothing says what "
            "the network computed before it was converted",
            remedy="make it with `landmint export`, or with `landmint import` from a model's file",
        )

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries and lists, with the schema version."""
        contract = self.contract.to_json()
        return {"schema": SCHEMA, **dataclasses.asdict(self), "contract": contract}

    @staticmethod
    def from_json(content: Any) -> "Manifest":
        """The manifest that `to_json` wrote.

        Raises:
            LandmintError: the schema is unknown, a field is missing, unknown or of the wrong type,
                a path leaves the bundle, or a variant names a file that has no hash.
        """
        schema = content.get("schema") if isinstance(content, Mapping) else None
        if schema != SCHEMA:
            raise LandmintError(
                f"manifest of schema {schema!r}"[:200],
                reason=f"this landmint reads schema {SCHEMA}",
                remedy="export the model again",
            )
        contract = Contract.from_json(content.get("contract"))
        fields = {name: value for name, value in content.items() if name != "schema"}
        try:
            written = read_as(_Written, fields, "manifest")
        except MismatchError as error:
            raise LandmintError(
                "the manifest cannot be read", reason=str(error), remedy="export the model again"
            ) from None
        values = {item.name: getattr(written, item.name) for item in dataclasses.fields(written)}
        manifest = Manifest(**{**values, "contract": contract})
        manifest._check_hashed()
        return manifest

    def _check_hashed(self) -> None:
        """Refuse a manifest that has no hash for a file of a variant."""
        if len(self.files) > _MOST_FILES or len(self.variants) > _MOST_VARIANTS:
            raise LandmintError(
                f"a bundle of {len(self.files)} files and {len(self.variants)} variants",
                reason=f"at most {_MOST_FILES} and {_MOST_VARIANTS} are read",
                remedy=_REMEDY,
            )
        for name in self.files:
            _check_inside(name)
        for variant in self.variants:
            for name in variant.files:
                if name not in self.files:
                    raise LandmintError(
                        f"{variant.name} names {name}, which has no hash in {MANIFEST}",
                        reason="nobody vouches for what stands in it",
                        remedy=_REMEDY,
                    )


@dataclass(frozen=True)
class _Written:
    """A manifest's fields as they stand in JSON; the contract is read by itself."""

    name: str
    contract: Any
    variants: tuple[Variant, ...]
    files: Mapping[str, str]
    provenance: Mapping[str, Any]
    tools: Mapping[str, str]
    calibration: Mapping[str, Any] | None


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk."""

    path: Path
    """Its folder."""
    manifest: Manifest
    """What stands in it."""
    plans: bool = False
    """Whether its TensorRT plans may run: a plan is code, and nothing checks what it does."""

    @staticmethod
    def open(path: Path, verify: bool = True, plans: bool = False) -> "Bundle":
        """Open a bundle and, unless `verify` is false, check every file against its hash.

        A bundle is input from strangers: nothing outside its folder is read or named.

        Raises:
            LandmintError: no bundle, a truncated one, a file whose hash differs, or a path or a
                link that leaves the folder.
        """
        if not (path / MANIFEST).is_file():
            raise LandmintError(
                f"{path} is no bundle",
                reason=f"it has no {MANIFEST}",
                remedy="give the folder that `landmint export` or `landmint quantize` wrote",
            )
        if (path / MANIFEST).stat().st_size > _LARGEST_MANIFEST_BYTES:
            raise LandmintError(
                f"{path / MANIFEST} has more than {_LARGEST_MANIFEST_BYTES} bytes", remedy=_REMEDY
            )
        bundle = Bundle(path, Manifest.from_json(read_json(path / MANIFEST)), plans)
        bundle._check_links()
        if verify:
            bundle._verify()
        return bundle

    def _check_links(self) -> None:
        """Refuse a file that a link, or a folder that is a link, leads out of the bundle."""
        root = self.path.resolve()
        for name in (MANIFEST, *self.manifest.files):
            try:
                inside = (self.path / name).resolve().is_relative_to(root)
            except (OSError, RuntimeError):  # links in a circle
                inside = False
            if not inside:
                raise LandmintError(
                    f"{self.path / name} leads out of the bundle",
                    reason="it is a link, or lies in a folder that is one",
                    remedy=_REMEDY,
                )

    def _verify(self) -> None:
        for name, expected in self.manifest.files.items():
            file = self.path / name
            if not file.is_file():
                raise LandmintError(
                    f"{file} is missing",
                    reason="the bundle is truncated",
                    remedy="copy it again, or make it again",
                )
            if sha256_file(file) != expected:
                raise LandmintError(
                    f"{file} differs from its hash in {MANIFEST}",
                    reason="it is truncated or was changed after the bundle was made",
                    remedy="copy the bundle again, or make it again",
                )

    def variant(self, name: str) -> Variant:
        """The variant called `name`, built or not.

        Raises:
            LandmintError: the bundle has no such variant.
        """
        for variant in self.manifest.variants:
            if variant.name == name:
                return variant
        raise LandmintError(
            f"{self.path} has no variant '{name}'",
            choices=[variant.name for variant in self.manifest.variants],
        )

    def entry(self, variant: Variant) -> Path:
        """The file that the variant's engine opens.

        Raises:
            NotMeasuredError: the variant was not built.
            LandmintError: it is an ONNX file that keeps tensors elsewhere, or a broken one.
        """
        if not variant.files:
            raise NotMeasuredError(f"{variant.name} was not built", reason=variant.reason)
        return self.file(variant.files[0])

    def file(self, name: str) -> Path:
        """A file of the bundle, by its path in it.

        Raises:
            LandmintError: it is an ONNX file with tensors in files that the manifest does not
                list, or a broken one.
        """
        path = self.path / name
        for location in external_locations(path) if path.suffix == ".onnx" else ():
            _check_inside(location)
            beside = (PurePosixPath(name).parent / location).as_posix()
            if beside not in self.manifest.files:
                raise LandmintError(
                    f"{path} keeps tensors in {location!r}",
                    reason=f"that file has no hash in {MANIFEST}",
                    remedy=_REMEDY,
                )
        return path

    def contract_of(self, variant: Variant) -> Contract:
        """The contract in the variant's axis order; if it decodes itself, with landmark outputs."""
        contract = self.manifest.contract
        return (contract.decoded() if variant.decoded else contract).with_layout(variant.layout)

    def check_artefact(self, variant: Variant) -> None:
        """Refuse an artefact that must not be loaded: one made for another contract, or a plan.

        Raises:
            NotMeasuredError: the variant was not built, or is a plan and `plans` is false.
            LandmintError: the contract inside differs from the manifest's, there is none, or the
                artefact is broken.
        """
        entry = self.entry(variant)
        if entry.suffix == PLAN_SUFFIX and not self.plans:
            raise NotMeasuredError(
                f"{variant.name} is a TensorRT plan",
                reason="a plan is code that TensorRT runs without a check",
                remedy="add --plans if you trust whoever made the bundle",
            )
        self.check_contract(variant, variant.files[0])

    def check_contract(self, variant: Variant, name: str) -> None:
        """Refuse a file of a variant that was made for another contract than the manifest's.

        A TensorRT plan can carry none. The null engine reads no file, so its own need none.

        Raises:
            LandmintError: the two differ, the file carries none, or it is broken.
        """
        entry = self.file(name)
        if entry.suffix == PLAN_SUFFIX:
            return
        inside = find_contract(entry) if entry.suffix in CARRIERS else None
        expected = self.contract_of(variant)
        if inside == expected or (inside is None and variant.engine == "null"):
            return
        if inside is None:
            raise LandmintError(
                f"{entry} carries no contract",
                reason="landmint writes one into every model of a bundle, so this is another's, "
                "or its metadata was stripped",
                remedy=_REMEDY,
            )
        fields = [item.name for item in dataclasses.fields(expected)]
        apart = [name for name in fields if getattr(inside, name) != getattr(expected, name)]
        raise LandmintError(
            f"{entry} was made for another contract than {MANIFEST} has",
            reason=f"they differ in {', '.join(apart)}: landmarks would be wrong",
            remedy=_REMEDY,
        )

    @property
    def sha256(self) -> str:
        """sha256 of the manifest, which holds those of all files: equal for equal bundles."""
        return sha256_file(self.path / MANIFEST)

    def size_bytes(self, variant: Variant) -> int:
        """Size of the variant's files on disk, in bytes."""
        return sum((self.path / name).stat().st_size for name in variant.files)


def _check_inside(name: str) -> None:
    """Refuse a path that is not a plain one below the bundle's folder, on any system."""
    if (
        not 0 < len(name) <= 500
        or not name.isprintable()
        or any(part in ("", ".", "..") for part in name.split("/"))
        or any(sign in name for sign in '\\:*?"<>|')
        or name == MANIFEST
    ):
        raise LandmintError(
            f"a bundle names the file {name[:200]!r}",
            reason="its files are relative paths inside its folder, without '..'",
            remedy=_REMEDY,
        )


def write_bundle(final: Path, build: Callable[[Path], Manifest]) -> Bundle:
    """Make a bundle whole or not at all.

    Args:
        final: where it shall stand; a bundle that stands there is replaced.
        build: fills the folder that it is given and returns the manifest, whose `files` are
            filled in here.
    """
    with atomic_path(final) as folder:
        folder.mkdir()
        manifest = build(folder)
        hashes = {
            str(file.relative_to(folder)): sha256_file(file)
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        }
        manifest = dataclasses.replace(manifest, files=hashes)
        write_json(folder / MANIFEST, manifest.to_json())
    return Bundle(final, manifest)


def remove_variant(folder: Path, name: str) -> None:
    """Remove whatever stands of a variant in a bundle that is being made; it was not built."""
    place = folder / name
    remove_unfinished(place.parent)
    remove_suffixed(place)
