"""The page that goes with a shipped model: what it is, what it learned from, what it can do.

Every figure comes from the run or was measured for the card; nothing is judged here.
"""

import re
from collections.abc import Mapping
from importlib import resources

import jinja2

from landmint.pipeline.judge.figures import LATENCY, NME, NME_RISE, SIZE
from landmint.pipeline.judge.summary import VariantSummary, machine_of, reading_order
from landmint.pipeline.reference import Reference
from landmint.pipeline.report.record import RunRecord
from landmint.pipeline.text import (
    NONE,
    markdown_table,
    mebibytes,
    milliseconds,
    percent,
)
from landmint.runtime.formats import TORCH

_COLUMNS = (
    *("variant", NME.heading, NME_RISE.heading, "on drawn faces, %"),
    *(LATENCY.heading, SIZE.heading),
)


def model_card(
    name: str, record: RunRecord, reference: Reference, loose: Mapping[str, float], data: str
) -> str:
    """The card in Markdown.

    Args:
        name: of the shipped model.
        record: of the run that it comes from.
        reference: its errors, as shipped.
        loose: NME by kind of box; empty where that was not measured.
        data: where the faces come from and what may be done with them, in Markdown.
    """
    template = (resources.files("landmint.pipeline") / "model_card.md.j2").read_text("utf-8")
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    text = environment.from_string(template).render(
        name=name,
        record=record,
        markup=record.markup,
        contract=record.manifest.contract,
        reference=reference,
        machine=machine_of(record.summaries),
        figures=_figures_table(record, reference),
        loose=_boxes_table(loose),
        data=data.strip(),
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _figures_table(record: RunRecord, reference: Reference) -> str:
    """A row for each form; time and size are the run's."""
    summaries = {summary.name: summary for summary in record.summaries}
    test, drawn = reference.test.figures, reference.drawn.figures
    rows = []
    for name in sorted(test, key=reading_order):
        nme = test[name].nme_percent
        rise = None if name == TORCH else nme - test[TORCH].nme_percent
        apart = NME.write(drawn[name].nme_percent) if name in drawn else NONE
        rows.append(
            [name, NME.write(nme), NME_RISE.write(rise), apart, *_cost(summaries.get(name))]
        )
    return markdown_table(_COLUMNS, rows)


def _cost(summary: VariantSummary | None) -> tuple[str, str]:
    if summary is None:
        return NONE, NONE
    latency = summary.latency
    warm = milliseconds(latency.warm_ms if latency else None)
    return warm, mebibytes(summary.measurement.size_bytes)


def _boxes_table(loose: Mapping[str, float]) -> str:
    rows = [[kind, percent(nme)] for kind, nme in loose.items()]
    return markdown_table(("boxes", NME.heading), rows) if rows else ""
