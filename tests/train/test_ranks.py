"""Processes of a launcher: all of them return from a training and a labelling, none exits."""

import subprocess
import sys
from pathlib import Path

import pytest

from landmint.runtime.markup import get_markup
from landmint.train.faces.synthetic import write_synthetic

SCRIPT = """
import sys
from pathlib import Path

from landmint.train.config import NetworkRecipe, TrainingPlan
from landmint.train.faces.readers import FacesConfig, load_faces
from landmint.train.faces.unlabelled import WholeImage, find_images
from landmint.train.fit_config import FitConfig
from landmint.train.label import LabelConfig, label_images
from landmint.train.models import ModelConfig
from landmint.train.processes import ProcessConfig, launcher_rank
from landmint.train.training import train_network

folder = Path(sys.argv[1])
network = NetworkRecipe(
    model=ModelConfig(name="pfld", width=0.25, input_size=64),
    fit=FitConfig(accelerator="cpu", devices=2, epochs=1, batch_size=2, workers=0, precision="32"),
)
train, val = (load_faces(FacesConfig(root=folder / "faces"), s, Path()) for s in ("train", "val"))
weights = train_network(TrainingPlan(network, train, val), folder / "student")
images = folder / "faces" / "val"
config = LabelConfig(processes=ProcessConfig(accelerator="cpu", devices=2))
labelled = label_images(
    weights, images, find_images(images), WholeImage(0.1), config, folder / "labels.json"
)
(folder / f"rank-{launcher_rank()}").write_text(f"{weights.is_file()} {labelled.faces}")
"""


@pytest.mark.slow
def test_every_process_of_a_launcher_returns(tmp_path: Path) -> None:
    write_synthetic(tmp_path / "faces", {"train": 4, "val": 3}, get_markup("68"), 64, 0)
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    launcher += ["--local-addr=127.0.0.1"]  # a machine's name need not lead to its address
    done = subprocess.run(
        [*launcher, script, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for rank in (0, 1):
        assert (tmp_path / f"rank-{rank}").read_text() == "True 3"
