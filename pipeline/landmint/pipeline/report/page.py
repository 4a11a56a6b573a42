"""The page of a run: its sections in reading order."""

from collections.abc import Callable
from pathlib import Path

from landmint.pipeline.report import sections, words
from landmint.pipeline.report.blocks import Page, Section
from landmint.pipeline.report.execution import execution
from landmint.pipeline.report.gather import gather
from landmint.pipeline.report.losses import losses
from landmint.pipeline.report.record import RunRecord
from landmint.pipeline.report.sustained import sustained
from landmint.pipeline.text import thousands

_SECTIONS: tuple[Callable[[RunRecord], Section | None], ...] = (
    sections.variants,
    sections.speed,
    sustained,
    sections.accuracy,
    sections.moved,
    losses,
    sections.worst_faces,
    sections.training,
    sections.built,
    sections.calibration,
    execution,
    sections.machine,
    sections.reading,
)


def page_of(run_dir: Path) -> Page:
    """Gather a run and lay it out.

    Raises:
        LandmintError: the bundle or the measurements are missing or broken.
    """
    record = gather(run_dir)
    page_sections = [section for make in _SECTIONS if (section := make(record)) is not None]
    contract = record.manifest.contract
    kicker = (
        f"landmint report · {record.manifest.name} · {record.markup.points} landmarks · "
        f"{contract.input_size} px · {thousands(len(record.truth.names))} test faces"
    )
    return Page(
        title=record.name,
        kicker=kicker,
        answer=words.answer(record),
        banner=words.banner(record),
        cards=words.cards(record),
        sections=page_sections,
        footer="Made by landmint from raw samples. One file, no network, no scripts.",
    )
