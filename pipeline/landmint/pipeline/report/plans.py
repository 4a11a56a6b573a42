"""Plans that were built and could not run: what their builder read, beside what was decided."""

from collections.abc import Iterator, Sequence

from landmint.pipeline.report.blocks import (
    Block,
    Cell,
    Column,
    Heading,
    Row,
    Table,
    TableBlock,
    Text,
)
from landmint.pipeline.report.palette import css_class, split_variant
from landmint.pipeline.text import NONE, mebibytes, thousands
from landmint.runtime.engines.built import Built
from landmint.runtime.measurement import Measurement


def plans(measurements: Sequence[Measurement]) -> Iterator[Block]:
    """The blocks about plans; none where every plan ran or none was built."""
    built = [raw for raw in measurements if raw.built is not None]
    if not built:
        return
    yield Heading("Built, not run")
    yield TableBlock(plans_table(built))
    yield Text(
        "What the builder's own parser read of each graph, beside what the quantiser noted when it "
        "wrote the graph. It says that the graph is sound, and nothing of landmarks or speed.",
        note=True,
    )
    yield from (Text(sentence) for sentence in cautions(built))


def plans_table(measurements: Sequence[Measurement]) -> Table:
    """What was read of each graph, and how large its plan is."""
    columns = (
        Column("variant"),
        Column("layers", "", "as the builder parsed them"),
        Column("Q/DQ pairs", words=True),
        Column("in float", "of the convolutions and matrix products"),
        Column("against the decision", words=True),
        Column("file", "MiB", "the graph that was built, an ONNX file"),
        Column("plan", "MiB"),
        Column("built by", words=True),
    )
    return Table(
        "Built, not run", columns, [_row(raw, raw.built) for raw in measurements if raw.built]
    )


def _row(raw: Measurement, built: Built) -> Row:
    _, precision = split_variant(raw.variant)
    notes = built.notes
    cells = [
        Cell(thousands(sum(built.layers.values()))),
        Cell(notes["pairs"], css="words"),
        Cell(f"{len(built.float_layers)} of {built.weighted}"),
        Cell(against_decision(raw) or NONE, css="words"),
        Cell(mebibytes(raw.size_bytes)),
        Cell(mebibytes(built.plan_bytes)),
        Cell(built.builder, css="words"),
    ]
    return Row(raw.variant, cells, f"{css_class(raw.variant)} {precision}")


def against_decision(raw: Measurement) -> str:
    """Whether the builder read what was decided, and both where it did not.

    Empty where nothing was decided: a variant without Q/DQ pairs has no such notes.
    """
    if raw.built is None:
        return ""
    read = raw.built.notes
    decided = {key: raw.notes[key] for key in read if key in raw.notes}
    apart = [
        f"{key} are {read[key]}, decided was {text}"
        for key, text in decided.items()
        if text != read[key]
    ]
    return "; ".join(apart) or ("as decided" if decided else "")


def in_words(raw: Measurement) -> str:
    """What was built of a variant, in a sentence; empty where nothing was."""
    if raw.built is None:
        return ""
    built = raw.built
    layers = thousands(sum(built.layers.values()))
    in_float = f"{len(built.float_layers)} of {built.weighted} weighted layers in float"
    read = f"{layers} layers ({built.notes['pairs']}; {in_float})"
    words = ", ".join(filter(None, (read, against_decision(raw))))
    return f"{built.builder} parsed {words}; its plan has {mebibytes(built.plan_bytes)} MiB"


def cautions(measurements: Sequence[Measurement]) -> tuple[str, ...]:
    """What the plans are not, each sentence once."""
    texts = (raw.built.caution for raw in measurements if raw.built is not None)
    return tuple(f"{text}." for text in dict.fromkeys(texts) if text)
