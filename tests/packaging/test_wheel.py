"""The wheel: what it holds, and that the command works from it; built without a network."""

import ast
import importlib.metadata
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from landmint.pipeline import extras

ROOT = Path(__file__).parents[2]
ROOMS = ("train", "export", "quantize", "runtime", "targets", "pipeline")
NO_EXTRA = {
    *("landmint", "numpy"),
    *(
        "annotated_types",
        "google",
        "markupsafe",
        "pydantic_core",
    ),  # they come with libraries of an extra
    *("tensorrt", "tflite_runtime"),  # devices have them, or not
}
OF_TRAIN = ("torch", "torchvision", "timm", "lightning", "tensorboard", "scipy", "h5py")
OF_EXPORT = ("onnx", "onnxruntime", "onnxscript", "openvino", "nncf", "tensorflow", "flatbuffers")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked: what an installation puts into site-packages."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run([*command, "--directory", folder], cwd=ROOT, check=True, capture_output=True)
    (file,) = folder.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def _landmint(site: Path, *words: str, lacks: tuple[str, ...] = ()) -> tuple[int, str, str]:
    """Exit code, output and errors of the command, run from the wheel without some libraries."""
    script = (
        f"import sys; sys.modules.update(dict.fromkeys({lacks!r}))\n"
        "from landmint.pipeline.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        env={**os.environ, "PYTHONPATH": str(site)},
        cwd=site.parent,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout, done.stderr


def test_each_room_says_that_it_has_types(wheel: Path) -> None:
    assert {path.parent.name for path in wheel.glob("landmint/*/py.typed")} == {*ROOMS, "api"}
    assert not (wheel / "landmint" / "__init__.py").exists()


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("recipes/*.toml", "pipeline/recipes"),
        ("recipes/zoo/*.toml", "pipeline/recipes/zoo"),
        ("train/landmint/train/zoo/*.safetensors", "train/zoo"),
        ("train/landmint/train/zoo/*.md", "train/zoo"),
        ("pipeline/landmint/pipeline/report/page.*", "pipeline/report"),
    ],
)
def test_what_is_not_code_comes_along(wheel: Path, source: str, place: str) -> None:
    files = sorted(ROOT.glob(source))
    assert files
    for file in files:
        assert (wheel / "landmint" / place / file.name).read_bytes() == file.read_bytes()


def test_nothing_else_comes_along(wheel: Path) -> None:
    assert {path.name for path in (wheel / "landmint").iterdir()} == {*ROOMS, "api"}
    assert {path.suffix for path in wheel.iterdir()} == {"", ".dist-info"}


def test_recipes_are_found_by_name(wheel: Path) -> None:
    code, output, _ = _landmint(wheel, "recipes")
    assert code == 0
    assert f"They lie in {wheel / 'landmint/pipeline/recipes'}" in output
    assert {path.stem for path in (ROOT / "recipes").glob("*.toml")} <= set(output.split())


@pytest.mark.parametrize(
    ("lacks", "words", "extra"),
    [
        ("typer", ["--help"], "pipeline"),
        ("typer", ["run", "demo"], "pipeline"),
        ("safetensors", ["models"], "pipeline"),
        ("torch", ["run", "demo"], "train"),
        ("torch", ["export", "pfld", "--out", "bundle"], "train"),
        ("jinja2", ["report", "runs/demo"], "pipeline"),
    ],
)
def test_one_line_says_what_to_install(
    wheel: Path, lacks: str, words: list[str], extra: str
) -> None:
    code, _, errors = _landmint(wheel, *words, lacks=(lacks,))
    assert code == 2
    assert "Traceback" not in errors
    assert errors.splitlines()[-1].startswith(
        f"landmint: {lacks} is not installed here: pip install 'landmint[{extra}]'"
    )


@pytest.mark.parametrize(
    ("lacks", "call", "extra"),
    [
        ("torch", "api.train('demo', 'out')", "train"),
        ("torch", "api.load('pfld', 'torch/float32')", "train"),
        ("torch", "api.export('pfld', 'out')", "train"),
        ("safetensors", "api.models()", "pipeline"),
        ("pydantic", "api.ExportConfig()", "pipeline"),
        ("pydantic", "api.load_recipe('demo')", "pipeline"),
    ],
)
def test_the_library_says_what_to_install(wheel: Path, lacks: str, call: str, extra: str) -> None:
    script = (
        f"import sys; sys.modules[{lacks!r}] = None\n"
        f"from landmint import api\ntry: {call}\nexcept api.MissingLibraryError as e: print(e)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": str(wheel)},
        cwd=wheel.parent,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    message = f"{lacks} is not installed here: pip install 'landmint[{extra}]'"
    assert done.stdout.startswith(message)
    assert not (wheel.parent / "out").exists()


@pytest.mark.parametrize("words", [["--help"], ["models"], ["recipes"], ["data", "--help"]])
def test_the_pipeline_extra_alone_has_a_command(wheel: Path, words: list[str]) -> None:
    code, _, errors = _landmint(wheel, *words, lacks=OF_TRAIN + OF_EXPORT)
    assert (code, errors) == (0, "")


@pytest.mark.parametrize("room", [*ROOMS, "api"])
def test_every_library_is_in_an_extra(
    wheel: Path, room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (metadata,) = wheel.glob("*.dist-info")
    requirements = importlib.metadata.Distribution.at(metadata).requires or []
    monkeypatch.setattr(extras, "_requirements", lambda: requirements)
    libraries = set(_imports(wheel / "landmint" / room)) - sys.stdlib_module_names - NO_EXTRA
    assert [name for name in sorted(libraries) if not extras.extra_of(name)] == []


def _imports(folder: Path) -> Iterator[str]:
    """The packages that code imports, wherever in a file."""
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (name.name.partition(".")[0] for name in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module.partition(".")[0]


LIBRARY = """
import sys
from pathlib import Path

import numpy as np

from landmint import api

assert Path(api.__file__).is_relative_to(sys.argv[1]), "not from the wheel"
image, box = np.zeros((200, 200, 3), dtype=np.uint8), (50, 50, 90, 90)
[face] = api.load("pfld", "torch/float32").predict(image, box)
assert face.points.shape == (68, 2)

config = api.ExportConfig(formats=("onnx",))
bundle = api.export("pfld", "bundle", config=config)
[same] = api.load(bundle.path, "onnx/float32").predict(image, box)
assert np.abs(same.points - face.points).max() < 0.1


def smaller(settings, **update):
    return settings.model_copy(update=update)


demo = api.load_recipe("demo")
drawn = smaller(demo.faces.synthetic, train=16, val=4, test=4, size_px=96)
student = smaller(demo.student, fit=smaller(demo.student.fit, epochs=1, batch_size=8))
faces = smaller(demo.faces, synthetic=drawn)
tiny = smaller(demo, faces=faces, teacher=None, student=student, export=config)
folder = api.run(tiny, "run", until="float-bundle")
assert api.load(folder / "float-bundle").name == "onnx/float32"
"""


@pytest.mark.slow
def test_the_library_predicts_exports_and_runs_from_an_empty_environment(
    wheel: Path, tmp_path: Path
) -> None:
    """The wheel is all that is landmint there: folders of PYTHONPATH run no .pth file."""
    empty = tmp_path / "empty"
    venv.create(empty)
    libraries = sysconfig.get_paths()["purelib"]
    done = subprocess.run(
        [empty / "bin" / "python", "-c", LIBRARY, str(wheel)],
        env={"PYTHONPATH": os.pathsep.join([str(wheel), libraries]), "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "", "a library prints nothing"
