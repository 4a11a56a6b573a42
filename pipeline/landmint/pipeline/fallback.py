"""The search for layers that stay in float: candidates built, measured on the target, one chosen.

Each format chooses for itself: what is worth float32 on one engine may slow another.
"""

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape

from landmint.pipeline.judge.figures import LATENCY, NME_RISE, SPEEDUP
from landmint.pipeline.judge.gate import Verdict, exit_code
from landmint.pipeline.judge.trial import Search, trials_of
from landmint.pipeline.judge.truth import TRUTH_FILE, read_truth
from landmint.pipeline.measure_config import MeasureConfig
from landmint.pipeline.measuring import measure_into
from landmint.pipeline.report.blocks import Cell, Column, Row, Table
from landmint.pipeline.tables import as_rich, print_tables
from landmint.pipeline.text import NONE, milliseconds, percent_interval, times
from landmint.quantize.bundle_quantize import PRECISION, quantize_bundle
from landmint.quantize.config import QuantizeConfig
from landmint.quantize.explain.explanation import Explanation
from landmint.quantize.fallback import candidates
from landmint.runtime.accuracy import Truth
from landmint.runtime.bundle import Bundle, Manifest, Variant, write_bundle
from landmint.runtime.measurement import Measurement, read_measurements
from landmint.runtime.progress import SILENT, Progress
from landmint.runtime.scratch import scratch_folder
from landmint.train.faces.face import FaceSet

Build = Callable[[tuple[str, ...], Path], Bundle]
"""From the layers that stay in float and a folder to the bundle made there."""
Measure = Callable[[Bundle, Sequence[str]], tuple[Sequence[Measurement], Truth]]
"""From a bundle and names of its variants to what they did in one visit, and on which faces."""


@dataclass(frozen=True)
class _Part:
    """One variant on its way into another bundle."""

    bundle: Bundle
    variant: Variant
    name: str
    """Its name there."""


def search_fallbacks(
    final: Path,
    explanation: Explanation,
    budget: float,
    build: Build,
    measure: Measure,
    progress: Progress = SILENT,
) -> list[Search]:
    """Try candidates for every INT8 variant of a bundle, and keep the best within the budget.

    The bundle's INT8 variants are replaced by those that were chosen; where nothing surely keeps
    the budget, plain INT8 stays.

    Args:
        final: folder of the INT8 bundle; made by `build` without float layers.
        explanation: of that bundle.
        budget: most rise of NME over the float student, a share.
        build: makes a candidate.
        measure: measures several variants in turns.
        progress: called before each step.

    Raises:
        LandmintError: a candidate cannot be built.
    """
    plain = Bundle.open(final, verify=False)
    with scratch_folder() as scratch:
        bundles: dict[tuple[str, ...], Bundle] = {(): plain}
        sets = candidates(explanation)
        for number, layers in enumerate(sets[1:], start=1):
            which = f"candidate {number} of {len(sets) - 1}"
            progress.step(f"build {which}: {len(layers)} layers in float")
            bundles[layers] = build(layers, scratch / str(number))
        progress.step("measure the candidates")
        searches = [
            _try(variant, bundles, budget, scratch / variant.format, measure)
            for variant in plain.manifest.variants
            if variant.precision == PRECISION
        ]
        chosen = {s.format: bundles[s.chosen.float_layers] for s in searches if s.chosen}
        parts = []
        for variant in plain.manifest.variants:
            source = chosen.get(variant.format, plain) if variant.precision == PRECISION else plain
            parts.append(_Part(source, source.variant(variant.name), variant.name))
        _assemble(plain, parts, final)
    return searches


def _try(
    variant: Variant,
    bundles: Mapping[tuple[str, ...], Bundle],
    budget: float,
    folder: Path,
    measure: Measure,
) -> Search:
    """Measure one format's candidates beside its float32 variant."""
    plain = bundles[()]
    reference = f"{variant.format}/float32"
    if all(known.name != reference for known in plain.manifest.variants):
        return Search(variant.format, (), budget, f"there is no {reference} to compare with")
    names = {f"{variant.name}-{i}": layers for i, layers in enumerate(bundles)}
    parts = [
        _Part(plain, plain.variant(name), name)
        for name in (plain.manifest.reference.name, reference)
    ]
    parts += [
        _Part(bundle, bundle.variant(variant.name), name)
        for name, bundle in zip(names, bundles.values(), strict=True)
    ]
    missing = [part for part in parts if not part.variant.files]
    if missing:
        return Search(variant.format, (), budget, missing[0].variant.reason)
    together = _assemble(plain, parts, folder)
    measurements, truth = measure(together, [reference, *names])
    trials = trials_of(measurements, truth, names)
    failures = [measurement.reason for measurement in measurements if measurement.reason]
    reason = "; ".join(failures) or "a comparison of times needs two or more launches"
    return Search(variant.format, trials, budget, "" if trials else reason)


def _assemble(base: Bundle, parts: Sequence[_Part], final: Path) -> Bundle:
    """A bundle of variants from several, with whatever else `base` has."""
    manifest = base.manifest
    of_variants = {name for variant in manifest.variants for name in variant.files}

    def build(folder: Path) -> Manifest:
        variants = []
        for name in manifest.files.keys() - of_variants:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(base.path / name, folder / name)
        for part in parts:
            files = []
            for name in part.variant.files:
                place = name.replace(part.variant.name, part.name, 1)
                (folder / place).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(part.bundle.path / name, folder / place)
                files.append(place)
            variants.append(dataclasses.replace(part.variant, name=part.name, files=tuple(files)))
        return dataclasses.replace(manifest, variants=tuple(variants))

    return write_bundle(final, build)


def measure_together(faces: FaceSet, config: MeasureConfig, bar: Progress) -> Measure:
    """Measuring on faces, as `landmint measure` does it."""

    def measure(bundle: Bundle, names: Sequence[str]) -> tuple[Sequence[Measurement], Truth]:
        with scratch_folder() as folder:
            measure_into(folder, bundle, faces, config, names, bar)
            return read_measurements(folder), read_truth(folder / TRUTH_FILE)

    return measure


def quantize_with(
    bundle: Bundle, calibration: FaceSet, evaluation: FaceSet, config: QuantizeConfig
) -> Build:
    """Building candidates from a float bundle; layers add to those that the config has."""

    def build(layers: tuple[str, ...], folder: Path) -> Bundle:
        wanted = {
            "float_layers": (*config.float_layers, *layers),
            "explain": False,
            "fallback_budget": None,
        }
        return quantize_bundle(
            bundle, calibration, evaluation, config.model_copy(update=wanted), folder
        )

    return build


def print_searches(searches: Sequence[Search], config: QuantizeConfig) -> int:
    """Print what was tried and chosen.

    Args:
        searches: of `search_fallbacks`.
        config: with the layers that were in float from the start.

    Returns:
        the exit code, as the gate's: 0 when every format that could be measured surely keeps the
        budget.
    """
    tried = [as_rich(search_table(search)) for search in searches if search.trials]
    print_tables(*tried, escape(as_toml(searches, config)))
    verdicts = [Verdict(search.format, search.status, optional=True) for search in searches]
    return exit_code(verdicts)


def search_table(search: Search) -> Table:
    """What was tried for one format, and why the others were not chosen."""
    columns = (
        Column("layers in float"),
        Column(NME_RISE.name, "points, 95 % interval"),
        Column("over plain INT8", "points, 95 % interval"),
        Column(LATENCY.name, LATENCY.unit),
        Column(SPEEDUP.name, "95 % interval"),
        Column("", words=True),
    )
    rows = []
    for trial in search.trials:
        status, reason = trial.judge(search.budget)
        judgement = f"{status}: {reason}" if reason else status
        cells = [
            Cell(*percent_interval(trial.nme_rise, 3)),
            Cell(*percent_interval(trial.over_plain, 3) if trial.float_layers else (NONE, "")),
            Cell(milliseconds(trial.latency_ms)),
            Cell(*times(trial.speedup)),
            Cell("chosen" if trial == search.chosen else judgement, css="words"),
        ]
        rows.append(Row(str(len(trial.float_layers)), cells))
    return Table(f"{search.format}: layers in float, measured in turns", columns, rows)


def as_toml(searches: Sequence[Search], config: QuantizeConfig) -> str:
    """The choices, to be pasted into a recipe; formats that disagree need a recipe each."""
    choices = {
        search.format: ", ".join(f'"{name}"' for name in config.float_layers + trial.float_layers)
        for search in searches
        if (trial := search.chosen) is not None
    }
    lines = ["[quantize]"]
    if len(set(choices.values())) == 1:
        lines.append(f"float_layers = [{next(iter(choices.values()))}]")
    else:
        lines += [f"# {format_}: float_layers = [{layers}]" for format_, layers in choices.items()]
    for search in searches:
        if search.chosen is None:
            unkept = f"nothing that was tried surely keeps the budget: {search.status}"
            lines.append(f"# {search.format}: {search.reason or unkept}")
    return "\n".join(lines)
