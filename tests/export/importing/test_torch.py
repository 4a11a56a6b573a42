"""PyTorch networks: a TorchScript file, and a function that builds one."""

import importlib.util
import pickle
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from landmint import api
from landmint.export.importing.draft import draft_contract
from landmint.export.importing.imported import read_imported
from landmint.export.importing.torch_function import model_file
from landmint.export.importing.torchscript_file import jit, named, quiet
from landmint.runtime.bundle import Bundle
from landmint.runtime.decode import decode
from landmint.runtime.engines import load_engine
from landmint.runtime.errors import LandmintError
from tests.export.importing.networks import (
    SIZE,
    contract_of,
    network,
    traced,
    write_package,
    write_weights,
)

NETS = "package_of_nets.nets"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that one is in, with the package in it."""
    monkeypatch.chdir(write_package(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("package_of_nets")]:
        del sys.modules[name]


def _picture(size: int = SIZE) -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=(1, 3, size, size))).float()


def test_names_of_what_a_network_returns() -> None:
    one = torch.zeros(1)
    assert [*named(one)] == ["output"]
    assert [*named((one, "text", [one, None]))] == ["output.0", "output.2.0"]
    assert [*named({"a": one, "b": {"c": one, "d": (one,)}, 3: 4})] == ["a", "b.c", "b.d.0"]
    assert named("text") == {}
    assert named(one.half())["output"].dtype == torch.float32


def test_a_function_becomes_the_graph_that_its_network_is(package: Path) -> None:
    contract = contract_of(package, "points", "more.0")
    with model_file(f"{NETS}:build", None, (SIZE,)) as path:
        origin = read_imported(path, contract)
        assert origin.name == "build" and origin.path.suffix == ".pt"
        origin.write_source(package / "made.onnx")
    assert not path.exists()
    session = load_engine("onnxruntime").load(package / "made.onnx", origin.contract, threads=1)
    picture = _picture()
    points, confidence = decode(origin.contract, session.run(picture.numpy()))
    with torch.no_grad():
        expected = network("build")(picture)
    shares = expected["points"].numpy().reshape(68, 2)
    np.testing.assert_allclose(points[0], shares * SIZE - 0.5, atol=1e-3)
    np.testing.assert_allclose(confidence, expected["more"][0].numpy(), atol=1e-5)


def test_weights_of_their_own(package: Path) -> None:
    weights = write_weights("untrained", package / "w.safetensors")
    contract, picture = contract_of(package, "points"), _picture().numpy()
    points = {}
    for name, given in (("build", None), ("build", weights), ("untrained", None)):
        with model_file(f"{NETS}:{name}", given, (SIZE,)) as path:
            origin = read_imported(path, contract)
            origin.write_source(package / "made.onnx")
        session = load_engine("onnxruntime").load(package / "made.onnx", origin.contract, threads=1)
        points[name, given], _ = decode(origin.contract, session.run(picture))
    replaced = points["build", weights]
    np.testing.assert_allclose(replaced, points["untrained", None], atol=1e-3)
    assert np.abs(replaced - points["build", None]).max() > 0.1


def test_a_file_becomes_a_bundle_and_stays_as_it_came(package: Path) -> None:
    path = traced("fixed", package / "net.pth", 48)
    contract = contract_of(package, "output.0", size=48)
    config = api.ExportConfig(formats=("onnx",), parity_faces=2)
    api.import_(path, contract, package / "b", config=config)
    bundle = Bundle.open(package / "b")
    names = [variant.name for variant in bundle.manifest.variants]
    assert names == ["original/float32", "onnx/float32"]
    assert bundle.entry(bundle.manifest.reference).read_bytes() == path.read_bytes()
    assert "over 2 crops" in bundle.variant("onnx/float32").notes["parity"]
    assert bundle.manifest.provenance["imported"] == "net.pth"
    assert [output.name for output in bundle.manifest.contract.outputs] == ["coordinates"]


def test_a_scripted_file_with_half_weights(tmp_path: Path) -> None:
    class Small(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(3, 8, 3, stride=4), nn.ReLU())
            self.points = nn.Linear(8, 136)

        def forward(self, image: Tensor, scale: float = 1.0) -> list[Tensor]:
            features = self.body(image).mean((2, 3))
            if features.shape[1] > 8:
                features = features * 2
            return [self.points(features) * scale]

    with quiet():
        torch.manual_seed(0)
        jit.save(jit.script(Small().eval().half()), str(tmp_path / "net.pt"))
    origin = read_imported(tmp_path / "net.pt", contract_of(tmp_path, "output.0"))
    assert origin.contract.input_name == "image"
    origin.write_source(tmp_path / "made.onnx")
    session = load_engine("onnxruntime").load(tmp_path / "made.onnx", origin.contract, threads=1)
    crops = np.random.default_rng(0).integers(0, 255, (1, SIZE, SIZE, 3)).astype(np.uint8)
    own = origin.outputs(crops)["coordinates"]
    tensor = (crops[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32) - 127.5) / 128
    made = session.run(np.ascontiguousarray(tensor))["coordinates"]
    np.testing.assert_allclose(made, own, atol=1e-4)


def test_drafts(package: Path) -> None:
    text = api.draft_contract(f"{NETS}:build")
    assert 'tensor = "points"' in text and 'tensor = "more.0"' in text and 'markup = "68"' in text
    assert "the file takes any size" in text
    fixed = draft_contract(traced("fixed", package / "net.pt", 48))
    assert "size = 48\n" in fixed and 'tensor = "output.0"' in fixed


@pytest.mark.parametrize(
    ("model", "wording"),
    [
        ("no_such_package.nets:build", "no_such_package is neither installed nor in this folder"),
        ("package_of_nets.none:build", "package_of_nets.none is neither installed nor"),
        ("package_of_nets.broken:build", "it needs no_such_library"),
        ("package_of_nets.wrong:build", "ZeroDivisionError"),
        (f"{NETS}:none", "has no function 'none'"),
        (f"{NETS}:number", "has no function 'number'"),
        (f"{NETS}:Net.forward", "is no file that can be imported"),
        (f"{NETS}:failing", "ValueError: no weights here"),
        (f"{NETS}:no_network", "returned list"),
        (f"{NETS}:no_tensor", "returns no tensor"),
        (f"{NETS}:deciding", "computes otherwise once it is traced"),
        (f"{NETS}:fixed", "does not take a picture (1, 3, 32, 32)"),
    ],
)
def test_what_is_no_network(model: str, wording: str, package: Path) -> None:
    with pytest.raises(LandmintError) as error:
        api.import_(model, contract_of(package, "points"), package / "b")
    assert wording in str(error.value) and error.value.remedy
    assert not (package / "b").exists()


def test_weights_that_do_not_fit(package: Path) -> None:
    (package / "w.pt").write_bytes(pickle.dumps({"a": 1}))
    other = write_weights("fixed", package / "w.safetensors")
    part = package / "part.safetensors"
    save_file({"points.bias": torch.zeros(136)}, part)
    cases = {
        package / "w.pt": "SafetensorError",
        package / "none.safetensors": "No such file",
        other: "size mismatch",
        part: "are missing: body.0.0.weight",
    }
    for path, wording in cases.items():
        with (
            pytest.raises(LandmintError, match=wording),
            model_file(f"{NETS}:build", path, (SIZE,)),
        ):
            raise AssertionError
    with (
        pytest.raises(LandmintError, match="beside a file"),
        model_file("net.onnx", other, (SIZE,)),
    ):
        raise AssertionError


def _refused(path: Path, contract: Path) -> str:
    with pytest.raises(LandmintError) as error:
        read_imported(path, contract)
    assert error.value.remedy
    return str(error.value)


def test_files_that_are_no_torchscript(tmp_path: Path) -> None:
    contract, path = contract_of(tmp_path, "points"), tmp_path / "net.pth"
    torch.save(network("build").state_dict(), path)
    assert "a checkpoint has weights without the network" in _refused(path, contract)
    torch.save({"a": 1}, path, _use_new_zipfile_serialization=False)
    assert "is no TorchScript file" in _refused(path, contract)
    path.write_bytes(b"")
    assert "is no TorchScript file" in _refused(path, contract)
    whole = traced("fixed", tmp_path / "net.pt", 48).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "is no TorchScript file" in _refused(path, contract)


class Writing(nn.Module):
    """Writes a file while it is loaded."""

    weight: Tensor

    def __init__(self, place: str) -> None:
        super().__init__()
        self.place = place
        self.register_buffer("weight", torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight

    @torch.jit.export
    def __getstate__(self) -> tuple[Tensor, str, bool]:  # noqa: D105
        return self.weight, self.place, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[Tensor, str, bool]) -> None:  # noqa: D105
        self.weight = state[0]
        self.place = state[1]
        self.training = state[2]
        torch.save(state[0], self.place)


def test_a_file_that_would_write_while_it_is_loaded(tmp_path: Path) -> None:
    target, path = tmp_path / "written", tmp_path / "net.pt"
    with quiet():
        jit.save(jit.script(Writing(str(target))), str(path))
        assert "says save" in _refused(path, contract_of(tmp_path, "points"))
        assert not target.exists()
        jit.load(str(path))  # what torch itself does
    assert target.exists()


@pytest.mark.parametrize(
    ("old", "new"), [("torch.mul", 'getattr(torch, "sa" "ve")'), ("torch.mul", "torch.from_file")]
)
def test_code_that_hides_what_it_calls(old: str, new: str, tmp_path: Path) -> None:
    class Doubling(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.mul(x, 2)

    with quiet():
        jit.save(jit.script(Doubling()), str(tmp_path / "net.pt"))
    reader = torch._C.PyTorchFileReader(str(tmp_path / "net.pt"))
    writer = torch._C.PyTorchFileWriter(str(tmp_path / "other.pt"))
    for name in reader.get_all_records():
        content = reader.get_record(name)
        if name.endswith(".py"):
            assert old.encode() in content
            content = content.replace(old.encode(), new.encode())
        if name not in ("version", ".data/serialization_id", "byteorder"):
            writer.write_record(name, content, len(content))
    writer.write_end_of_file()
    wording = _refused(tmp_path / "other.pt", contract_of(tmp_path, "points"))
    assert "with that TorchScript can write and read files" in wording


def test_a_file_of_two_inputs_or_of_training(tmp_path: Path) -> None:
    class Two(nn.Module):
        def forward(self, image: Tensor, mask: Tensor) -> Tensor:
            return image * mask

    contract, path = contract_of(tmp_path, "points"), tmp_path / "net.pt"
    with quiet():
        jit.save(jit.script(Two()), str(path))
    assert "takes 2 inputs: image, mask" in _refused(path, contract)
    with torch.no_grad(), quiet():
        noisy = nn.Sequential(nn.Flatten(), nn.Dropout(0.5)).train()
        script = jit.trace(noisy, torch.ones(1, 3, SIZE, SIZE), check_trace=False)
        jit.save(script, str(path))
    assert "other numbers each time" in _refused(path, contract)


def test_the_o_net_of_facenet_pytorch(tmp_path: Path) -> None:
    """A real foreign network: five points of MTCNN (Zhang et al., 2016), from its own package."""
    if importlib.util.find_spec("facenet_pytorch") is None:
        pytest.skip("facenet-pytorch is not installed")
    model = "facenet_pytorch.models.mtcnn:ONet"
    text = api.draft_contract(model)
    assert "size = 48\n" in text and 'tensor = "output.1"' in text
    contracts = Path(__file__).parents[3] / "benchmarks/contracts"
    shutil.copy(contracts / "five.toml", tmp_path)
    contract = (contracts / "onet-contract.toml").read_text(encoding="utf-8")
    (tmp_path / "c.toml").write_text(contract.replace('"points"', '"output.1"'), encoding="utf-8")
    config = api.ExportConfig(formats=("onnx",), parity_faces=2)
    bundle = api.import_(model, tmp_path / "c.toml", tmp_path / "onet", config=config)
    assert "over 2 crops" in bundle.variant("onnx/float32").notes["parity"]
