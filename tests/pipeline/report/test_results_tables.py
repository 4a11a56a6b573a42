"""The documents' tables come from runs, and from nothing else."""

import dataclasses
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from landmint.runtime.errors import LandmintError
from tests.scripts import benchmark

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def results() -> ModuleType:
    return benchmark("results")


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "README.md", tmp_path)
    shutil.copy(ROOT / "docs" / "results.md", tmp_path / "docs")
    return tmp_path


def test_tables_are_written_and_written_again_alike(
    results: ModuleType, fake_run: Path, documents: Path
) -> None:
    arguments = ["--runs", str(fake_run.parent), "--root", str(documents)]
    assert results.main(arguments) == 0
    first = (documents / "docs" / "results.md").read_text(encoding="utf-8")
    assert results.main(arguments) == 0
    assert (documents / "docs" / "results.md").read_text(encoding="utf-8") == first
    assert "## fake" in first
    assert "| openvino/int8 | 3." in first
    assert "Not measured: tensorrt/int8." in first


def test_what_ran_elsewhere_is_kept(
    results: ModuleType, fake_run: Path, documents: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = documents / "docs" / "results.md"
    before = results.read_sections(page)
    assert len(before) >= 9
    results.main(["--runs", str(fake_run.parent), "--root", str(documents)])
    after = results.read_sections(page)
    assert list(after) == sorted([*before, "fake"])
    assert {name: after[name] for name in before} == before
    assert (
        f"kept, for they did not run here: {', '.join(sorted(before))}" in capsys.readouterr().out
    )


def test_a_run_replaces_its_own_section_alone(
    results: ModuleType, fake_run: Path, documents: Path
) -> None:
    page = documents / "docs" / "results.md"
    (run,) = results.read_runs(fake_run.parent)
    elsewhere = results.section(run).replace("## fake", "## later")
    results.replace_table(page, f"## fake\n\nold\n\n{elsewhere}")
    around = page.read_text(encoding="utf-8").split(results.END)[1]
    results.main(["--runs", str(fake_run.parent), "--root", str(documents)])
    sections = results.read_sections(page)
    assert list(sections) == ["fake", "later"]
    assert "old" not in sections["fake"] and "| openvino/int8 | 3." in sections["fake"]
    assert sections["later"] == elsewhere
    assert page.read_text(encoding="utf-8").split(results.END)[1] == around


def test_the_readme_has_the_tables_of_the_page_in_short(results: ModuleType) -> None:
    """The two documents as they stand in the repository."""
    sections = results.read_sections(ROOT / "docs" / "results.md")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    written = readme[readme.index(results.BEGIN) : readme.index(results.END)]
    assert results.overview(sections) in written


def test_a_section_with_another_table_is_told(results: ModuleType) -> None:
    for text in ("## a\n\nnothing", "## a\n\n| variant | NME |\n| --- | --- |\n| onnx/int8 | 4 |"):
        with pytest.raises(
            LandmintError, match="the section of a .* (?s:.*)columns should be variant; NME, %"
        ):
            results.overview({"a": text})


def test_drawn_faces_are_no_real_faces(results: ModuleType, fake_run: Path) -> None:
    (run,) = results.read_runs(fake_run.parent)
    text = results.overview({run.name: results.section(run)})
    assert text == "No run on real faces has been measured yet."


def test_a_document_without_markers_is_left_alone(results: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text("nothing here", encoding="utf-8")
    with pytest.raises(LandmintError, match="markers"):
        results.replace_table(path, "table")
    assert path.read_text(encoding="utf-8") == "nothing here"


def test_no_runs_is_said(
    results: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert results.main(["--runs", str(tmp_path)]) == 2
    assert "holds no measured run" in capsys.readouterr().err


def test_a_processor_without_vnni_is_told_from_one_with_it(
    results: ModuleType, fake_run: Path
) -> None:
    (run,) = results.read_runs(fake_run.parent)
    summaries = []
    for summary in run.summaries:
        machine = summary.measurement.machine
        if machine:
            machine = dataclasses.replace(machine, flags=("avx2",))
        measurement = dataclasses.replace(summary.measurement, machine=machine)
        summaries.append(dataclasses.replace(summary, measurement=measurement))
    older = results.section(dataclasses.replace(run, summaries=tuple(summaries)))
    notes = list(results.machine_notes({"new": results.section(run), "old": older}))
    assert notes == [
        "Measured on Imaginary CPU (2 cores, one thread a model): new.",
        "Measured on Imaginary CPU without VNNI (2 cores, one thread a model): old.",
    ]


def test_real_faces_fill_the_readme(results: ModuleType, fake_run: Path) -> None:
    (run,) = results.read_runs(fake_run.parent)
    provenance = {**run.manifest.provenance, "faces": {"kind": "300w"}}
    manifest = dataclasses.replace(run.manifest, provenance=provenance)
    real = dataclasses.replace(run, manifest=manifest)
    text = results.overview({"fake": results.section(real)})
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert [row.split("|")[1].strip() for row in rows] == ["recipe", "---", "fake"]
    assert rows[2].count(" / ") == 5 * 2
    assert len({row.count("|") for row in rows}) == 1
    assert "Not measured: tensorrt/int8." in text
    assert "Imaginary CPU (2 cores, one thread a model)" in text
