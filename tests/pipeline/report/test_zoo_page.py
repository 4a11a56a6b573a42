"""The page of the published systems: figures come from runs, and those of other machines stay."""

import re
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from tests.scripts import benchmark

ROOT = Path(__file__).parents[3]
SYSTEM = ROOT / "recipes" / "zoo" / "pfld-025x.toml"
MARKED = "# Page\n\n<!-- results:begin -->\n<!-- results:end -->\n\nThe end.\n"


@pytest.fixture(scope="module")
def zoo() -> ModuleType:
    return benchmark("zoo")


@pytest.fixture
def systems(zoo: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Two systems, of which the first has the name of the invented run; to be added to."""
    paths = {}
    for name in ("fake", "other"):
        paths[f"zoo/{name}"] = Path(shutil.copy(SYSTEM, tmp_path / f"{name}.toml"))
    other = paths["zoo/other"]
    other.write_text(other.read_text("utf-8").replace("PFLD .25X", "Other"), "utf-8")
    monkeypatch.setattr(zoo, "published_systems", lambda: paths)
    return paths


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(MARKED, encoding="utf-8")
    return path


def _write(zoo: ModuleType, runs: Path, page: Path) -> str:
    assert zoo.main(["--runs", str(runs), "--page", str(page)]) == 0
    return page.read_text(encoding="utf-8")


def _rows(text: str) -> dict[str, list[str]]:
    """The table's cells under their headings, by recipe."""
    table = re.search(r"(?:^\|.*\n?)+", text, re.MULTILINE)
    assert table
    lines = [[c.strip() for c in line.split("|")[1:-1]] for line in table[0].splitlines()]
    return {row[0]: row for row in lines[2:]}


def _column(zoo: ModuleType, heading: str) -> int:
    return int(zoo._COLUMNS.index(heading))


def test_a_run_fills_the_row_of_its_system(
    zoo: ModuleType, systems: dict[str, Path], fake_run: Path, page: Path
) -> None:
    text = _write(zoo, fake_run.parent, page)
    assert _write(zoo, fake_run.parent, page) == text
    rows = _rows(text)
    assert rows.keys() == systems.keys()
    row = rows["zoo/fake"]
    float32_ms = [float(ms) for ms in row[_column(zoo, "float32, ms")].split(" / ")]
    assert float32_ms == pytest.approx([2.1, 1.6, 2.9], rel=0.2)
    (run,) = zoo.read_runs(fake_run.parent)
    by_name = {summary.name: summary for summary in run.summaries}
    int8 = [by_name[name] for name in zoo.INT8]
    nme = [float(cell) for cell in row[_column(zoo, "INT8 NME, %")].split(" / ")]
    assert nme == pytest.approx([100 * s.accuracy.main.nme for s in int8], abs=0.005)
    rise = [float(c) for c in row[_column(zoo, "INT8 NME rise, points")].split(" / ")]
    assert rise == pytest.approx([100 * s.difference.nme_rise.estimate for s in int8], abs=0.0005)


def test_a_row_says_when_and_how_and_on_what_it_was_measured(
    zoo: ModuleType, systems: dict[str, Path], fake_run: Path, page: Path
) -> None:
    text = _write(zoo, fake_run.parent, page)
    section = text[text.index("## PFLD .25X") : text.index("## Other")]
    assert "- Measured on 24 drawn test faces of 6 persons, 2026-01-01T00:00:00+00:00" in section
    assert "8 epochs in 3 min" in section
    assert "- Machine: Imaginary CPU (2 cores, one thread a model)" in section
    note = "Measured on Imaginary CPU (2 cores, one thread a model): zoo/fake."
    assert note in text[: text.index("## PFLD")]


def test_what_ran_elsewhere_is_kept_and_a_system_that_is_gone_is_not(
    zoo: ModuleType,
    systems: dict[str, Path],
    fake_run: Path,
    page: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = _write(zoo, fake_run.parent, page)
    nowhere = tmp_path / "nowhere"
    assert _write(zoo, nowhere, page) == text
    assert "kept, for they did not run here: zoo/fake" in capsys.readouterr().out
    del systems["zoo/fake"]
    gone = _write(zoo, nowhere, page)
    assert "PFLD .25X" not in gone and "Imaginary CPU" not in gone
    assert gone.endswith("The end.\n")


def test_what_the_recipe_says_is_written_anew_over_kept_figures(
    zoo: ModuleType, systems: dict[str, Path], fake_run: Path, page: Path, tmp_path: Path
) -> None:
    _write(zoo, fake_run.parent, page)
    recipe = systems["zoo/fake"]
    text = recipe.read_text(encoding="utf-8")
    text = text.replace("PFLD .25X", "Renamed").replace('"regression"', '"hybrid"')
    recipe.write_text(re.sub(r"^board = .*\n", "", text, count=1, flags=re.M), encoding="utf-8")
    row = _rows(_write(zoo, tmp_path / "nowhere", page))["zoo/fake"]
    assert row[1:4] == ["Renamed", "hybrid", "one CPU core, small maps"]
    assert float(row[6]) > 0


def test_a_row_without_figures_says_why(
    zoo: ModuleType, systems: dict[str, Path], fake_run: Path, page: Path
) -> None:
    text = _write(zoo, fake_run.parent, page)
    assert _rows(text)["zoo/other"][6:] == ["not trained", *["–"] * 5]
    assert "Not trained: no run of it has been measured yet." in text
    recipe = systems["zoo/other"]
    text = recipe.read_text("utf-8").replace("[source]\n", '[source]\nuntrained = "too heavy"\n')
    recipe.write_text(text, encoding="utf-8")
    assert "Not trained: too heavy." in _write(zoo, fake_run.parent, page)


def test_a_variant_without_figures_is_a_dash_with_its_reason(
    zoo: ModuleType, systems: dict[str, Path], fake_run: Path, page: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    run = Path(shutil.copytree(fake_run, runs / "fake", symlinks=True))
    (run / "measurements" / "tflite-int8.json").unlink()
    text = _write(zoo, runs, page)
    row = _rows(text)["zoo/fake"]
    for heading in zoo.BY_ENGINE[1:]:
        gap = row[_column(zoo, heading)].split(" / ")[2] == "–"
        assert gap == heading.startswith("INT8"), "float32 is there"
    assert "Not measured: tflite/int8. The recipe does not ask for it" in text
    assert "Why there is a dash stands in the section of the system: zoo/fake." in text


def test_the_picture_is_of_one_machine(
    zoo: ModuleType, systems: dict[str, Path], fake_run: Path, page: Path, tmp_path: Path
) -> None:
    systems["zoo/third"] = Path(shutil.copy(systems["zoo/other"], tmp_path / "third.toml"))
    text = systems["zoo/third"].read_text("utf-8").replace('"Other"', '"Third"')
    systems["zoo/third"].write_text(text, encoding="utf-8")
    written = _write(zoo, fake_run.parent, page)
    picture = tmp_path / "images" / "zoo.svg"
    assert ">fake</text>" in picture.read_text("utf-8")
    assert "(images/zoo.svg)" in written
    assert re.search(r"On the front stand zoo/fake \(3\.\d+ ms, \d\.\d+ %\)", written)

    (run,) = zoo.read_runs(fake_run.parent)
    recipes = {name: zoo.load_recipe(path) for name, path in systems.items()}
    here = zoo.part(run)
    elsewhere = here.replace("Imaginary CPU", "Another CPU")
    parts = {"zoo/fake": here, "zoo/other": elsewhere, "zoo/third": elsewhere}
    both = zoo.page(recipes, parts)
    assert "Measured on Another CPU (2 cores, one thread a model): zoo/other and zoo/third." in both
    assert "Not drawn, for they were timed on another machine: zoo/fake." in both
    zoo.write_picture(picture, recipes, parts)
    assert ">fake</text>" not in picture.read_text("utf-8")
    assert "Measured on Another CPU" in picture.read_text("utf-8")


def test_no_row_of_the_page_is_without_a_figure_and_without_a_reason(zoo: ModuleType) -> None:
    """The page as it stands in the repository."""
    path = ROOT / "docs" / "zoo.md"
    rows = _rows(path.read_text(encoding="utf-8").partition("<!-- results:begin -->")[2])
    assert len(rows) >= 30
    sections = {
        name: text
        for text in zoo.read_sections(path).values()
        for name in re.findall(r"^`(zoo/.+?)`", text, re.MULTILINE)
    }
    assert sections.keys() == rows.keys()
    reason = re.compile(r"^(Not trained: .|Not measured: .|Built, not run: .|Not kept: .)", re.M)
    for name, row in rows.items():
        if any("–" in cell for cell in row):
            assert reason.search(sections[name]), name
        else:
            assert re.search(r"^- Measured on .*\d", sections[name], re.M), name
