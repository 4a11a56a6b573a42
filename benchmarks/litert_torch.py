"""The shipped students by litert-torch and by onnx2tf: parity, size, times of conversion and face.

litert-torch wants older versions of what landmint is built on, so it stands in an environment of
its own, with the same PyTorch. A student goes there as a `torch.export` program and comes back as
TFLite; all else is done here. Times of a face are processor time in LiteRT, one thread, both files
in turns: the machine may be in use by others, so read the ratios. Conversions are measured by the
clock. Prints Markdown.

    python3 -m venv other && other/bin/pip install "litert-torch==0.10.*"
    python benchmarks/litert_torch.py other/bin/python pfld mobilefan
"""

import argparse
import functools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))
from benchmarks.engines_in_turn import in_turn  # noqa: E402
from landmint.export.embed import write_contract  # noqa: E402
from landmint.export.forms.onnx import to_onnx  # noqa: E402
from landmint.export.forms.tflite import export  # noqa: E402
from landmint.export.isolated import last_lines  # noqa: E402
from landmint.export.parity import (  # noqa: E402
    Crops,
    compare,
    crops_for_parity,
    engine_outputs,
    torch_outputs,
)
from landmint.pipeline.reference import draw_faces  # noqa: E402
from landmint.pipeline.text import markdown_table, mebibytes, milliseconds, number  # noqa: E402
from landmint.runtime.crop import normalise  # noqa: E402
from landmint.runtime.engines import load_engine  # noqa: E402
from landmint.runtime.errors import LandmintError  # noqa: E402
from landmint.train.faces.readers import SyntheticConfig  # noqa: E402
from landmint.train.models import load_model  # noqa: E402
from landmint.train.models.base import LandmarkModel  # noqa: E402
from landmint.train.models.deployed import deployed  # noqa: E402
from landmint.train.zoo import shipped  # noqa: E402

_DRAWN = SyntheticConfig(train=1, val=0, test=16, size_px=256, seed=1)
_ONNX2TF, _LITERT_TORCH = "onnx2tf", "litert-torch"
_COLUMNS = (
    *("student", "converter", "conversion, s", "size, MiB", "mean, px", "max, px"),
    *("ran", "operators", "ms", "over onnx2tf"),
)
# In the other environment: a program in, TFLite with channels last out.
_WORKER = """
import sys, torch, litert_torch
program, target, *names = sys.argv[1:]
loaded = torch.export.load(program)
(image,) = loaded.example_inputs[0]

class ChannelsLast(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.network = loaded.module()

    def forward(self, image):
        outputs = self.network(image.permute(0, 3, 1, 2))
        last = (o.permute(0, 2, 3, 1) if o.ndim == 4 else o for o in outputs)
        return dict(zip(names, last))

image = image.permute(0, 2, 3, 1).contiguous()
litert_torch.convert(ChannelsLast(), sample_kwargs={"image": image}).export(target)
"""


class _InOrder(nn.Module):
    """A network with its outputs as a tuple, in the contract's order."""

    def __init__(self, model: LandmarkModel) -> None:
        super().__init__()
        self.model = model
        self.names = [output.name for output in model.contract.outputs]

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        outputs = self.model(image)
        return tuple(outputs[name] for name in self.names)


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert, compare and print; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("python", type=Path, help="of the environment with litert-torch")
    parser.add_argument("students", nargs="*", help="all that ship, when absent")
    parser.add_argument("--rounds", type=int, default=60)
    given = parser.parse_args(arguments)
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        faces = draw_faces(work / "faces", "68", _DRAWN)["test"]
        for model in shipped():
            if not given.students or model.name in given.students:
                network = load_model(model.weights)
                crops = crops_for_parity(faces, network.contract, 16)
                try:
                    rows += _rows(model.name, network, crops, work, given.python, given.rounds)
                except LandmintError as error:
                    print(f"litert_torch: {model.name}: {error}", file=sys.stderr)
                    return error.exit_code
    print(markdown_table(_COLUMNS, rows))
    print(f"\nLoad of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors.")
    return 0


def _rows(
    name: str, network: LandmarkModel, crops: Crops, work: Path, python: Path, rounds: int
) -> Iterator[list[str]]:
    """A row for each converter.

    Raises:
        LandmintError: one of them failed.
    """
    files = {key: work / f"{name}-{key}.tflite" for key in (_ONNX2TF, _LITERT_TORCH)}
    seconds = {
        _ONNX2TF: _by_onnx2tf(network, files[_ONNX2TF]),
        _LITERT_TORCH: _by_litert_torch(network, files[_LITERT_TORCH], python),
    }
    contract = network.contract.with_layout("NHWC")
    engine = load_engine("litert")
    sessions = {key: engine.load(path, contract, threads=1) for key, path in files.items()}
    face = normalise(crops[:1], contract)
    times = in_turn({key: functools.partial(s.run, face) for key, s in sessions.items()}, rounds)
    reference = torch_outputs(network, crops)
    for key, session in sessions.items():
        parity = compare(network.contract, reference, engine_outputs(session, contract, crops))
        pairs = zip(times[key], times[_ONNX2TF], strict=True)
        yield [
            *(name, key, f"{seconds[key]:.0f}", mebibytes(files[key].stat().st_size)),
            *(f"{parity.mean_px:.1g}", f"{parity.max_px:.1g}", session.executed_precision),
            *(str(len(session.operators)), milliseconds(median(times[key]))),
            number(median(own / other for own, other in pairs)),
        ]


def _by_onnx2tf(network: LandmarkModel, target: Path) -> float:
    """Seconds from the network to TFLite, ONNX on the way."""
    begin = time.monotonic()
    to_onnx(network, target.with_suffix(".onnx"))
    export(target.with_suffix(".onnx"), {"float32": target})
    return time.monotonic() - begin


def _by_litert_torch(network: LandmarkModel, target: Path, python: Path) -> float:
    """Seconds from the network to TFLite, the program on the way.

    Raises:
        LandmintError: it failed; its last lines are the reason.
    """
    contract = network.contract
    begin = time.monotonic()
    image = torch.zeros(contract.input_shape)
    program = torch.export.export(_InOrder(deployed(network)).eval(), (image,))
    torch.export.save(program, target.with_suffix(".pt2"))
    names = [output.name for output in contract.outputs]
    command = [str(python), "-c", _WORKER, str(target.with_suffix(".pt2")), str(target), *names]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise LandmintError(
            "litert-torch could not convert it",
            reason=last_lines(done.stderr) or f"it ended with code {done.returncode}",
        )
    seconds = time.monotonic() - begin
    write_contract(target, contract.with_layout("NHWC"))
    return seconds


if __name__ == "__main__":
    sys.exit(main())
