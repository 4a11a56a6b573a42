"""A folder with one model in all its forms, and the manifest that vouches for it.

Not a registry of models, and no converter: it stores, hashes and opens.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from landmint.runtime.contract import Contract, Layout
from landmint.runtime.errors import LandmintError, NotMeasuredError
from landmint.runtime.files import atomic_path, read_json, sha256_file, write_json

SCHEMA = 1
MANIFEST = "manifest.json"


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
    """Whether the decode stands in its graph."""

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
    """What stands in a bundle."""

    name: str
    """Name of the model."""
    contract: Contract
    """What the model eats and returns, in NCHW."""
    variants: tuple[Variant, ...]
    """Every variant that was asked for, those that could not be built among them."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Path in the bundle to sha256."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Where the model comes from: recipe, data, training; nothing that another run of the same
    would not say."""
    tools: Mapping[str, str] = field(default_factory=dict)
    """Versions of the libraries that made it."""
    calibration: Mapping[str, Any] | None = None
    """How the calibration set was chosen and the hashes of its images."""

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries and lists, with the schema version."""
        contract = self.contract.to_json()
        return {"schema": SCHEMA, **dataclasses.asdict(self), "contract": contract}

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> "Manifest":
        """The manifest that `to_json` wrote.

        Raises:
            LandmintError: the schema is unknown, or something is missing.
        """
        if content.get("schema") != SCHEMA:
            raise LandmintError(
                f"manifest of schema {content.get('schema')!r}",
                reason=f"this landmint reads schema {SCHEMA}",
                remedy="export the model again",
            )
        try:
            variants = tuple(
                Variant(**{**v, "files": tuple(v["files"])}) for v in content["variants"]
            )
            return Manifest(
                name=content["name"],
                contract=Contract.from_json(content["contract"]),
                variants=variants,
                files=dict(content["files"]),
                provenance=dict(content["provenance"]),
                tools=dict(content["tools"]),
                calibration=content["calibration"],
            )
        except (KeyError, TypeError) as error:
            raise LandmintError(
                "the manifest is incomplete",
                reason=f"{type(error).__name__}: {error}",
                remedy="export the model again",
            ) from None


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk."""

    path: Path
    """Its folder."""
    manifest: Manifest
    """What stands in it."""

    @staticmethod
    def open(path: Path, verify: bool = True) -> "Bundle":
        """Open a bundle and, unless told not to, check every file against its hash.

        Raises:
            LandmintError: no bundle, a truncated one, or a file whose hash differs.
        """
        if not (path / MANIFEST).is_file():
            raise LandmintError(
                f"{path} is no bundle",
                reason=f"it has no {MANIFEST}",
                remedy="give the folder that `landmint export` or `landmint quantize` wrote",
            )
        bundle = Bundle(path, Manifest.from_json(read_json(path / MANIFEST)))
        if verify:
            bundle._verify()
        return bundle

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
        """
        if not variant.files:
            raise NotMeasuredError(f"{variant.name} was not built", reason=variant.reason)
        return self.path / variant.files[0]

    def contract_of(self, variant: Variant) -> Contract:
        """The contract in the variant's axis order; that of landmarks where it decodes itself."""
        contract = self.manifest.contract
        return (contract.decoded() if variant.decoded else contract).with_layout(variant.layout)

    def size_bytes(self, variant: Variant) -> int:
        """Size of the variant's files on disk, in bytes."""
        return sum((self.path / name).stat().st_size for name in variant.files)


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
