"""The sections of the report. Each is made from the record, or is None where there is nothing."""

import json
import math
from collections.abc import Iterator

from landmint.pipeline.judge.advice import saturation
from landmint.pipeline.judge.figures import LATENCY, MOVED, NME, NME_RISE, SPEEDUP
from landmint.pipeline.judge.summary import VariantSummary
from landmint.pipeline.report import figures, tables
from landmint.pipeline.report.blocks import (
    Block,
    Code,
    Facts,
    Gallery,
    Heading,
    Picture,
    Section,
    TableBlock,
    Text,
)
from landmint.pipeline.report.pictures import Close, magnification_of, mean_faces, worst_faces_of
from landmint.pipeline.report.plans import plans
from landmint.pipeline.report.record import RunRecord
from landmint.pipeline.text import listed, number, thousands
from landmint.runtime.formats import reference_among
from landmint.runtime.machine import Machine


def variants(record: RunRecord) -> Section:
    """All variants at a glance."""
    blocks: list[Block] = []
    if record.about:
        blocks.append(Text(record.about))
    blocks += [
        TableBlock(tables.overview(record)),
        Text(
            f"NME is the mean landmark error over the {record.markup.error_unit}. Its rise and "
            "the landmarks' movement are against the network before it was converted "
            f"({reference_among(summary.name for summary in record.summaries)}). The dot marks the "
            "fastest variant. Brackets are 95 % intervals; "
            "limits stand beside the figures that they are for.",
            note=True,
        ),
    ]
    return Section("variants", "All variants", blocks)


def speed(record: RunRecord) -> Section | None:
    """What INT8 brings, and every time."""
    if not record.timed:
        return None
    blocks: list[Block] = []
    if any(summary.precision == "int8" for summary in record.summaries):
        blocks += [
            Heading("Is INT8 faster than float32?"),
            TableBlock(tables.int8_or_float(record)),
            Text(
                "Yes or no is said only where the whole 95 % interval lies on one side of 1. An "
                "INT8 model that is slower than its float32 twin on an engine should not be "
                "deployed there.",
                note=True,
            ),
        ]
    if record.advice:
        blocks += [Heading("What to deploy"), *(Text(line) for line in record.advice)]
    trades = [trade for summary in record.timed if (trade := _trade(summary))]
    samples = {
        summary.name: figures.flat(summary.measurement.blocks_ms) for summary in record.timed
    }
    if trades:
        blocks.append(
            Picture(
                figures.tradeoff(trades),
                "Displacement against latency: further left is faster, further down is closer to "
                "the float network. Circles are float32, squares float16, diamonds INT8.",
            )
        )
    blocks += [
        Picture(
            figures.latency_spread(samples),
            "The warm runs of all launches. The long stroke is the median, the short ones are "
            "p90 and p99.",
        ),
        TableBlock(tables.latency(record)),
        *_latency_notes(record),
    ]
    return Section("speed", "Speed, memory and what really ran", blocks)


def _trade(summary: VariantSummary) -> figures.Trade | None:
    """A place in the picture; without bounds when there are not enough persons for them."""
    if summary.latency is None or summary.difference is None:
        return None
    moved = summary.difference.displacement
    if not math.isfinite(moved.estimate):
        return None
    bounds = (moved.estimate, moved.estimate) if moved.is_unbounded else (moved.low, moved.high)
    shares = (moved.estimate, *bounds)
    return figures.Trade(summary.name, summary.latency.warm_ms, *(100 * v for v in shares))


def _latency_notes(record: RunRecord) -> Iterator[Block]:
    """Doubts that the samples themselves raise."""
    doubts: dict[str, list[str]] = {}
    for summary in record.timed:
        if summary.latency:
            for note in summary.latency.notes:
                doubts.setdefault(note, []).append(summary.name)
    for note, names in doubts.items():
        who = "All variants" if len(names) == len(record.timed) else listed(names)
        yield Text(f"{who}: {note}.", note=True)


def accuracy(record: RunRecord) -> Section | None:
    """Errors against the labels."""
    errors = {
        summary.name: summary.accuracy.per_face * 100
        for summary in record.measured
        if summary.accuracy
    }
    if not errors:
        return None
    blocks: list[Block] = [TableBlock(tables.accuracy(record))]
    broken = [
        f"{summary.name} ({summary.accuracy.not_finite} faces)"
        for summary in record.measured
        if summary.accuracy and summary.accuracy.not_finite
    ]
    if broken:
        blocks.append(Text(f"Landmarks that are no finite numbers: {listed(broken)}."))
    blocks += [
        Picture(
            figures.cumulative_errors(errors, 10.0),
            "Cumulative error: the share of faces whose error is at most that of the axis. "
            "Higher is better; curves that lie on each other are variants that agree.",
        ),
        Heading("By part of the face"),
        TableBlock(tables.regions(record)),
        Text(
            "Small figures are the difference to the float network, in points; the tint shows "
            "where it grows.",
            note=True,
        ),
    ]
    return Section("accuracy", "Accuracy on the test faces", blocks)


def moved(record: RunRecord) -> Section | None:
    """Where on the face landmarks move."""
    scale = magnification_of(record)
    pictures = mean_faces(record, scale)
    if not pictures:
        return None
    size = "All are drawn to scale" if scale == 1 else f"All are magnified {scale:g} times alike"
    blocks: list[Block] = [
        Text(
            "Each disc is as wide as its landmark moves on average between the float network and "
            "the variant; a stroke from the centre is a movement in one direction, a bias. "
            f"{size}, so variants can be compared by eye."
        ),
        Gallery(pictures, "grid"),
    ]
    return Section("moved", "Where the landmarks move", blocks)


def worst_faces(record: RunRecord) -> Section | None:
    """The faces that a variant moves most, to be judged by eye."""
    close = worst_faces_of(record)
    if not close:
        return None
    blocks: list[Block] = [
        Text(
            "The test faces on which each variant strays furthest from the float network. Where "
            "both are far from the truth the network is to blame, not the conversion."
        )
    ]
    for place, variant in enumerate(close):
        blocks += [Heading(variant.title), _gallery(variant, first=place == 0)]
    return Section("faces", "The faces on which landmarks move most", blocks)


def _gallery(close: Close, first: bool) -> Gallery:
    switches = (
        (("truth", "truth"), ("reference", "float network"), ("variant", "variant"))
        if first
        else ()
    )
    return Gallery(close.pictures, "faces", switches)


def training(record: RunRecord) -> Section | None:
    """Teacher and student."""
    blocks: list[Block] = []
    for network in record.networks:
        blocks += [Heading(network.role.capitalize()), Facts(network.facts)]
        if network.loss or network.error:
            blocks.append(
                Picture(
                    figures.training(network.loss, network.error, network.role),
                    f"The {network.role}'s loss on training faces and its error on validation "
                    "faces. Test faces are not seen here.",
                )
            )
        if network.settings != "{}":
            blocks.append(Code(f"Settings of the {network.role}", network.settings))
    return Section("training", "Teacher and student", blocks) if blocks else None


def built(record: RunRecord) -> Section:
    """What the bundle holds."""
    facts = _bundle_facts(record)
    if record.command:
        facts.append(("made again by", record.command))
    blocks: list[Block] = [Facts(facts)]
    if record.recipe:
        blocks.append(Code("The recipe", record.recipe))
    if record.faces:
        blocks += [Heading("Faces"), Facts(record.faces)]
    if any(variant.notes for variant in record.manifest.variants):
        blocks += [Heading("How each variant was made"), TableBlock(tables.notes(record))]
    blocks += plans([summary.measurement for summary in record.summaries])
    if record.findings:
        blocks += [
            Heading("What the linter says"),
            Text(
                "Read from the float graph alone, before anything was built; its cost is measured."
            ),
            TableBlock(tables.lint(record)),
        ]
    blocks += [Heading("Files"), TableBlock(tables.file_hashes(record))]
    if record.stages:
        blocks += [Heading("Stages"), TableBlock(tables.stages(record))]
        settings = {stage.name: dict(stage.settings) for stage in record.stages}
        blocks.append(Code("Settings of every stage", json.dumps(settings, indent=2)))
    return Section("built", "What was built", blocks)


def _bundle_facts(record: RunRecord) -> list[tuple[str, str]]:
    contract = record.manifest.contract
    scales = " x ".join(f"{scale:g}" for scale in dict.fromkeys(contract.crop.scale))
    crop = f"{scales} times the face box"
    if any(contract.crop.shift):
        right, down = contract.crop.shift
        crop += f", shifted by {right:g} of its width and {down:g} of its height"
    shape = "a square of its longer side" if contract.crop.square else "stretched"
    return [
        ("model", record.manifest.name),
        ("markup", f"{record.markup.points} landmarks"),
        ("input", f"{contract.input_size} x {contract.input_size} px, {contract.color}"),
        ("crop", f"{crop}, {shape}"),
        ("mean, 0..255", ", ".join(f"{v:g}" for v in contract.mean)),
        ("deviation, 0..255", ", ".join(f"{v:g}" for v in contract.std)),
        ("outputs", ", ".join(f"{o.name} {list(o.shape)}" for o in contract.outputs)),
        ("made with", ", ".join(f"{k} {v}" for k, v in sorted(record.manifest.tools.items()))),
    ]


def calibration(record: RunRecord) -> Section | None:
    """The faces that INT8 ranges were taken from."""
    calibrated = record.manifest.calibration
    if not calibrated:
        return None
    plain = {k: v for k, v in calibrated.items() if isinstance(v, str | int | float | bool)}
    facts = [(key.replace("_", " "), str(value)) for key, value in plain.items()]
    rest = {key: value for key, value in calibrated.items() if key not in plain}
    blocks: list[Block] = [
        Text(
            "INT8 ranges were taken from training faces; no image and no person of them is among "
            "the test faces: the stage refuses otherwise."
        ),
        Facts(facts),
    ]
    if rest:
        blocks.append(Code("The full record, with the hash of every image", _json(rest)))
    return Section("calibration", "Calibration set", blocks)


def machine(record: RunRecord) -> Section | None:
    """Where it was measured."""
    blocks: list[Block] = []
    seen: list[Machine] = []
    for summary in record.timed:
        raw = summary.measurement
        if raw.machine is None or raw.machine in seen:
            continue
        seen.append(raw.machine)
        blocks.append(Facts(_machine_facts(raw.machine, raw.target, raw.session)))
    if sentence := saturation(record.summaries):
        blocks.append(Text(sentence))
    return Section("machine", "Machine", blocks) if blocks else None


def _machine_facts(machine: Machine, target: str, session: str) -> list[tuple[str, str]]:
    facts = [
        ("target", target),
        ("measured at", session),
        ("board", machine.board),
        ("processor", f"{machine.cpu}, {machine.architecture}"),
        ("cores", str(machine.cores)),
        ("instructions for small numbers", ", ".join(machine.flags) or "none known"),
        ("memory", f"{thousands(machine.memory_mib)} MiB"),
        ("system", " · ".join(word for word in (machine.system, machine.kernel) if word)),
        ("frequency governor", machine.governor or "unknown, as in most virtual machines"),
        ("load before measuring", number(machine.load)),
        ("Python", machine.python),
        ("libraries", ", ".join(f"{k} {v}" for k, v in machine.packages.items())),
    ]
    return [(name, value) for name, value in facts if value]


def reading(record: RunRecord) -> Section:
    """How to read all this."""
    size = f"NME is over the {record.markup.error_unit} where a column names no other size"
    definitions = (
        *((figure.name, f"{figure.meaning}.") for figure in (NME, NME_RISE, MOVED)),
        ("size of the face", f"{size}."),
        (
            "FR, AUC @ 10 %",
            "share of faces with an NME above 10 %; area under the cumulative "
            "error curve up to 10 %, over its largest value.",
        ),
        (LATENCY.name, f"{LATENCY.meaning}."),
        (SPEEDUP.name, f"{SPEEDUP.meaning}."),
        (
            "what ran",
            "the precision that the engine reports for its convolutions, not the one "
            "in the file's name.",
        ),
        (
            "verdict",
            "a figure passes when its whole 95 % interval keeps the limit, fails when "
            "all of it is beyond, and is inconclusive in between. Not measured is not passed.",
        ),
    )
    return Section("reading", "How to read this", [Facts(definitions)])


def _json(content: object) -> str:
    return json.dumps(content, indent=2)
