"""Sound files of every kind that landmint reads, each with what reads it.

Each reading writes the content, sound or broken, into an empty folder and reads it by the code
that the verbs use. It gives nothing: whether it raises, and what, is all that is asked.
"""

import io
import json
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from landmint.pipeline.networks import check_networks
from landmint.pipeline.recipe import load_recipe
from landmint.pipeline.shipped_recipes import shipped_recipes
from landmint.quantize.config import QuantizeConfig
from landmint.quantize.decide.decision import decide, read_decision
from landmint.runtime.bundle import MANIFEST, Bundle, Manifest, Variant
from landmint.runtime.contract import Contract, CropRule, Head, Output
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import sha256_file
from landmint.runtime.latency import Block, Launch, WarmUp
from landmint.runtime.measurement import Measurement, read_measurement, write_measurement
from landmint.train.faces.check import check_data
from landmint.train.faces.face import read_image
from landmint.train.faces.readers import FacesConfig
from landmint.train.faces.sheet import contact_sheet
from landmint.train.faces.unlabelled import known_boxes
from landmint.train.models import ModelConfig, create_model, load_model, save_model


class Reading(NamedTuple):
    """One kind of file."""

    kind: str
    """How it is broken; see `mutated`."""
    content: Callable[[Path], bytes]
    """A sound file; the folder is empty."""
    read: Callable[[Path, bytes], object]
    """Reads such a file in an empty folder."""


def _points(count: int) -> list[tuple[float, float]]:
    """Landmarks on a spiral, in a picture of 64 x 64."""
    return [(32 + i / 5 * np.cos(i), 32 + i / 5 * np.sin(i)) for i in range(count)]


def _picture(suffix: str, folder: Path) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8)
    written = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = suffix == "png16"
    if deep:
        return bytes(cv2.imencode(".png", pixels.astype(np.uint16) * 16)[1])
    image = Image.fromarray(pixels)
    if suffix == "jpeg":
        image.save(written, suffix, exif=exif)
    else:
        image.save(written, suffix)
    return written.getvalue()


def _read_picture(folder: Path, content: bytes) -> object:
    path = folder / "a.png"
    path.write_bytes(content)
    return read_image(path)


def _coco(folder: Path) -> bytes:
    keypoints = [value for x, y in _points(68) for value in (x, y, 2)]
    entry = {"id": 1, "image_id": 1, "bbox": [9, 9, 50, 50], "keypoints": keypoints}
    images = [{"id": 1, "file_name": "a.png", "width": 48, "height": 64}]
    return json.dumps({"images": images, "annotations": [entry, dict(entry, id=2)]}).encode()


def _imglab(folder: Path) -> bytes:
    parts = "".join(
        f"<part name='{i:02d}' x='{x:.1f}' y='{y:.1f}'/>\n" for i, (x, y) in enumerate(_points(68))
    )
    box = f"<box top='9' left='9' width='50' height='50'>{parts}</box>"
    text = f"<?xml version='1.0'?><dataset><images><image file='a.png'>{box}</image></images>"
    return f"{text}</dataset>".encode()


def _pts(folder: Path) -> bytes:
    body = "\n".join(f"{x:.2f} {y:.2f}" for x, y in _points(68))
    return f"version: 1\nn_points: 68\n{{\n{body}\n}}\n".encode()


def _attributes(folder: Path) -> bytes:
    return b"name,pose,expression,illumination,make_up,occlusion,blur\na,0,1,0,0,0,0\n"


def _wflw(folder: Path) -> bytes:
    words = [f"{value:.2f}" for value in np.ravel(_points(98))]
    return (" ".join([*words, "9", "9", "59", "59", *"000000", "a.png"]) + "\n").encode()


def _hrnet(folder: Path) -> bytes:
    columns = [f"original_{i}_{axis}" for i in range(68) for axis in "xy"]
    names = ",".join(["image_name", "scale", "center_w", "center_h", *columns])
    values = ",".join(["a.png", "0.2", "32", "32", *(f"{v:.2f}" for v in np.ravel(_points(68)))])
    return f"{names}\n{values}\n".encode()


def _lapa(folder: Path) -> bytes:
    return "\n".join(["106", *(f"{x:.2f} {y:.2f}" for x, y in _points(106))]).encode()


def _read_faces(
    kind: str, markup: str, name: str, folder: Path, content: bytes, beside: bytes = b""
) -> object:
    """What `data check` does, and the boxes that `label` takes."""
    path = folder / "faces" / name if kind in ("300w", "lapa") else folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    if name != "a.pts" and kind == "300w":
        (path.parent / "a.pts").write_bytes(_pts(folder))
    (path.parent / "a.png").write_bytes(_sound_png())
    train = path.parent.name if kind in ("300w", "lapa") else name
    config = FacesConfig(kind=kind, root=folder, markup=markup, train=(train,), images=".")
    check = check_data(config, ["train"], Path())
    shown = [face for part in check.splits for face in part.faces if face.image in check.readable]
    if shown:
        contact_sheet(shown, columns=2)
    return known_boxes(config, "train", folder)


@cache
def _sound_png() -> bytes:
    return _picture("png", Path())


def _contract() -> Contract:
    return Contract(
        markup="68",
        input_size=16,
        crop=CropRule((1.2, 1.2), True),
        mean=(0.0, 0.0, 0.0),
        std=(255.0, 255.0, 255.0),
        head=Head("coordinates"),
        outputs=(Output("coordinates", (136,)),),
    )


def _manifest(folder: Path) -> bytes:
    variant = Variant("null/float32", "null", ("null/weights",), notes={"a": "b"})
    (folder / "weights").write_bytes(b"none")
    files = {"null/weights": sha256_file(folder / "weights")}
    content = Manifest("tiny", _contract(), (variant,), files, {"recipe": "r"}, {"torch": "2"})
    return json.dumps(content.to_json()).encode()


def _open_bundle(folder: Path, content: bytes) -> object:
    (folder / "null").mkdir()
    (folder / "null/weights").write_bytes(b"none")
    (folder / MANIFEST).write_bytes(content)
    bundle = Bundle.open(folder)
    for variant in bundle.manifest.variants:
        bundle.check_artefact(variant)
    return bundle


def _measurement(folder: Path) -> bytes:
    launches = (Launch(1.0, WarmUp(2.0, 9, True), (Block((1.0, 2.0, 3.0), 6.0),)),)
    measured = Measurement(
        "tiny", "onnx/int8", "onnxruntime", "measured", faces=("a",), launches=launches
    )
    return write_measurement(folder, measured).read_bytes()


def _read_measurement(folder: Path, content: bytes) -> object:
    (folder / "onnx-int8.json").write_bytes(content)
    return read_measurement(folder / "onnx-int8.json").latency


@cache
def _graph() -> onnx.ModelProto:
    weight = np.random.default_rng(0).normal(size=(4, 3, 1, 1)).astype(np.float32)
    node = helper.make_node("Conv", ["image", "w"], ["out"], "out")
    entrance = helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 3, 4, 4))
    leaving = helper.make_tensor_value_info("out", TensorProto.FLOAT, (1, 4, 4, 4))
    constants = [numpy_helper.from_array(weight, "w")]
    graph = helper.make_graph([node], "g", [entrance], [leaving], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def _ranges(folder: Path) -> bytes:
    crops = np.random.default_rng(0).normal(size=(2, 3, 4, 4)).astype(np.float32)
    return json.dumps(decide(_graph(), crops, QuantizeConfig()).to_json()).encode()


def _read_ranges(folder: Path, content: bytes) -> object:
    (folder / "ranges.json").write_bytes(content)
    return read_decision(folder / "ranges.json", _graph().graph)


def _weights(folder: Path) -> bytes:
    angle = np.arange(68) * 2 * np.pi / 68
    circle = 0.5 + 0.3 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    config = ModelConfig(
        name="pfld", backbone="mobilenetv3_small_050", input_size=32, pretrained=False
    )
    save_model(create_model(config, circle), folder / "w.safetensors")
    return (folder / "w.safetensors").read_bytes()


def _read_weights(folder: Path, content: bytes) -> object:
    (folder / "w.safetensors").write_bytes(content)
    return load_model(folder / "w.safetensors")


def _recipe(name: str, folder: Path) -> bytes:
    return shipped_recipes()[name].read_bytes()


def _read_recipe(folder: Path, content: bytes) -> object:
    (folder / "r.toml").write_bytes(content)
    return load_recipe(folder / "r.toml")


def _build_recipe(folder: Path, content: bytes) -> object:
    (folder / "r.toml").write_bytes(content)
    check_networks(load_recipe(folder / "r.toml"))
    return None


def _faces_of(kind: str, markup: str, name: str) -> Callable[[Path, bytes], object]:
    return partial(_read_faces, kind, markup, name)


READINGS: Mapping[str, Reading] = {
    "recipe": Reading("text", partial(_recipe, "demo"), _read_recipe),
    "recipe of real faces": Reading("text", partial(_recipe, "pfld-ytf68"), _read_recipe),
    "networks of a recipe": Reading("text", partial(_recipe, "pfld-small-ytf68"), _build_recipe),
    "coco": Reading("json", _coco, _faces_of("coco", "68", "faces.json")),
    "imglab": Reading("text", _imglab, _faces_of("imglab", "68", "faces.xml")),
    "pts": Reading("text", _pts, _faces_of("300w", "68", "a.pts")),
    "attributes": Reading("text", _attributes, _faces_of("300w", "68", "attributes.csv")),
    "wflw": Reading("text", _wflw, _faces_of("wflw", "98", "list.txt")),
    "hrnet": Reading("text", _hrnet, _faces_of("hrnet", "68", "list.csv")),
    "lapa": Reading("text", _lapa, _faces_of("lapa", "106", "a.txt")),
    "manifest": Reading("json", _manifest, _open_bundle),
    "measurement": Reading("json", _measurement, _read_measurement),
    "ranges": Reading("json", _ranges, _read_ranges),
    "weights": Reading("safetensors", _weights, _read_weights),
    **{
        f"picture {suffix}": Reading("bytes", partial(_picture, suffix), _read_picture)
        for suffix in ("png", "jpeg", "gif", "webp", "avif", "tiff", "bmp", "png16")
    },
}
"""By what they are."""


def ending(reading: Reading, content: bytes, folder: Path) -> str:
    """How it ends to read a file: empty where it is read or refused in landmint's own words.

    Args:
        reading: what reads it.
        content: sound or broken.
        folder: an empty one.
    """
    try:
        reading.read(folder, content)
    except LandmintError as error:
        unhelpful = not (error.reason or error.remedy or error.choices)
        return f"no reason and no remedy: {error.fact}" if unhelpful else ""
    except Exception as error:
        trace = error.__traceback__
        place = ""
        while trace is not None:
            code = trace.tb_frame.f_code
            if "landmint" in code.co_filename:
                place = f"{Path(code.co_filename).name}:{trace.tb_lineno} {code.co_name}"
            trace = trace.tb_next
        return f"{type(error).__name__} in {place}: {str(error)[:200]}"
    return ""
