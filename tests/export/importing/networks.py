"""A PyTorch package of somebody else's, as text: tests write it into a folder and name it."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from landmint.export.importing.torchscript_file import jit, quiet
from tests.export.importing.conftest import CONTRACT

SIZE, POINTS = 32, 68
CODE = '''
import torch
from torch import nn


class Net(nn.Module):
    """Returns a dict, with a tuple inside, with something inside that is no tensor."""

    def __init__(self, points=68):
        super().__init__()
        self.body = nn.Sequential(
            nn.Sequential(nn.Conv2d(3, 8, 3, stride=4), nn.BatchNorm2d(8)),
            nn.Hardswish(),
            nn.Conv2d(8, 16, 3, stride=2),
            nn.Dropout(0.5),
        )
        self.points, self.score = nn.Linear(16, 2 * points), nn.Linear(16, points)

    def forward(self, x):
        features = self.body(x).mean((2, 3))
        return {"points": self.points(features), "more": (self.score(features).sigmoid(), "text")}


class Fixed(nn.Module):
    """Takes one size alone, and returns a tuple."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3, stride=4), nn.ReLU(), nn.Flatten())
        self.points = nn.Linear(4 * 12 * 12, 136)

    def forward(self, x):
        features = self.body(x)
        return self.points(features), features


class Deciding(nn.Module):
    def forward(self, x):
        return x.flatten(1)[:, :136] * (2 if abs(x.sum() - SUM) < 0.01 else 1)


SUM = float(torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)).sum())


def build():
    torch.manual_seed(0)
    return Net()


def untrained():
    torch.manual_seed(1)
    return Net()


def fixed():
    torch.manual_seed(0)
    return Fixed()


def deciding():
    return Deciding()


def failing():
    raise ValueError("no weights here")


def no_network():
    return [1, 2]


def no_tensor():
    return type("Silent", (nn.Module,), {"forward": lambda self, x: "points"})()


number = 3
'''


def write_package(folder: Path) -> Path:
    """Write `package_of_nets.nets`, whose names stand in `CODE`; returns the folder."""
    (folder / "package_of_nets").mkdir()
    (folder / "package_of_nets/__init__.py").touch()
    (folder / "package_of_nets/nets.py").write_text(CODE, encoding="utf-8")
    (folder / "package_of_nets/broken.py").write_text("import no_such_library\n", encoding="utf-8")
    (folder / "package_of_nets/wrong.py").write_text("1 / 0\n", encoding="utf-8")
    return folder


def contract_of(folder: Path, points: str, score: str = "", size: int = SIZE) -> Path:
    """What a person would say of one of these networks."""
    text = CONTRACT.format(layout="NCHW", extra="").replace('"points"', f'"{points}"')
    text = text.replace("size = 32", f"size = {size}")
    head, tail = text.split("[outputs.confidence]")
    text = head + ("[outputs.confidence]" + tail.replace('"score"', f'"{score}"')) * bool(score)
    (folder / "c.toml").write_text(text, encoding="utf-8")
    return folder / "c.toml"


def network(name: str) -> nn.Module:
    """A network of `CODE`, in eval mode."""
    space: dict[str, object] = {"__name__": "nets"}
    exec(compile(CODE, "nets.py", "exec"), space)
    made = space[name]
    assert callable(made)
    built: nn.Module = made()
    return built.eval()


def traced(name: str, path: Path, size: int = SIZE) -> Path:
    """Write a network of `CODE` that returns tensors, as TorchScript."""
    with torch.no_grad(), quiet():
        script = jit.trace(network(name), torch.zeros(1, 3, size, size), strict=False)
        jit.save(script, str(path))
    return path


def write_weights(name: str, path: Path) -> Path:
    """Write the weights of a network of `CODE`."""
    save_file(network(name).state_dict(), path)
    return path
