"""The search for a cure of INT8's loss: each is built, measured on the target, one is chosen.

Each format chooses for itself: what is worth float32 on one engine may slow another. Cures that
cost no speed come first; layers in float are tried for the formats that none of those has cured.
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
from landmint.quantize.bundle_quantize import quantize_bundle
from landmint.quantize.config import QuantizeConfig
from landmint.quantize.cures import Cure
from landmint.runtime.accuracy import Truth
from landmint.runtime.bundle import Bundle, Manifest, Variant, write_bundle
from landmint.runtime.formats import INT8
from landmint.runtime.measurement import Measurement, read_measurements
from landmint.runtime.progress import SILENT, Progress
from landmint.runtime.scratch import scratch_folder
from landmint.train.faces.face import FaceSet

Build = Callable[[Cure, Path], Bundle]
"""From a cure and a folder to the bundle made there."""
Measure = Callable[[Bundle, Sequence[str]], tuple[Sequence[Measurement], Truth]]
"""From a bundle and names of its variants to what they did in one visit, and on which faces."""


@dataclass(frozen=True)
class _Part:
    """One variant on its way into another bundle."""

    bundle: Bundle
    variant: Variant
    name: str
    """Its name there."""


def search_cures(
    final: Path,
    first: Sequence[Cure],
    then: Callable[[], Sequence[Cure]],
    budget: float,
    build: Build,
    measure: Measure,
    progress: Progress = SILENT,
) -> list[Search]:
    """Try cures for every INT8 variant of a bundle, and keep the best within the budget.

    The bundle's INT8 variants are replaced by those that were chosen; where nothing surely keeps
    the budget, plain INT8 stays.

    Args:
        final: folder of the INT8 bundle; made by `build` with the plain cure.
        first: cures to try beside plain INT8 for every format.
        then: cures for the formats that `first` leaves uncured; asked for if there are any.
        budget: most rise of NME over the float student, a share.
        build: makes a candidate.
        measure: measures several variants in turns.
        progress: called before each step.

    Raises:
        LandmintError: a candidate cannot be built.
    """
    plain = Bundle.open(final, verify=False)
    with scratch_folder() as scratch:
        trying = _Trying(plain, {}, budget, build, measure, scratch, progress)
        searches = trying.search(trying.formats, [Cure()])
        searches |= trying.search(_uncured(searches), [Cure(), *first])
        if uncured := _uncured(searches):
            searches |= trying.search(uncured, [Cure(), *first, *then()])
        chosen = {s.format: trying.bundle(s.chosen.cure) for s in searches.values() if s.chosen}
        parts = []
        for variant in plain.manifest.variants:
            source = chosen.get(variant.format, plain) if variant.precision == INT8 else plain
            parts.append(_Part(source, source.variant(variant.name), variant.name))
        _assemble(plain, parts, final)
    return list(searches.values())


def _uncured(searches: Mapping[str, Search]) -> list[str]:
    """Formats that were measured, and of which nothing surely keeps the budget."""
    return [search.format for search in searches.values() if search.trials and not search.chosen]


@dataclass(frozen=True)
class _Trying:
    """The candidates of one bundle; each is built once."""

    plain: Bundle
    built: dict[str, Bundle]
    budget: float
    build: Build
    measure: Measure
    scratch: Path
    progress: Progress

    @property
    def formats(self) -> list[str]:
        """Of the INT8 variants, in the bundle's order."""
        variants = self.plain.manifest.variants
        return [variant.format for variant in variants if variant.precision == INT8]

    def bundle(self, cure: Cure) -> Bundle:
        """The bundle with a cure."""
        if not cure.settings:
            return self.plain
        if str(cure) not in self.built:
            self.progress.step(f"try {cure}")
            self.built[str(cure)] = self.build(cure, self.scratch / f"cure-{len(self.built)}")
        return self.built[str(cure)]

    def search(self, formats: Sequence[str], cures: Sequence[Cure]) -> dict[str, Search]:
        """Measure the cures of each format beside its float32 variant."""
        return {format_: self._try(format_, cures) for format_ in formats}

    def _try(self, format_: str, cures: Sequence[Cure]) -> Search:
        int8, reference = f"{format_}/{INT8}", f"{format_}/float32"
        if all(known.name != reference for known in self.plain.manifest.variants):
            return Search(format_, (), self.budget, f"there is no {reference} to compare with")
        names = {f"{int8}-{i}": cure for i, cure in enumerate(cures)}
        floats = (self.plain.manifest.reference.name, reference)
        parts = [_Part(self.plain, self.plain.variant(name), name) for name in floats]
        for name, cure in names.items():
            bundle = self.bundle(cure)
            parts.append(_Part(bundle, bundle.variant(int8), name))
        missing = [part for part in parts if not part.variant.files]
        if missing:
            return Search(format_, (), self.budget, missing[0].variant.reason)
        self.progress.step(f"measure {int8}, {len(cures)} ways")
        together = _assemble(self.plain, parts, self.scratch / f"{format_}-{len(cures)}")
        measurements, truth = self.measure(together, [reference, *names])
        trials = trials_of(measurements, truth, names)
        failures = [measurement.reason for measurement in measurements if measurement.reason]
        reason = "; ".join(failures) or "a comparison of times needs two or more launches"
        return Search(format_, trials, self.budget, "" if trials else reason)


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
    """Building candidates from a float bundle."""
    without = {"precisions": (INT8,), "explain": False, "fallback_budget": None}

    def build(cure: Cure, folder: Path) -> Bundle:
        cured = cure.applied(config).model_copy(update=without)
        return quantize_bundle(bundle, calibration, evaluation, cured, folder)

    return build


def print_searches(searches: Sequence[Search], config: QuantizeConfig) -> int:
    """Print what was tried and chosen.

    Args:
        searches: of `search_cures`.
        config: what they were tried upon.

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
        Column("INT8 with"),
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
            Cell(*percent_interval(trial.over_plain, 3) if trial.cure.settings else (NONE, "")),
            Cell(milliseconds(trial.latency_ms)),
            Cell(*times(trial.speedup)),
            Cell("chosen" if trial == search.chosen else judgement, css="words"),
        ]
        rows.append(Row(str(trial.cure), cells))
    return Table(f"{search.format}: cures, measured in turns", columns, rows)


def as_toml(searches: Sequence[Search], config: QuantizeConfig) -> str:
    """The choices, to be pasted into a recipe; formats that disagree need a recipe each.

    Where nothing that costs no training helped, the last cure is named.
    """
    choices = {
        search.format: _settings(trial.cure, config)
        for search in searches
        if (trial := search.chosen) is not None
    }
    lines = ["[quantize]"]
    if len({tuple(settings) for settings in choices.values()}) == 1:
        lines += next(iter(choices.values())) or ["# as it is"]
    else:
        lines += [
            f"# {format_}: {'; '.join(settings) or 'as it is'}"
            for format_, settings in choices.items()
        ]
    for search in searches:
        if search.chosen is None:
            unkept = f"nothing that was tried surely keeps the budget: {search.status}"
            lines.append(f"# {search.format}: {search.reason or unkept}")
    if _uncured({search.format: search for search in searches}):
        lines.append("# what is left is training with rounding: [qat], or `landmint qat`")
    return "\n".join(lines)


def _settings(cure: Cure, config: QuantizeConfig) -> list[str]:
    """Lines of the recipe, with the layers that were in float from the start."""
    if cure.float_layers:
        cure = Cure({"float_layers": cure.applied(config).float_layers})
    return cure.as_toml()
