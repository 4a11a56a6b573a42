"""Histories as rows, series, CSV and a page; strings of strangers stay strings."""

import csv
import io
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from landmint.pipeline.history.page import change_sentence, write_page
from landmint.pipeline.history.series import Series, rows_of, series_of, to_csv
from landmint.pipeline.history.store import open_history
from landmint.pipeline.judge.truth import write_truth
from landmint.runtime.accuracy import Truth
from landmint.runtime.errors import LandmintError
from landmint.runtime.measurement import Measurement

Session = Callable[..., Measurement]
HOSTILE = "<script>alert('x')</script> & \"quotes\""
FORMULA = "=HYPERLINK(1)"


def _series(file: Path, measurements: Sequence[Measurement], revision: str = "") -> list[Series]:
    with open_history(file, write=True) as history:
        for index, measurement in enumerate(measurements):
            history.add([measurement], revision=f"{revision}{index // 10}")
        return series_of(rows_of(history))


@pytest.fixture
def stepped(tmp_path: Path, session: Session) -> Series:
    """Twenty sessions; in the eleventh came a slower runtime."""
    rng = np.random.default_rng(1)
    measurements = [
        session(
            (2.0 if day < 10 else 2.3) * float(np.exp(rng.normal(0, 0.01))),
            day,
            engine_version="litert 2.1" if day < 10 else "litert 2.2",
        )
        for day in range(20)
    ]
    (series,) = _series(tmp_path / "h.sqlite", measurements)
    return series


def test_a_row_has_identity_and_figures(tmp_path: Path, session: Session) -> None:
    measurement = session(2.0)
    assert measurement.latency is not None and measurement.points is not None
    boxes = np.tile([10.0, 10, 80, 80], (4, 1))
    truth = Truth("68", measurement.faces, tuple("abcd"), measurement.points + 3.0, boxes)
    write_truth(tmp_path / "truth.npz", truth)
    with open_history(tmp_path / "h.sqlite", write=True) as history:
        history.add([measurement], (tmp_path / "truth.npz").read_bytes(), "0123abc")
        (row,) = rows_of(history)
    assert row.latency_ms == pytest.approx(measurement.latency.warm_ms)
    assert row.machine == "Raspberry Pi 5 Model B Rev 1.0"
    assert (row.file_sha256, row.bundle_sha256, row.revision) == ("f" * 64, "b" * 64, "0123abc")
    eyes = np.linalg.norm(truth.points[:, 36] - truth.points[:, 45], axis=1)
    assert row.nme_percent == pytest.approx(float(np.mean(100 * 3 * np.sqrt(2) / eyes)))
    assert row.p99_ms is None


def test_series_are_told_apart_and_sorted(tmp_path: Path, session: Session) -> None:
    measurements = [
        *(session(2.0, day) for day in (3, 1, 2)),
        session(1.0, 1, variant="onnx/int8"),
        session(1.0, 1, threads=2),
        session(1.0, 1, launches=0),
    ]
    series = _series(tmp_path / "h.sqlite", measurements)
    board = "Raspberry Pi 5 Model B Rev 1.0"
    assert [(each.name, len(each.rows)) for each in series] == [
        (f"pfld-own-112 onnx/int8 on {board}", 1),
        (f"pfld-own-112 tflite/int8 on {board}", 3),
        (f"pfld-own-112 tflite/int8 on {board}, 2 threads", 1),
    ]
    assert [row.session[8:10] for row in series[1].rows] == ["02", "03", "04"]


def test_a_change_is_told_with_what_else_was_new(stepped: Series) -> None:
    (change,) = stepped.changes()
    assert re.fullmatch(
        r"\+1[45]\.\d % since 2026-01-11 12:00 UTC "
        r"\(runtime litert 2.1 → litert 2.2; revision 0 → 1\)",
        change_sentence(stepped, change),
    )


def test_csv_is_read_back_and_runs_no_formula(tmp_path: Path, session: Session) -> None:
    (series,) = _series(
        tmp_path / "h.sqlite", [session(2.0, bundle=FORMULA, engine_version=HOSTILE)]
    )
    (row,) = csv.DictReader(io.StringIO(to_csv(series.rows)))
    assert row["model"] == f"'{FORMULA}"
    assert row["runtime"] == HOSTILE
    assert float(row["latency_ms"]) == pytest.approx(series.rows[0].latency_ms)
    assert row["nme_percent"] == ""


def test_the_page_escapes_names_and_runs_nothing(tmp_path: Path, session: Session) -> None:
    names = {"bundle": HOSTILE, "engine_version": HOSTILE, "executed_precision": HOSTILE}
    series = _series(tmp_path / "h.sqlite", [session(2.0, d, **names) for d in range(2)], HOSTILE)
    html = write_page(series, HOSTILE, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<script" not in html
    assert html.count("&lt;script&gt;") > 5
    assert "Changes are looked for after 6 more sessions." in html


def test_the_page_tells_changes_first(stepped: Series, tmp_path: Path) -> None:
    html = write_page([stepped], "pi", tmp_path / "page.html").read_text(encoding="utf-8")
    assert '<div class="banner bad"><strong>one change of latency</strong>' in html
    assert html.count("litert 2.1 → litert 2.2") == 2
    assert html.index("2026-01-20") < html.rindex("2026-01-01")


def test_no_series_is_no_page(tmp_path: Path) -> None:
    with pytest.raises(LandmintError, match="no session was timed"):
        write_page([], "empty", tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_page_in_a_browser(stepped: Series, tmp_path: Path) -> None:
    """Its console is silent, and it fits a phone."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        assert os.environ.get("CI") != "true", "chromium is missing"
        pytest.skip("chromium is missing; install it with: apt install chromium")
    page = write_page([stepped], HOSTILE, tmp_path / "page.html")
    probe = (
        "<script>const page = document.documentElement;"
        "document.title = `wide ${page.scrollWidth} of ${page.clientWidth}`;</script></body>"
    )
    html = page.read_text(encoding="utf-8").replace("</body>", probe)
    probed = tmp_path / "probed.html"
    policy = r'<meta http-equiv="Content-Security-Policy"[^>]*>'
    probed.write_text(re.sub(policy, "", html), encoding="utf-8")
    dom, console = _open(browser, page, tmp_path / "profile")
    assert "</h1>" in dom and "<svg" in dom
    assert console == []
    dom, _ = _open(browser, probed, tmp_path / "profile")
    width = re.search(r"<title>wide (\d+) of (\d+)</title>", dom)
    assert width is not None
    assert int(width.group(1)) <= int(width.group(2))


def _open(browser: str, page: Path, profile: Path) -> tuple[str, list[str]]:
    """The page's DOM after loading, and the lines of its console."""
    options = (
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *("--enable-logging=stderr", "--v=0", "--window-size=400,900", "--dump-dom"),
    )
    command = [browser, *options, f"--user-data-dir={profile}", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, re.findall(r"CONSOLE.*", done.stderr)
