"""What the stages that make bundles have in common: tools, settings, outcome and summary."""

from pathlib import Path
from typing import Any

from landmint.export.config import LINT_FILE
from landmint.pipeline.run import Run
from landmint.quantize.config import QuantizeConfig
from landmint.runtime.bundle import MANIFEST, Bundle
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import read_json, sha256_file
from landmint.runtime.formats import export_tools, quantize_tools

CONVERTERS = ("torch", "timm", *export_tools())
"""Libraries whose versions decide the float forms."""
QUANTIZERS = (*CONVERTERS, *quantize_tools(), "ai-edge-litert")
"""Libraries whose versions decide the INT8 forms."""


def quantize_settings(config: QuantizeConfig) -> dict[str, Any]:
    """What decides the INT8 forms: of a file of ranges, what it holds.

    Raises:
        LandmintError: there is no such file.
    """
    settings = config.model_dump(mode="json")
    if config.ranges is None:
        return settings
    if not config.ranges.is_file():
        raise LandmintError(
            f"the ranges to quantise with are not at {config.ranges}",
            reason="there is no such file",
            remedy="correct quantize.ranges in the recipe, or drop it to have ranges observed",
        )
    return {**settings, "ranges": sha256_file(config.ranges)}


def bundle_outcome(run: Run, place: Path) -> str:
    """Digest of a bundle.

    Raises:
        LandmintError: a file of it is missing or was changed.
    """
    Bundle.open(place, verify=True)
    return sha256_file(place / MANIFEST)


def bundle_summary(place: Path) -> str:
    """Numbers of variants and of the linter's findings."""
    variants = Bundle.open(place, verify=False).manifest.variants
    built = [variant.name for variant in variants if variant.files]
    missing = [variant.name for variant in variants if not variant.files]
    summary = f"{len(built)} variants"
    summary += f"; not built: {', '.join(missing)}" if missing else ""
    if not (place / LINT_FILE).is_file():
        return summary
    findings = len(read_json(place / LINT_FILE)["findings"])
    return summary + (f"; lint: {findings} findings" if findings else "")
