"""The contract inside an artefact, so that a file that went astray still says what it is.

ONNX keeps it in `metadata_props`, OpenVINO in `rt_info`, TFLite as an associated file: a zip
appended to the flatbuffer, where TFLite's own metadata puts such files and where any unzip finds
it. Not the manifest: it knows nothing of the other forms of the model.
"""

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn
from xml.etree import ElementTree

from landmint.runtime.contract import Contract
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import atomic_path

ONNX_KEY = "landmint.contract"
"""Key in `metadata_props`; ONNX Runtime shows it in its custom metadata map."""
RT_INFO_PATH = ("landmint", "contract")
"""Path in OpenVINO's `rt_info`."""
TFLITE_MEMBER = "landmint_contract.json"
"""Name of the associated file in a .tflite."""

_ZIP_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can state: equal content, equal bytes


def write_contract(path: Path, contract: Contract) -> None:
    """Put the contract into a finished .onnx, .xml or .tflite; one already there is replaced.

    Args:
        path: the artefact, rewritten atomically.
        contract: in the artefact's own axis order.

    Raises:
        LandmintError: the kind of file carries no contract, or it is truncated.
    """
    text = json.dumps(contract.to_json(), separators=(",", ":"))
    write, _ = _carrier(path)
    write(path, text)


def read_contract(path: Path) -> Contract:
    """The contract inside a .onnx, .xml or .tflite.

    Raises:
        LandmintError: the file is missing, of another kind, truncated, or carries none.
    """
    contract = find_contract(path)
    if contract is None:
        raise LandmintError(
            f"{path} carries no contract",
            reason="it was not exported by landmint, or its metadata was stripped",
            remedy="give a file of a landmint bundle",
        )
    return contract


def find_contract(path: Path) -> Contract | None:
    """The contract inside a .onnx, .xml or .tflite; None where it carries none.

    Raises:
        LandmintError: the file is missing, of another kind, or truncated.
    """
    if not path.is_file():
        raise LandmintError(f"{path} does not exist", remedy="check the path")
    _, read = _carrier(path)
    text = read(path)
    return None if text is None else Contract.from_json(json.loads(text))


def _write_onnx(path: Path, text: str) -> None:
    import onnx

    model = onnx.load(path)
    others = {prop.key: prop.value for prop in model.metadata_props if prop.key != ONNX_KEY}
    onnx.helper.set_model_props(model, {**others, ONNX_KEY: text})
    with atomic_path(path) as fresh:
        onnx.save(model, fresh)


def _read_onnx(path: Path) -> str | None:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.load(path)
    except DecodeError as error:
        _truncated(path, "ONNX", error)
    return next((prop.value for prop in model.metadata_props if prop.key == ONNX_KEY), None)


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
        found = place.find(step)
        place = ElementTree.SubElement(place, step) if found is None else found
    place.set("value", text)
    with atomic_path(path) as fresh:
        ElementTree.ElementTree(root).write(fresh, encoding="utf-8", xml_declaration=True)


def _drop_shapes(root: ElementTree.Element) -> None:
    """Leave out of an IR what a reader infers from the shapes of input and constants, in place."""
    for side in ("input", "output"):
        for port in root.iterfind(f"layers/layer/{side}/port"):
            for axis in port.findall("dim"):
                port.remove(axis)
            if side == "input":
                port.attrib.pop("precision", None)


def _read_openvino(path: Path) -> str | None:
    found = _xml(path).find("/".join(("rt_info", *RT_INFO_PATH)))
    return None if found is None else found.get("value")


def _xml(path: Path) -> ElementTree.Element:
    try:
        return ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        _truncated(path, "OpenVINO IR", error)


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


def _read_tflite(path: Path) -> str | None:
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as attached:
        if TFLITE_MEMBER not in attached.namelist():
            return None
        return attached.read(TFLITE_MEMBER).decode()


_Carrier = tuple[Callable[[Path, str], None], Callable[[Path], str | None]]
_CARRIERS: Mapping[str, _Carrier] = MappingProxyType(
    {
        ".onnx": (_write_onnx, _read_onnx),
        ".xml": (_write_openvino, _read_openvino),
        ".tflite": (_write_tflite, _read_tflite),
    }
)


def _carrier(path: Path) -> _Carrier:
    if path.suffix not in _CARRIERS:
        raise LandmintError(f"{path} is no file that carries a contract", choices=_CARRIERS)
    return _CARRIERS[path.suffix]


def _truncated(path: Path, kind: str, error: Exception) -> NoReturn:
    raise LandmintError(
        f"{path} is no whole {kind} file",
        reason=str(error),
        remedy="copy it again, or make it again",
    ) from None
