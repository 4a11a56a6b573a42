"""A markup of one's own goes all the way: imported, quantised, measured, judged elsewhere."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from landmint import api
from landmint.pipeline.judge.truth import TRUTH_FILE
from landmint.pipeline.recipe import load_recipe
from landmint.runtime.markup import get_markup
from landmint.train.faces.readers import Split
from landmint.train.faces.synthetic import write_synthetic
from tests.export.importing.conftest import foreign_onnx, write_contract

FIVE = """
name = "five-on-the-way"
flip = [1, 0, 2, 4, 3]
eye_corners = [0, 1]
"""
CHOSEN = [36, 45, 30, 48, 54]


def _faces(folder: Path) -> None:
    """Drawn faces with five of their 68 landmarks."""
    counts: dict[Split, int] = {"train": 16, "val": 2, "test": 4}
    write_synthetic(folder, counts, get_markup("68"), 64, seed=1)
    for path in folder.rglob("*.pts"):
        rows = np.loadtxt(path, skiprows=3, comments="}")[CHOSEN]
        lines = ["version: 1", "n_points: 5", "{", *(f"{x} {y}" for x, y in rows), "}"]
        path.write_text("\n".join(lines) + "\n")


def test_a_markup_of_ones_own_goes_all_the_way(tmp_path: Path) -> None:
    _faces(tmp_path / "faces")
    (tmp_path / "five.toml").write_text(FIVE)
    foreign_onnx(tmp_path / "net.onnx", shape=(5, 2))
    contract = write_contract(tmp_path / "contract.toml")
    text = contract.read_text().partition("[outputs.confidence]")[0]
    contract.write_text(text.replace('"68"', '"five.toml"'))
    onnx = api.ExportConfig(formats=("onnx",), parity_faces=2)
    api.import_(tmp_path / "net.onnx", contract, tmp_path / "float", config=onnx)
    int8 = api.QuantizeConfig(formats=("onnx",), size=8)
    faces = tmp_path / "faces"
    api.quantize(tmp_path / "float", tmp_path / "bundle", config=int8, faces=faces)
    quick = api.MeasureConfig(launches=1, samples=4, seconds=0.2)
    measured = api.measure(tmp_path / "bundle", tmp_path / "m", config=quick, faces=faces)
    shapes = {m.variant: m.points.shape for m in measured if m.points is not None}
    assert set(shapes) == {"original/float32", "onnx/float32", "onnx/int8"}
    assert set(shapes.values()) == {(4, 5, 2)}

    script = (
        "import sys\nfrom pathlib import Path\n"
        "from landmint.pipeline.judge.summary import summarise_run\n"
        "from landmint.pipeline.judge.truth import read_truth\n"
        "from landmint.runtime.measurement import read_measurements\n"
        "folder = Path(sys.argv[1])\n"
        f"truth = read_truth(folder / {TRUTH_FILE!r})\n"
        "rows = summarise_run(read_measurements(folder), truth)\n"
        "assert all(row.accuracy for row in rows) and len(rows) == 3\n"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path / "m"], check=True)


def test_a_recipe_names_its_file(tmp_path: Path) -> None:
    (tmp_path / "five.toml").write_text(FIVE)
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        '[faces]\nroot = "faces"\nmarkup = "five.toml"\n[student.model]\nname = "pfld"\n'
    )
    loaded = load_recipe(recipe)
    assert loaded.faces.markup == loaded.student.model.markup == "five-on-the-way"
