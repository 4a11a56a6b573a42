"""Device, precision and processes, chosen by what the machine has."""

import functools
import os
import pickle
from collections.abc import Callable
from typing import cast

import pytest
import torch
from lightning.fabric import Fabric
from torch import nn
from torch.multiprocessing.spawn import ProcessRaisedException

from landmint.runtime.errors import LandmintError
from landmint.runtime.progress import SILENT, Progress
from landmint.train import launch
from landmint.train.fit_config import FitConfig
from landmint.train.launch import (
    Autocast,
    device_of,
    precision_on,
    strategy_of,
    workers_of,
)

BF16 = FitConfig(precision="bf16")


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def test_auto_takes_bf16_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for features, wanted in (
        ({"avx512_bf16": True}, "bf16"),
        ({"amx_bf16": True}, "bf16"),
        ({"avx512_f": True}, "32"),
    ):
        tells: Callable[[], dict[str, bool]] = functools.partial(dict, features)
        monkeypatch.setattr(torch.cpu, "get_capabilities", tells, raising=False)
        assert precision_on("cpu", FitConfig()) == wanted
    for native, wanted in ((True, "bf16"), (False, "fp16")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda native=native, **_: native)
        assert precision_on("cuda", FitConfig()) == wanted
    assert precision_on("cpu", BF16) == "bf16"


def test_a_torch_that_cannot_tell_trains_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert precision_on("cpu", FitConfig()) == "32"


def test_what_the_machine_lacks_is_refused(no_gpu: None) -> None:
    with pytest.raises(LandmintError, match="needs a GPU"):
        precision_on("cpu", FitConfig(precision="fp16"))
    with pytest.raises(LandmintError, match="sees no GPU"):
        device_of(FitConfig(accelerator="cuda"))
    assert device_of(FitConfig()) == "cpu"


def test_processes_of_one_node_are_spawned_here(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TORCHELASTIC_RUN_ID", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    assert strategy_of(FitConfig()) == "auto"
    assert strategy_of(FitConfig(devices=2)) == "ddp_spawn"
    assert strategy_of(FitConfig(nodes=2)) == "ddp"
    assert strategy_of(FitConfig(devices=2, strategy="ddp_fork")) == "ddp_fork"
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    assert strategy_of(FitConfig(devices=2)) == "ddp"


def test_workers_leave_a_core_to_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, wanted in ((1, 1), (2, 1), (4, 3), (64, 8)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, n=cores: set(range(n)))
        assert workers_of(FitConfig()) == wanted
    assert workers_of(FitConfig(workers=0)) == 0


def test_depthwise_convolutions_stay_wide_under_autocast() -> None:
    torch.manual_seed(0)
    depthwise, dense = nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 8, 3)
    image = torch.randn(2, 8, 9, 9)
    exact = depthwise(image)
    with Autocast("bf16-mixed", "cpu").forward_context():
        assert torch.equal(depthwise(image), exact)
        assert depthwise(image.bfloat16()).dtype == torch.bfloat16
        assert dense(image).dtype == torch.bfloat16


def test_the_batch_is_not_rounded() -> None:
    batch = {"points": torch.tensor([0.12345678])}
    assert Autocast("bf16-mixed", "cpu").convert_input(batch)["points"].dtype == torch.float32


class _FakeSpawn:
    """Runs the work here, as spawned processes would: what they raise does not come through."""

    def launch(self, work: Callable[..., None], *arguments: object) -> None:
        try:
            work(self, *arguments)
        except BaseException:
            raise ProcessRaisedException("traceback", 0, 1) from None


class Notes:
    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def at(self, done: int, total: int, note: str = "") -> None:
        self.calls.append((done, total, note))

    def step(self, note: str) -> None:
        self.calls.append((note,))


@pytest.mark.parametrize("error", [LandmintError("a fact", remedy="mend it"), KeyboardInterrupt()])
def test_reports_and_errors_of_spawned_processes_arrive(error: BaseException) -> None:
    seen = Notes()

    def work(fabric: Fabric, progress: Progress) -> None:
        progress.step("begins")
        progress.at(1, 2, "a note")
        raise error

    config = FitConfig(devices=2, strategy="ddp_spawn")
    with pytest.raises(type(error)) as raised:
        launch.launch(cast(Fabric, _FakeSpawn()), config, work, seen)
    assert seen.calls == [("begins",), (1, 2, "a note")]
    assert str(raised.value) == str(error)


def test_other_failures_of_spawned_processes_are_not_hidden() -> None:
    def work(fabric: Fabric, progress: Progress) -> None:
        raise ValueError("a defect")

    config = FitConfig(devices=2, strategy="ddp_spawn")
    with pytest.raises(ProcessRaisedException):
        launch.launch(cast(Fabric, _FakeSpawn()), config, work, SILENT)


def test_an_error_survives_the_pipe() -> None:
    error = LandmintError("a fact", reason="why", remedy="how", choices=("a", "b"))
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
