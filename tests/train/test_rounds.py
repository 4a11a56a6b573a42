"""Self-training: the network that is best on faces labels a round, and the best round is kept."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from landmint.train import rounds
from landmint.train.config import Curriculum, NetworkRecipe, SelfTrainingConfig, TrainingPlan
from landmint.train.faces.face import FaceSet
from landmint.train.faces.readers import FacesConfig
from landmint.train.fit_config import FitConfig
from landmint.train.loop import HISTORY_FILE, MODEL_FILE
from landmint.train.models import ModelConfig
from landmint.train.self_training import Unlabelled

ROUNDS: tuple[Curriculum, ...] = ("cls3", "cls2", "std")


@pytest.mark.parametrize(
    ("nme", "labellers", "kept"),
    [
        ((0.08, 0.07, 0.06, 0.05), ["student", "1-cls3", "2-cls2"], "3-std"),
        ((0.08, 0.20, 0.15, 0.07), ["student", "student", "student"], "3-std"),
        ((0.08, 0.07, 0.20, 0.10), ["student", "1-cls3", "1-cls3"], "1-cls3"),
        ((0.05, 0.20, 0.15, 0.07), ["student", "student", "student"], "3-std"),
    ],
    ids=["ever-better", "rough-rounds-are-worse", "spoilt-by-a-round", "of-no-use"],
)
def test_the_best_network_labels_and_the_best_round_is_kept(
    nme: Sequence[float],
    labellers: list[str],
    kept: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folders = ["student", *(f"{i}-{name}" for i, name in enumerate(ROUNDS, start=1))]
    errors = dict(zip(folders, nme, strict=True))
    asked, seeds = [], []

    def label(weights: Path, *rest: Any) -> None:
        asked.append(weights.parent.name)

    def train(plan: TrainingPlan, place: Path, *rest: Any, **more: Any) -> Path:
        place.mkdir(parents=True)
        seeds.append(plan.network.fit.seed)
        (place / HISTORY_FILE).write_text(f"history of {place.name}")
        (place / MODEL_FILE).write_text(place.name)
        return place / MODEL_FILE

    monkeypatch.setattr(rounds, "label_round", label)
    monkeypatch.setattr(rounds, "train_network", train)
    monkeypatch.setattr(rounds, "load_model", lambda weights: weights)
    monkeypatch.setattr(
        rounds, "evaluate", lambda weights, val: SimpleNamespace(nme=errors[weights.parent.name])
    )
    network = NetworkRecipe(model=ModelConfig(name="pipnet"), fit=FitConfig(seed=7))
    plan = TrainingPlan(network, cast(FaceSet, None), cast(FaceSet, None))
    student = train(plan, tmp_path / "student")
    config = SelfTrainingConfig(faces=FacesConfig(), rounds=ROUNDS)
    place = tmp_path / "self-training"
    weights = rounds.self_train(plan, config, student, cast(Unlabelled, None), place)
    assert asked == labellers
    assert seeds == [7, 8, 9, 10]
    assert weights.read_text() == kept
    assert (place / HISTORY_FILE).read_text() == f"history of {kept}"
