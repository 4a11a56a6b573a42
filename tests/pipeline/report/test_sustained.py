"""What minutes without a pause came to: the sentence, the curve, the table, the page."""

import dataclasses
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from landmint.pipeline.places import SUSTAINED
from landmint.pipeline.report import figures, write_report
from landmint.pipeline.report.sustained import in_words, sustained_table
from landmint.runtime.measurement import Measurement, read_measurements, write_measurement
from landmint.runtime.sustained import Moment, Sustained


def ran(
    seconds: int = 1800,
    held_from: int | None = None,
    clock_mhz: float | None = 2400.0,
    cut: str = "",
) -> Measurement:
    """At 2 ms, and at 3 ms on a lower clock from some second on."""
    made = []
    for second in range(seconds):
        held = held_from is not None and second >= held_from
        samples = np.full(320, 3.0 if held else 2.0) + np.linspace(0, 0.1, 320)
        clock = 1600.0 if held and clock_mhz else clock_mhz
        made.append(Moment(50.0 + second, tuple(samples), clock, min(75.0, 45 + second / 10)))
    run = Sustained.of(30, made, cut)
    return Measurement(*("tiny", "tflite/int8", "litert", "measured"), target="rpi5", sustained=run)


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        (
            ran(),
            "tflite/int8 on rpi5: no throttling in 30 minutes; "
            "steady p50 2.05 ms, 1.00× the cold one, from 30.0 s.",
        ),
        (
            ran(held_from=250),
            "tflite/int8 on rpi5: throttled after 4 min 10 s of 30 minutes (its clock: 1600 of "
            "2400 MHz); steady p50 3.05 ms, 1.49× the cold one, from 4 min 10 s.",
        ),
        (
            ran(held_from=1500),
            "tflite/int8 on rpi5: throttled after 25 min 00 s of 30 minutes (its clock: 1600 of "
            "2400 MHz); no steady state was found: it was too short, or still changed.",
        ),
        (
            ran(600, clock_mhz=None, cut="the connection was lost"),
            "tflite/int8 on rpi5: 10 min 00 s on a machine that does not tell its clock, so "
            "throttling may go unseen; steady p50 2.05 ms, 1.00× the cold one, from 30.0 s; "
            "it ended early: the connection was lost.",
        ),
        (ran(0, cut="it died"), "tflite/int8 on rpi5: it ended early: it died."),
    ],
)
def test_one_sentence_says_what_happened(raw: Measurement, sentence: str) -> None:
    assert in_words(raw) == sentence


def test_the_table_has_each_phase() -> None:
    table = sustained_table([ran(held_from=250), ran(0, cut="it died")])
    (row,) = table.rows
    assert [cell.text for cell in row.cells] == [
        *("2.05", "–"),
        *("2.05", "2.10", "3.05", "3.10"),
        *("4 min 10 s", "4 min 10 s", "45 to 75", "93.2"),
    ]
    assert len(row.cells) == len(table.columns) - 1


@pytest.mark.parametrize("raw", [ran(held_from=250), ran(3), ran(90, clock_mhz=None)])
def test_the_curve_is_small_and_says_its_medians(raw: Measurement) -> None:
    assert raw.sustained is not None
    svg = figures.sustained("sustained-0", raw.variant, raw.sustained)
    assert svg == figures.sustained("sustained-0", raw.variant, raw.sustained)
    assert "cold median 2.05 ms" in svg and "nan" not in svg.lower()
    assert ("clock, MHz" in svg) == (not np.isnan(raw.sustained.frequency_mhz).all())
    assert "#a0f" not in svg and len(svg) < 60_000


def test_the_page_shows_runs_of_both_folders(fake_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(fake_run, tmp_path / "run")
    raw = ran(held_from=250)
    write_measurement(run / SUSTAINED, raw)
    (timed,) = (m for m in read_measurements(run / "measurements") if m.variant == raw.variant)
    timed = dataclasses.replace(timed, sustained=ran(100).sustained)
    write_measurement(run / "measurements", timed)
    html = write_report(run, tmp_path / "page.html").read_text(encoding="utf-8")
    assert in_words(raw) in html and in_words(timed) in html
    assert '<section id="sustained"' in html
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    used = set(re.findall(r"var\((--[\w-]+)\)", html))
    assert used <= set(re.findall(r"(--[\w-]+):", html)) and "#a0f" not in html


def test_without_such_a_run_nothing_is_said(page: Path) -> None:
    assert '<section id="sustained"' not in page.read_text(encoding="utf-8")
