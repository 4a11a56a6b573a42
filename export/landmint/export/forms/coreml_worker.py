"""The process that makes Core ML's packages: onnx2coreml makes a program, coremltools the files.

Run as `python -m landmint.export.forms.coreml_worker`, with the request on its standard input.
Nothing else imports it: it hides other libraries from coremltools.
"""

import json
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# coremltools imports these where it finds them, to convert their models. It needs none of them
# here; TensorFlow and PyTorch together end the process on some machines.
_HIDDEN = ("tensorflow", "torch", "sklearn", "xgboost")
sys.modules.update(dict.fromkeys(_HIDDEN))  # type: ignore[arg-type]

import coremltools as ct  # noqa: E402
import onnx  # noqa: E402
from coremltools.converters.mil.mil import Builder as mb  # noqa: E402
from onnx2coreml import Converter  # noqa: E402

_TARGET = ct.target.iOS17  # the first whose programs round activations to INT8
_OWN = "landmint"
_AUTHOR = "com.apple.CoreML"
_GRAPH = "model.mlmodel"
_PARTS = {
    _GRAPH: "CoreML Model Specification",
    "weights": "CoreML Model Weights",
}


def main(request: Mapping[str, Any]) -> None:
    """Convert request["onnx"] into the folder request["package"].

    Args:
        request: "onnx" path and "package" path; "half", whether to compute in float16; "input",
            its name and shape; "outputs", shape by name.
    """
    converter = Converter()
    converter.register(f"{_OWN}::QuantizeLinear")(_quantize)
    converter.register(f"{_OWN}::DequantizeLinear")(_dequantize)
    precision = ct.precision.FLOAT16 if request["half"] else ct.precision.FLOAT32
    graph = _with_own_pairs(onnx.load(request["onnx"]))
    program = converter.to_mil(graph, target=_TARGET, precision=precision)
    model = ct.convert(
        program,
        convert_to="mlprogram",
        minimum_deployment_target=_TARGET,
        compute_precision=precision,
        skip_model_load=True,
    )
    _check(model, request)
    package = Path(request["package"])
    model.save(str(package))
    _write_graph(_data(package) / _GRAPH)
    _write_list(package)


def _with_own_pairs(model: onnx.ModelProto) -> onnx.ModelProto:
    """Put Q/DQ pairs into a domain of our own; the model is changed in place.

    onnx2coreml knows none of them, and would compute INT8 weights back to floats beforehand.
    """
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            node.domain = _OWN
    return model


def _check(model: Any, request: Mapping[str, Any]) -> None:
    """Refuse a program that takes or returns something else than the contract says."""
    about = model.get_spec().description
    ends = [
        {value.name: list(value.type.multiArrayType.shape) for value in values}
        for values in (about.input, about.output)
    ]
    expected = [dict([request["input"]]), dict(request["outputs"])]
    if ends != expected:
        sys.exit(f"the program takes and returns {ends}, and the contract says {expected}")


def _write_graph(path: Path) -> None:
    """Write the graph anew: it would hold today's date, and its maps in a new order each time."""
    message = ct.proto.Model_pb2.Model.FromString(path.read_bytes())
    about = message.description.metadata.userDefined
    for key in [key for key in about if key.endswith("conversion_date")]:
        del about[key]
    path.write_bytes(message.SerializeToString(deterministic=True))


def _write_list(package: Path) -> None:
    """Write the package's list anew: its identifiers would be new each time."""
    names = {name: str(uuid.uuid5(uuid.NAMESPACE_URL, f"{_AUTHOR}/{name}")) for name in _PARTS}
    here = {name: place for name, place in names.items() if (_data(package) / name).exists()}
    content = {
        "fileFormatVersion": "1.0.0",
        "itemInfoEntries": {
            place: {
                "author": _AUTHOR,
                "description": _PARTS[name],
                "name": name,
                "path": f"{_AUTHOR}/{name}",
            }
            for name, place in here.items()
        },
        "rootModelIdentifier": names[_GRAPH],
    }
    (package / "Manifest.json").write_text(json.dumps(content, indent=4) + "\n", "utf-8")


def _data(package: Path) -> Path:
    return package / "Data" / _AUTHOR


def _quantize(context: Any, node: onnx.NodeProto) -> Any:
    value, scale, _ = (context.values_map[name] for name in node.input)
    return mb.quantize(input=value, scale=scale.val, output_dtype="int8", name=node.output[0])


def _dequantize(context: Any, node: onnx.NodeProto) -> Any:
    value, scale, zero = (context.values_map[name] for name in node.input)
    if value.val is None:
        return mb.dequantize(input=value, scale=scale.val, name=node.output[0])
    (axis,) = (a.i for a in node.attribute if a.name == "axis")
    return mb.constexpr_affine_dequantize(
        quantized_data=value.val,
        zero_point=zero.val,
        scale=scale.val,
        axis=axis,
        name=node.output[0],
    )


if __name__ == "__main__":
    main(json.load(sys.stdin))
