"""Every command of README.md and docs/ runs as it stands there, from a fresh folder.

Commands stand in blocks of ```sh. Those of a page run in their order, in one folder that holds
what `conftest.py` prepares. Four things are smaller than on the page: a shipped recipe stands for
a tiny one, exports are ONNX alone, the data set has 56 drawn faces, and `doctor` looks for one
library.
"""

import argparse
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from landmint.pipeline import cli
from landmint.pipeline.shipped_recipes import shipped_recipes

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
LayOut = Callable[[Path, set[str]], None]

NOT_RUN = {
    "make ": "installs the environment that this suite runs in, or runs this suite",
    ". .venv/bin/activate": "is there where make has installed",
    "pytest ": "run by test_how_to_pages.py, where the page has been followed",
    "landmint run recipes/tinynet.toml": "run by test_how_to_pages.py",
    "landmint run my-recipe.toml": "the same run as that of own-faces, of which it is a copy",
    "torchrun ": "needs two machines",
    **dict.fromkeys(
        (
            "landmint import ",
            "landmint export --lint net/",
            "landmint quantize net/",
            "landmint measure net/",
            "landmint gate net/",
            "landmint report net",
            "landmint predict photo.jpg --bundle net/",
        ),
        "run by test_importing_page.py, on the network that the page is about",
    ),
    "sudo apt-get ": "changes the machine",
    "cp -r runs/quick/home": "copies what a training with a budget leaves, which is not there",
}
"""Beginnings of commands that do not run here, and why."""
ONLY_PARSED = {
    "python benchmarks/": "takes hours, and runs that took hours",
    "landmint quantize bundle --recipe pipnet-mbv3-ytf68 --out mixed": "measures for minutes",
    "landmint measure runs/demo/bundle --recipe demo --out runs/demo/sustained": "takes 30 minutes",
    "landmint quantize bundle --recipe pipnet-mbv3-ytf68 --out for-npus": (
        "test_every_format.py makes these forms"
    ),
    "landmint run demo --targets ": "needs boards; test_run.py visits several targets",
    "landmint targets setup emulated-": "fetches packages; the suite of emulated boards does it",
    "landmint targets probe emulated-": "needs what is set up",
    "landmint targets probe pixel": "needs a phone; the suite of phones has a stand-in",
    'landmint gate --baseline old --candidate new --variants "*/int8" --target emulated-': (
        "needs what is set up"
    ),
    "landmint gate --baseline main": "needs a repository; test_gating.py makes one",
    "landmint gate --candidate models/face:onnx/int8 --self-test": "takes hours",
    "landmint data check cofw ": "COFW is not ours to hand out",
    "landmint data check ../shared/": "needs the real faces",
    "landmint data check . --kind coco": "an untrained network made the labels: no faces, it says",
    "landmint predict photo.jpg --model home/": "needs what a training with a budget leaves",
    "landmint distill demo --teacher home/": "needs what a training with a budget leaves",
    **dict.fromkeys(
        (
            "landmint run pipnet-",
            "landmint run pfld-",
            "landmint run simcc-",
            "landmint run mobilefan-",
        ),
        "each stands for the same tiny recipe here, whose run README.md has",
    ),
    **dict.fromkeys(
        ("landmint export mobilefan --recipe ", "landmint export pipnet-mbv3 --"),
        "README.md exports a shipped model, and the recipe stands for a tiny one",
    ),
    "landmint run zoo/": "needs the real faces",
    "landmint export pipnet-lite0 --recipe": "needs the real faces",
    "landmint quantize for-boards": "needs the real faces",
    "landmint measure in-int8": "needs the real faces",
}
"""Beginnings of commands whose arguments alone are checked, and why."""


def _commands(page: Path) -> Iterator[tuple[int, str]]:
    """Line and text of each command of a page, continued lines joined."""
    text = page.read_text(encoding="utf-8")
    for block in re.finditer(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        line = text.count("\n", 0, block.start(1)) + 1
        for command in re.findall(r"(?:.*\\\n)*.+\n", block[1]):
            yield line, re.sub(r"\s*\\\n\s*", " ", command).strip()
            line += command.count("\n")


def _reason(command: str, reasons: dict[str, str]) -> str:
    return next((why for start, why in reasons.items() if command.startswith(start)), "")


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_every_command_stands_in_a_block_of_commands(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    assert not re.findall(r"^ {4}(?:landmint|python|make|\.venv)\b.*", text, re.MULTILINE)


def test_every_exception_is_still_needed() -> None:
    commands = [command for page in PAGES for _, command in _commands(page)]
    for start in (*NOT_RUN, *ONLY_PARSED):
        assert any(command.startswith(start) for command in commands), start


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if [*_commands(page)]], ids=lambda path: path.stem
)
def test_commands_run(
    page: Path, lay_out: LayOut, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = list(_commands(page))
    made = {name for _, command in commands for name in re.findall(r"--out (\S+)", command)}
    lay_out(tmp_path, made)
    monkeypatch.chdir(tmp_path)
    for line, command in commands:
        if _reason(command, NOT_RUN):
            continue
        check = _parse if _reason(command, ONLY_PARSED) else _run
        problem = check(command, monkeypatch)
        assert not problem, f"{page.name}:{line}: {command}\n{problem}"


def _run(command: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What went wrong with a command; empty for nothing."""
    words = shlex.split(command, comments=True)
    if words[0] == "landmint":
        result = CliRunner().invoke(cli.app, words[1:])
        return "" if result.exit_code == 0 else f"exit code {result.exit_code}: {result.output}"
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-c", command], env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    return "" if done.returncode == 0 else f"exit code {done.returncode}: {done.stderr}"


def _parse(command: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is wrong with the arguments of a command; empty for nothing."""
    program, *words = shlex.split(command, comments=True)
    recipes = [word for word in words if word.endswith(".toml")]
    if missing := [word for word in recipes if not (ROOT / word).is_file()]:
        return f"there is no {missing}"
    if program != "landmint":
        return _parse_script(words, monkeypatch)
    if words[0] == "run" and words[1] not in shipped_recipes():
        return f"no recipe is called {words[1]}"
    result = CliRunner().invoke(cli.app, [*words, "--help"])  # unknown options come first
    return "" if result.exit_code == 0 else result.output


class _ParsedError(Exception):
    """A script has read its arguments, which is far enough."""


def _parse_script(words: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    parse = argparse.ArgumentParser.parse_args

    def stop(self: argparse.ArgumentParser, *arguments: Any) -> None:
        parse(self, *arguments)
        raise _ParsedError

    with monkeypatch.context() as patch:
        patch.setattr(sys, "argv", words)
        patch.setattr(argparse.ArgumentParser, "parse_args", stop)
        try:
            runpy.run_path(words[0], run_name="__main__")
        except _ParsedError:
            return ""
        except SystemExit as error:
            return f"exit code {error.code}"
    return "it read no arguments"


@pytest.mark.slow
def test_the_recipe_for_own_faces_trains_the_shipped_model(tiny: Path, tmp_path: Path) -> None:
    text = (ROOT / "recipes/own-faces.toml").read_text(encoding="utf-8")
    assert "epochs = 10" in text
    (tmp_path / "once.toml").write_text(text.replace("epochs = 10", "epochs = 1"))
    words = (tmp_path / "once.toml", "--faces", tiny / "my-faces", "--out", tmp_path / "run")
    result = CliRunner().invoke(cli.app, ["run", *map(str, words), "--until", "student"])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "run/student/model.safetensors").is_file()
