"""Writes the contract into an artefact, so that even a lone file says how it is to be used.

ONNX keeps it in `metadata_props`, OpenVINO in `rt_info`, TFLite as an associated file: a zip
appended to the flatbuffer, where TFLite's own metadata puts such files and where any unzip finds
it; ncnn in a line behind the last layer, which ncnn never reads; Core ML in its user-defined
metadata. `landmint.runtime.embedded` reads it.
"""

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from xml.etree import ElementTree

import defusedxml.ElementTree

from landmint.export.protobuf import with_entry
from landmint.runtime.contract import Contract
from landmint.runtime.embedded import NCNN_WORD, ONNX_KEY, RT_INFO_PATH, TFLITE_MEMBER
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import atomic_path
from landmint.runtime.mlpackage import CONTRACT_KEY, METADATA
from landmint.runtime.ncnn_param import parse, render

_ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can state: equal content, equal bytes


def write_contract(path: Path, contract: Contract) -> None:
    """Put the contract into a finished artefact, in place of an older one.

    Args:
        path: a .onnx, .xml, .tflite, .param or .mlmodel, rewritten atomically.
        contract: in the artefact's own axis order.

    Raises:
        LandmintError: the kind of file carries no contract, or it is truncated.
    """
    text = json.dumps(contract.to_json(), separators=(",", ":"))
    if path.suffix not in _WRITERS:
        raise LandmintError(f"{path} is no file that carries a contract", choices=_WRITERS)
    _WRITERS[path.suffix](path, text)


def _write_onnx(path: Path, text: str) -> None:
    import onnx

    model = onnx.load(path)
    others = {prop.key: prop.value for prop in model.metadata_props if prop.key != ONNX_KEY}
    onnx.helper.set_model_props(model, {**others, ONNX_KEY: text})
    with atomic_path(path) as fresh:
        onnx.save(model, fresh)


def _write_openvino(path: Path, text: str) -> None:
    root = _xml(path)
    for element in root.iter():  # a sixth of an IR is indentation
        element.text = (element.text or "").strip()
        element.tail = None
    _drop_shapes(root)
    for copied in root.findall("rt_info/framework"):  # from the metadata of ONNX
        for old in copied.findall(ONNX_KEY):
            copied.remove(old)
    place = root
    for step in ("rt_info", *RT_INFO_PATH):
        child = place.find(step)
        place = ElementTree.SubElement(place, step) if child is None else child
    place.set("value", text)
    with atomic_path(path) as fresh:
        ElementTree.ElementTree(root).write(fresh, encoding="utf-8", xml_declaration=True)


def _drop_shapes(root: ElementTree.Element) -> None:
    """Drop the shapes of inner tensors from an IR, in place; a reader infers them."""
    for side in ("input", "output"):
        for port in root.iterfind(f"layers/layer/{side}/port"):
            for axis in port.findall("dim"):
                port.remove(axis)
            if side == "input":
                port.attrib.pop("precision", None)


def _xml(path: Path) -> ElementTree.Element:
    try:
        root: ElementTree.Element = defusedxml.ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, defusedxml.DefusedXmlException) as error:
        raise LandmintError(
            f"{path} is no whole OpenVINO IR file",
            reason=str(error),
            remedy="copy it again, or make it again",
        ) from None
    return root


def _write_tflite(path: Path, text: str) -> None:
    model = path.read_bytes()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as attached:
            start = min(member.header_offset for member in attached.infolist())
        model = model[:start]
    with atomic_path(path) as fresh:
        fresh.write_bytes(model)
        with zipfile.ZipFile(fresh, "a") as attached:
            attached.writestr(zipfile.ZipInfo(TFLITE_MEMBER, _ZIP_DATE), text)


def _write_ncnn(path: Path, text: str) -> None:
    try:
        layers, behind = parse(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise LandmintError(
            f"{path} is no whole ncnn file",
            reason=str(error),
            remedy="copy it again, or make it again",
        ) from None
    others = [line for line in behind.splitlines() if line.split(" ")[0] != NCNN_WORD]
    with atomic_path(path) as fresh:
        fresh.write_text(render(layers, "\n".join([*others, f"{NCNN_WORD} {text}"])), "utf-8")


def _write_coreml(path: Path, text: str) -> None:
    try:
        model = with_entry(path.read_bytes(), METADATA, CONTRACT_KEY, text)
    except (ValueError, EOFError) as error:
        raise LandmintError(
            f"{path} is no whole Core ML file",
            reason=str(error),
            remedy="copy it again, or make it again",
        ) from None
    with atomic_path(path) as fresh:
        fresh.write_bytes(model)


_WRITERS: Mapping[str, Callable[[Path, str], None]] = MappingProxyType(
    {
        ".onnx": _write_onnx,
        ".xml": _write_openvino,
        ".tflite": _write_tflite,
        ".param": _write_ncnn,
        ".mlmodel": _write_coreml,
    }
)
