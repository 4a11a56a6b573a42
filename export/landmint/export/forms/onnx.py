"""torch to ONNX: one simplified graph, which every other form is made from.

Its shapes are static: batch 1, and the contract's input size.
"""

import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from landmint.export.lint import lint, refuse
from landmint.export.lint.rule import OpenShape, shape_of
from landmint.runtime.contract import Contract
from landmint.runtime.embedded import ONNX_KEY
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import atomic_path
from landmint.train.models.base import LandmarkModel
from landmint.train.models.deployed import deployed

if TYPE_CHECKING:
    import onnx

OPSET = 18
"""The oldest that torch's exporter writes itself; every converter downstream reads it."""


def to_onnx(model: LandmarkModel, path: Path) -> None:
    """Write `model` as ONNX with the contract inside.

    The graph has batch 1, static shapes, the contract's input name and the canonical outputs in
    the contract's order; branches are merged and batch norms folded; hard-swish stays the one
    operator HardSwish.

    Args:
        model: any landmark network; it is copied, neither moved nor changed.
        path: of the .onnx file.

    Raises:
        LandmintError: the graph is not static, or an output has another shape than the contract.
    """
    contract = model.contract
    wrapped = _Ordered(deployed(model).cpu().float()).eval()
    graph = trace_onnx(wrapped, {contract.input_name: contract.input_shape}, wrapped.names)
    save_onnx(graph, contract, path)


def save_onnx(model: "onnx.ModelProto", contract: Contract, path: Path) -> None:
    """Check a graph, put its contract inside, and write it.

    Raises:
        LandmintError: the graph is not static, or an output has another shape than the contract.
    """
    import onnx

    props = {ONNX_KEY: json.dumps(contract.to_json(), separators=(",", ":"))}
    onnx.helper.set_model_props(model, props)
    fit = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    onnx.checker.check_model(fit, full_check=True)
    check_fit(fit, contract)
    with atomic_path(path) as fresh:
        onnx.save(fit, fresh)


class _Ordered(nn.Module):
    """The network with its outputs as a tuple, in the contract's order."""

    def __init__(self, model: LandmarkModel) -> None:
        super().__init__()
        self.model = model
        self.names = [output.name for output in model.contract.outputs]

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        outputs = self.model(images)
        return tuple(outputs[name] for name in self.names)


def trace_onnx(
    module: nn.Module, inputs: Mapping[str, tuple[int, ...]], outputs: Sequence[str]
) -> "onnx.ModelProto":
    """A module as a simplified ONNX graph.

    Args:
        module: in eval mode; it returns a tensor for each of `outputs`.
        inputs: name and shape of each input, in the module's order.
        outputs: name of each output, in the module's order.

    Raises:
        LandmintError: it could not be exported, or not be simplified.
    """
    import onnxsim

    with torch.no_grad(), _silence():
        program = torch.onnx.export(
            module,
            tuple(torch.zeros(shape) for shape in inputs.values()),
            input_names=list(inputs),
            output_names=list(outputs),
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise LandmintError("torch exported nothing", remedy="report the network")
    simplified: onnx.ModelProto
    simplified, same = onnxsim.simplify(program.model_proto)
    if not same:
        raise LandmintError(
            "onnxsim changed what the network computes",
            remedy="report the network; another version of onnxsim may help",
        )
    strip(simplified)
    return simplified


@contextmanager
def _silence() -> Iterator[None]:
    """Keep the exporter's advice to torch's developers from the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def strip(model: "onnx.ModelProto") -> None:
    """Drop the exporter's stack traces: they name files of the machine that exported."""
    graph = model.graph
    model.doc_string = graph.doc_string = ""
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    del graph.value_info[:]  # inferred anew


def check_fit(model: "onnx.ModelProto", contract: Contract) -> None:
    """Refuse a graph that converters and quantisers downstream cannot work with.

    Raises:
        LandmintError: an unfolded operator, a shape that is not static, or names and shapes of
            input and outputs that differ from the contract.
    """
    findings = lint(model, targets=())
    refuse("the ONNX graph", [finding for finding in findings if finding.severity == "error"])
    expected: dict[str, OpenShape] = {contract.input_name: contract.input_shape}
    expected |= {output.name: (1, *output.shape) for output in contract.outputs}
    actual = {value.name: shape_of(value) for value in (*model.graph.input, *model.graph.output)}
    if actual != expected:
        raise LandmintError(
            f"the ONNX graph takes and returns {actual}",
            reason=f"its contract says {expected}",
            remedy="make the network's head and its contract agree",
        )
