"""What a report reads of a run: the stages that ran, and networks as far as libraries allow."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from landmint.pipeline.places import REPORT_FILE, record_path
from landmint.pipeline.report.gather import _stages
from landmint.runtime.files import write_json


def _record(place: Path, stage: str, upstream: Sequence[str], outcome: str = "1" * 64) -> None:
    inputs = {"revision": 1, "upstream": dict.fromkeys(upstream, "2" * 64), "settings": {}}
    record = {"stage": stage, "digest": "0" * 64, "outcome": outcome, "inputs": inputs}
    write_json(record_path(place), record | {"seconds": 1.5})


def test_stages_stand_after_what_they_need_and_unfinished_ones_are_left_out(tmp_path: Path) -> None:
    run, teacher = tmp_path / "run", tmp_path / "teachers" / "0123"
    run.mkdir()
    teacher.mkdir(parents=True)
    (run / "teacher").symlink_to(teacher)
    _record(run / "faces", "faces", ())
    _record(teacher, "teacher", ["faces"])
    _record(run / "student", "student", ["faces", "teacher"])
    _record(run / "archive.zip", "archive", ["student"])
    _record(run / "bundle", "bundle", ["student"], outcome="")
    _record(run / REPORT_FILE, "report", ["student"])
    stages = _stages(run)
    assert [stage.name for stage in stages] == ["faces", "teacher", "student", "archive"]


def test_without_torch_the_page_has_everything_but_the_size_of_networks(
    fake_run: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    script = (
        "import sys\nfrom pathlib import Path\nsys.modules['torch'] = None\n"
        "from landmint.pipeline.report import write_report\n"
        f"write_report(Path({str(fake_run)!r}), Path({str(page)!r}))"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    html = page.read_text(encoding="utf-8")
    assert "not known here: torch is not installed" in html
    assert "multiply-accumulates" not in html
