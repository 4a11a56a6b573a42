"""Where INT8 loses: the section of the report, and the tables that the terminal shows as well."""

from landmint.pipeline.report import figures
from landmint.pipeline.report.blocks import (
    Block,
    Cell,
    Column,
    Heading,
    Picture,
    Row,
    Section,
    Table,
    TableBlock,
    Text,
)
from landmint.pipeline.report.record import RunRecord
from landmint.pipeline.text import NONE, number, percent, thousands
from landmint.quantize.explain.explanation import Cost, Divergence, Explanation, Layer


def losses(record: RunRecord) -> Section | None:
    """What each layer costs, and where engines part."""
    explanation = record.explanation
    if explanation is None:
        return None
    blocks: list[Block] = [
        Text(in_words(explanation)),
        Picture(
            figures.layer_losses(explanation),
            "Every weighted layer in order of execution. Above, how far the landmarks move when "
            "it alone is quantised; below, the signal to noise of its activations with all "
            "layers quantised. Circles are layers that stay in float.",
        ),
        Heading("Layer by layer"),
        TableBlock(layers_table(explanation)),
        Text(
            "Alone: this layer is quantised, all others compute in float. Saves: what it takes "
            "back when it alone stays in float; that can be little where the noise comes from "
            "what its neighbours round. Signal to noise and cosine are of the INT8 graph as "
            "built, against the float graph, on the median face.",
            note=True,
        ),
    ]
    if explanation.divergences:
        blocks += [Heading("Engine by engine"), TableBlock(engines_table(explanation))]
    return Section("losses", "Where INT8 loses", blocks)


def in_words(explanation: Explanation) -> str:
    """The whole in a few sentences."""
    built, simulated = explanation.built, explanation.simulated
    return (
        f"On {thousands(explanation.faces)} faces ({explanation.split}), the float32 ONNX graph "
        f"has an NME of {percent(explanation.float_nme)} %. INT8 adds "
        f"{percent(built.nme_rise, 3)} points and moves landmarks by "
        f"{number(built.displacement_px, 3)} px of the crop on the median face; the simulation "
        f"that the layers are told apart with moves them by "
        f"{number(simulated.displacement_px, 3)} px."
    )


def layers_table(explanation: Explanation, most: int | None = None) -> Table:
    """Layers, worst first; all, or the first few."""
    columns = (
        Column("layer", hint="name of the node, as quantize.float_layers takes it"),
        Column("weight", words=True),
        Column("SNR", "dB"),
        Column("cosine"),
        Column("alone", "px moved", "when it alone is quantised"),
        Column("alone", "points of NME", "when it alone is quantised"),
        Column("saves", "px moved", "when it alone stays in float"),
        Column("saves", "points of NME", "when it alone stays in float"),
    )
    worst = explanation.worst_first()
    top = max((layer.alone.displacement_px for layer in worst if layer.alone), default=0.0) or 1.0
    rows = [_layer_row(layer, explanation, top) for layer in worst[:most]]
    return Table("What each layer costs, worst first", columns, rows)


def _layer_row(layer: Layer, explanation: Explanation, top: float) -> Row:
    cells = [
        Cell(layer.place, css="words"),
        Cell(number(layer.snr_db, 1)),
        Cell(number(layer.cosine, 4)),
    ]
    if layer.alone is None or layer.all_but is None:
        return Row(layer.name, [*cells, Cell("stays in float", css="none", span=4)])
    saved = Cost(
        explanation.simulated.nme_rise - layer.all_but.nme_rise, explanation.saved_px(layer)
    )
    costs = [
        Cell(
            number(layer.alone.displacement_px, 3),
            css="heat",
            heat=layer.alone.displacement_px / top,
        ),
        Cell(percent(layer.alone.nme_rise, 3)),
        Cell(number(saved.displacement_px, 3)),
        Cell(percent(saved.nme_rise, 3)),
    ]
    return Row(layer.name, [*cells, *costs])


def engines_table(explanation: Explanation) -> Table:
    """Pairs of engines, and the first operator at which they part."""
    columns = (
        Column("between"),
        Column("and", words=True),
        Column("difference", "of the tensor", "root mean square over that of the first"),
        Column("tolerance"),
        Column("first operator to differ", words=True),
    )
    rows = [_engines_row(pair) for pair in explanation.divergences]
    return Table("Where engines part", columns, rows)


def _engines_row(pair: Divergence) -> Row:
    difference = pair.operator or "none: they agree"
    if pair.operator:
        values = zip(pair.left_values, pair.right_values, strict=True)
        difference += ": " + ", ".join(f"{left:.4g} against {right:.4g}" for left, right in values)
    if pair.reason:
        difference = f"not compared: {pair.reason}"
    return Row(
        pair.left,
        [
            Cell(pair.right, css="words"),
            Cell(NONE if pair.reason else f"{pair.difference:.2g}"),
            Cell(f"{pair.tolerance:g}"),
            Cell(difference, css="words bad" if pair.operator else "words"),
        ],
    )
