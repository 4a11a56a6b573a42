"""Reads the contract inside an artefact, without the library that made the file.

ONNX keeps it in `metadata_props`, OpenVINO in `rt_info`, TFLite in a zip that is appended to the
flatbuffer, ncnn in a line behind the layers, Core ML in its user-defined metadata, safetensors in
its header. Only what is needed is read, and no binary format is parsed whole: the file may come
from a stranger. `landmint.export.embed` writes it.
"""

import html
import json
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

from landmint.runtime.contract import Contract
from landmint.runtime.errors import LandmintError
from landmint.runtime.mlpackage import CONTRACT_KEY, METADATA
from landmint.runtime.ncnn_param import parse

ONNX_KEY = "landmint.contract"
"""Key in `metadata_props`; ONNX Runtime shows it in its custom metadata map."""
RT_INFO_PATH = ("landmint", "contract")
"""Path in OpenVINO's `rt_info`."""
TFLITE_MEMBER = "landmint_contract.json"
"""Name of the associated file in a .tflite."""
NCNN_WORD = "landmint.contract"
"""First word of the line behind the layers of a .param."""
SAFETENSORS_KEY = "contract"
"""Key in the metadata of safetensors."""

_LARGEST_BYTES = 2**20
_LARGEST_HEADER_BYTES = 64 * 2**20
_DEEPEST_GRAPH = 60
# Which fields of ONNX's messages hold tensors, at some depth: onnx.proto.
_MESSAGES: Mapping[str, Mapping[int, str]] = MappingProxyType(
    {
        "model": {7: "graph", 25: "function"},
        "graph": {1: "node", 5: "tensor", 15: "sparse"},
        "function": {7: "node", 11: "attribute"},
        "node": {5: "attribute"},
        "attribute": {
            5: "tensor",
            6: "graph",
            10: "tensor",
            11: "graph",
            22: "sparse",
            23: "sparse",
        },
        "sparse": {1: "tensor", 2: "tensor"},
        "tensor": {13: "entry"},
    }
)
_METADATA_PROPS = 14  # field of onnx.ModelProto; a StringStringEntryProto has key 1 and value 2
_RT_INFO = re.compile(
    r"<rt_info>(?:(?!</rt_info>).)*<landmint>\s*<contract value=([\"'])(.*?)\1", re.S
)


def read_contract(path: Path) -> Contract:
    """The contract inside a .onnx, .xml, .tflite, .param, .mlmodel or .safetensors.

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
    """The contract inside a file, as of `read_contract`; None where there is none.

    Raises:
        LandmintError: the file is missing, of another kind, or truncated, or its contract is
            broken.
    """
    if not path.is_file():
        raise LandmintError(f"{path} does not exist", remedy="check the path")
    if path.suffix not in _READERS:
        raise LandmintError(f"{path} is no file that carries a contract", choices=_READERS)
    kind, read = _READERS[path.suffix]
    try:
        text = read(path)
        return None if text is None else Contract.from_json(json.loads(text))
    except (ValueError, RecursionError, EOFError, zipfile.BadZipFile) as error:
        raise LandmintError(
            f"{path} is no whole {kind} file",
            reason=f"{error}"[:400],
            remedy="copy it again, or make it again",
        ) from None


def external_locations(path: Path) -> frozenset[str]:
    """The files beside a .onnx in which it keeps tensors, as the model names them.

    Raises:
        LandmintError: the file is truncated, or nested deeper than a model needs.
    """
    if not path.is_file():
        raise LandmintError(f"{path} does not exist", remedy="check the path")
    locations: set[str] = set()
    try:
        with path.open("rb") as file:
            _collect(file, path.stat().st_size, "model", locations, _DEEPEST_GRAPH)
    except (ValueError, EOFError) as error:
        raise LandmintError(
            f"{path} is no whole ONNX file",
            reason=str(error),
            remedy="copy it again, or make it again",
        ) from None
    return frozenset(locations)


def _collect(file: BinaryIO, end: int, kind: str, locations: set[str], levels: int) -> None:
    """Add the locations in a protobuf message, which is of this kind and ends at `end`."""
    if not levels:
        raise ValueError("its graphs are nested too deep")
    for number, length in _fields(file, end):
        inner = _MESSAGES[kind].get(number)
        if inner is None:
            file.seek(length, 1)
        elif inner == "entry":
            here = file.tell() + length
            entry = {name: _bytes(file, size) for name, size in _fields(file, here)}
            if entry.get(1) == b"location":
                locations.add(entry.get(2, b"").decode())
        else:
            _collect(file, file.tell() + length, inner, locations, levels - 1)


def _read_onnx(path: Path) -> str | None:
    """The value of our key among the model's top-level fields; graphs are skipped unread."""
    with path.open("rb") as file:
        return _entry(file, path.stat().st_size, (_METADATA_PROPS,), ONNX_KEY)


def _read_coreml(path: Path) -> str | None:
    with path.open("rb") as file:
        return _entry(file, path.stat().st_size, METADATA, CONTRACT_KEY)


def _entry(file: BinaryIO, end: int, steps: Sequence[int], key: str) -> str | None:
    """The value of a key in a protobuf message up to `end`; the last one counts, as in protobuf.

    Args:
        file: at the begin of the message.
        end: place of its end.
        steps: numbers of the fields that lead to the entries, whose key is 1 and whose value is 2.
        key: to look for.
    """
    text = None
    for number, length in _fields(file, end):
        inner = file.tell() + length
        if number != steps[0]:
            file.seek(length, 1)
        elif len(steps) > 1:
            deeper = _entry(file, inner, steps[1:], key)
            text = text if deeper is None else deeper
        else:
            entry = {name: _bytes(file, size) for name, size in _fields(file, inner)}
            if entry.get(1) == key.encode():
                text = entry.get(2, b"").decode()
    return text


def _fields(file: BinaryIO, end: int) -> Iterator[tuple[int, int]]:
    """Number and length of each length-delimited protobuf field up to `end`; others are passed.

    The caller reads or skips a field's bytes before it asks for the next.
    """
    while file.tell() < end:
        key = _varint(file)
        number, wire = key >> 3, key & 7
        if wire == 0:
            _varint(file)
        elif wire in (1, 5):
            file.seek(8 if wire == 1 else 4, 1)
        elif wire == 2:
            length = _varint(file)
            if file.tell() + length > end:
                raise ValueError("a field is longer than what holds it")
            yield number, length
        else:
            raise ValueError(f"a field has the wire type {wire}, which protobuf files do not have")
    if file.tell() > end:
        raise ValueError("a field is longer than what holds it")


def _varint(file: BinaryIO) -> int:
    value = 0
    for shift in range(0, 70, 7):
        (byte,) = _bytes(file, 1)
        value |= (byte & 127) << shift
        if byte < 128:
            return value
    raise ValueError("a number has more than 64 bits")


def _bytes(file: BinaryIO, count: int) -> bytes:
    if count > _LARGEST_BYTES:
        raise ValueError(f"its metadata has more than {_LARGEST_BYTES} bytes")
    data = file.read(count)
    if len(data) < count:
        raise EOFError("it ends too early")
    return data


def _read_openvino(path: Path) -> str | None:
    """Search the text for the contract: no XML is parsed, and entity definitions are refused."""
    text = path.read_bytes().decode("utf-8")
    if re.search(r"<!(DOCTYPE|ENTITY)", text, re.IGNORECASE):
        raise ValueError("it defines a document type or entities, which no IR needs")
    if not text.rstrip().endswith("</net>"):
        raise ValueError("it does not end with </net>")
    match = _RT_INFO.search(text)
    return None if match is None else html.unescape(match[2])


def _read_tflite(path: Path) -> str | None:
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as attached:
        if TFLITE_MEMBER not in attached.namelist():
            return None
        with attached.open(TFLITE_MEMBER) as member:
            data = member.read(_LARGEST_BYTES + 1)
    if len(data) > _LARGEST_BYTES:
        raise ValueError(f"its metadata has more than {_LARGEST_BYTES} bytes")
    return data.decode()


def _read_ncnn(path: Path) -> str | None:
    _, behind = parse(path.read_text(encoding="utf-8"))
    lines = (line.partition(" ") for line in behind.splitlines())
    return next((text for word, _, text in lines if word == NCNN_WORD), None)


def _read_safetensors(path: Path) -> str | None:
    with path.open("rb") as file:
        length = int.from_bytes(_bytes(file, 8), "little")
        if length > min(_LARGEST_HEADER_BYTES, path.stat().st_size):
            raise ValueError("its header is longer than the file")
        header = json.loads(file.read(length))
    about = header.get("__metadata__") if isinstance(header, dict) else None
    text = about.get(SAFETENSORS_KEY) if isinstance(about, dict) else None
    if text is not None and not isinstance(text, str):
        raise ValueError("its metadata is no text")
    return text


_READERS: Mapping[str, tuple[str, Callable[[Path], str | None]]] = MappingProxyType(
    {
        ".onnx": ("ONNX", _read_onnx),
        ".xml": ("OpenVINO IR", _read_openvino),
        ".tflite": ("TFLite", _read_tflite),
        ".param": ("ncnn", _read_ncnn),
        ".mlmodel": ("Core ML", _read_coreml),
        ".safetensors": ("safetensors", _read_safetensors),
    }
)

CARRIERS = frozenset(_READERS)
"""Suffixes of the files that carry a contract."""
