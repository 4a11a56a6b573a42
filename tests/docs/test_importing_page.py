"""The page about foreign models, followed word for word on a network made here."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from landmint.pipeline import cli
from landmint.pipeline.draw import write_image
from landmint.pipeline.measure_config import MeasureConfig
from landmint.runtime.bundle import Bundle
from landmint.runtime.markup import get_markup
from landmint.train.faces.readers import Split
from landmint.train.faces.synthetic import generate, write_synthetic
from tests.export.importing.conftest import foreign_onnx

PAGE = Path(__file__).parents[2] / "docs/importing.md"
PART = re.compile(
    r"(?:^`(?P<path>[^`\n]+)`:\n\n)?^```(?P<kind>sh|toml|python)\n(?P<text>.*?)^```$", re.M | re.S
)


class Quick(MeasureConfig):
    """Times for a moment."""

    launches: int = 2
    samples: int = 8
    seconds: float = 0.2


@pytest.mark.slow
def test_the_page_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    # As on the page, but timed for a moment.
    monkeypatch.setattr("landmint.pipeline.measure_config.MeasureConfig", Quick)
    foreign_onnx(tmp_path / "net.onnx")
    counts: dict[Split, int] = {"train": 64, "val": 4, "test": 8}
    write_synthetic(tmp_path / "my-faces", counts, get_markup("68"), 64, seed=1)
    write_image(tmp_path / "photo.jpg", generate(0, 0, get_markup("68"), 256).image)

    ran = []
    for part in PART.finditer(PAGE.read_text(encoding="utf-8")):
        if part["path"]:
            (tmp_path / part["path"]).write_text(part["text"], encoding="utf-8")
            continue
        for command in part["text"].splitlines():
            program, *words = shlex.split(command)
            result = CliRunner().invoke(cli.app, words)
            assert program == "landmint" and result.exit_code == 0, f"{command}\n{result.output}"
            ran.append(words[0])
    verbs = ["import", "import", "export", "quantize", "measure", "report", "predict", "gate"]
    assert ran == [*verbs, "import", "import"]
    bundle = Bundle.open(tmp_path / "net/bundle")
    assert bundle.manifest.reference.name == "original/float32"
    assert (tmp_path / "net/report.html").is_file()
    assert list((tmp_path / "net/predictions").glob("photo.*"))
    reference = Bundle.open(tmp_path / "my-net").manifest.reference
    assert "original/build.pt" in reference.files
