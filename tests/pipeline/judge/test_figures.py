"""One table of figures: complete, and what the documents' tables are headed with."""

from pathlib import Path

from landmint.pipeline.judge.figures import LATENCY, LATENCY_RATIO, LIMITED, MOVED, NME, NME_RISE
from landmint.pipeline.judge.gate import Limits
from landmint.pipeline.measure_config import GateConfig
from tests.scripts import benchmark

ROOT = Path(__file__).parents[3]


def test_the_table_of_figures_is_current() -> None:
    module = benchmark("figures")
    page = (ROOT / "docs" / "how-it-measures.md").read_text(encoding="utf-8")
    assert "| NME rise | points |" in page
    assert page == module.with_table(page), "run `make reference`"


def test_every_limit_has_its_figure() -> None:
    assert list(LIMITED) == list(Limits().by_name())
    assert set(LIMITED) == set(GateConfig.model_fields) - {"optional"}


def test_the_unit_that_a_limit_is_named_after_is_its_figure_s() -> None:
    units = {"percent": ("%", "points"), "ms": ("ms",), "ratio": ("×",), "mib": ("MiB",)}
    for name, figure in LIMITED.items():
        assert figure.unit in units[name.rpartition("_")[2]]


def test_tables_of_documents_are_headed_alike() -> None:
    of_variants = " | ".join(figure.heading for figure in (NME_RISE, MOVED, LATENCY))
    of_students = f"| {NME.heading} | INT8 {NME.heading} | INT8 {NME_RISE.heading} |"
    pages = {"docs/results.md": of_variants, "README.md": of_students, "docs/zoo.md": of_students}
    for page, headings in pages.items():
        assert headings in (ROOT / page).read_text(encoding="utf-8"), page


def test_values_are_written_with_their_units() -> None:
    assert NME_RISE.write_with_unit(-0.0152) == "\N{MINUS SIGN}0.015 points"
    assert NME_RISE.write_with_unit(float("inf")) == "infinite"
    assert LATENCY.write_with_unit(1.2345) == "1.23 ms"
    assert LATENCY_RATIO.write_with_unit(1.1) == "1.100×"
    assert LATENCY_RATIO.write_limit(1.0) == "1×"
    assert LATENCY.write(None) == "–"
