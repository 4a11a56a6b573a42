"""The command, on targets: `--target` of the verbs, and the verbs that tell of targets."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from landmint import api
from landmint.pipeline import cli
from landmint.runtime.bundle import Manifest, Variant, write_bundle
from landmint.runtime.markup import get_markup
from landmint.runtime.measurement import Measurement, read_measurements
from landmint.targets import Profile
from landmint.train.faces.readers import Split
from landmint.train.faces.synthetic import write_synthetic
from landmint.train.models import load_model
from tests.conftest import Ship
from tests.targets.sshd import device

FACES = 3


def _ask(*words: str | Path) -> Result:
    return CliRunner().invoke(cli.app, [str(word) for word in words])


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """A few drawn faces."""
    counts: dict[Split, int] = {"train": 0, "val": 0, "test": FACES}
    write_synthetic(tmp_path / "faces", counts, get_markup("68"), 64, seed=1)
    return tmp_path / "faces"


@pytest.fixture
def bundle(ship: Ship, tmp_path: Path) -> Path:
    """A bundle of a tiny network, and of a variant that only the null engine takes."""
    weights = ship("tiny", 0.1)

    def fill(folder: Path) -> Manifest:
        shutil.copy(weights, folder / "model.safetensors")
        variants = (
            Variant("torch/float32", "torch", ("model.safetensors",)),
            Variant("null/float32", "null", ("model.safetensors",)),
        )
        return Manifest("tiny", load_model(weights).contract, variants)

    return write_bundle(tmp_path / "bundle", fill).path


def _measured(folder: Path, variant: str = "null/float32") -> Measurement:
    (measurement,) = [m for m in read_measurements(folder) if m.variant == variant]
    return measurement


def test_measure_runs_where_it_is_told_to(bundle: Path, faces: Path, tmp_path: Path) -> None:
    words = "measure", bundle, "--faces", faces, "--out", tmp_path / "m"
    assert _ask(*words, "--target", "moon").exit_code == 2
    assert not (tmp_path / "m").exists()
    result = _ask(*words, "--target", "null")
    assert result.exit_code == 0, result.output
    measured = _measured(tmp_path / "m")
    assert (measured.target, measured.status) == ("null", "measured")
    assert len(measured.faces) == FACES


def test_minutes_without_a_pause_are_asked_for_and_told_of(
    bundle: Path, faces: Path, tmp_path: Path
) -> None:
    words = "measure", bundle, "--faces", faces, "--out", tmp_path / "m", "--minutes", "0.01"
    result = _ask(*words, "--target", "null", "--variant", "null/float32")
    assert result.exit_code == 0, result.output
    assert _measured(tmp_path / "m").sustained is not None
    assert "null/float32 on null: " in " ".join(result.output.split())
    refused = _ask(*words, "--target", "emulated-rpi5")
    assert refused.exit_code == 2
    assert "a sustained run cannot be timed on emulated-rpi5" in refused.stderr
    assert _ask(*words[:-1], "-1").exit_code == 2


def test_a_target_of_the_command_counts_before_that_of_the_recipe(
    bundle: Path, faces: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        f'[faces]\nkind = "300w"\nroot = "{faces}"\n[student.model]\nname = "pfld"\n'
        '[measure]\ntarget = "rpi5:pi@nowhere.invalid"\nsamples = 4\nlaunches = 1\n'
    )
    words = "measure", bundle, "--recipe", recipe, "--out", tmp_path / "m", "--target", "null"
    result = _ask(*words)
    assert result.exit_code == 0, result.output
    measured = _measured(tmp_path / "m")
    assert (measured.target, len(measured.launches)) == ("null", 1)


def test_targets_lists_what_can_be_reached_and_names_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    _write_pigeon(tmp_path / "landmint/targets")
    result = _ask("targets")
    assert result.exit_code == 0
    listed, _, beyond = result.output.partition("Not yet reached by this landmint: ")
    for name in api.targets():
        assert name in listed
        assert name not in beyond
    assert "pixel" in listed
    assert "loft (pigeon)" in beyond
    assert "Profiles of your own belong in " in beyond


def _write_pigeon(folder: Path) -> None:
    """A profile of what nothing here reaches."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "loft.toml").write_text('about = "A loft"\ntransport = "pigeon"\n')


def test_a_profile_that_cannot_be_read_is_listed_with_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    own = tmp_path / "landmint/targets"
    own.mkdir(parents=True)
    (own / "kitchen.toml").write_text('base = "moon"\n')
    result = _ask("targets")
    assert result.exit_code == 0
    assert "kitchen" in result.output and "'moon'" in result.output
    assert "rpi5" in result.output, "the others are listed too"


def test_probe_of_a_rehearsal() -> None:
    result = _ask("targets", "probe", "null")
    assert (result.exit_code, "engines: none" in result.output) == (0, True)


@pytest.mark.parametrize(
    ("target", "code", "said"),
    [
        ("moon", 2, "unknown target 'moon'\n  choices: "),
        ("nowhere.toml", 2, "cannot read the profile nowhere.toml"),
        ("rpi5", 2, "the target rpi5 has no address"),
        ("rpi5:-oProxyCommand=touch x", 2, "-oProxyCommand"),
        ("pixel:-oops", 2, "the address of a phone is its serial"),
        ("loft", 3, "this landmint has no such transport"),
    ],
)
def test_probe_of_what_is_none(
    target: str, code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    _write_pigeon(tmp_path / "config/landmint/targets")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    result = _ask("targets", "probe", target)
    assert result.exit_code == code
    assert result.stderr.startswith("landmint: ") and said in result.stderr
    assert not list((tmp_path / "empty").iterdir())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ssh") is None, reason="no ssh here: apt install openssh-client")
def test_probe_of_an_address_where_nobody_answers() -> None:
    result = _ask("targets", "probe", "rpi5:ssh://nobody@127.0.0.1:1")
    assert result.exit_code == 3
    assert "rpi5 is not reached at ssh://nobody@127.0.0.1:1" in result.stderr
    assert "remedy: try `ssh ssh://nobody@127.0.0.1:1`" in result.stderr


def test_probe_of_a_phone_without_adb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = _ask("targets", "probe", "pixel")
    assert result.exit_code == 3
    assert "adb cannot be started" in result.stderr
    assert "remedy: sudo apt install adb" in result.stderr


@pytest.mark.slow
def test_a_whole_measure_over_ssh(ship: Ship, faces: Path, tmp_path: Path) -> None:
    """The figures come from the agent there; landmarks are those of the same engine here."""
    made = tmp_path / "made"
    api.export(ship("tiny", 0.1), made, config=api.ExportConfig(formats=("onnx",)))
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        f'[faces]\nkind = "300w"\nroot = "{faces}"\n[student.model]\nname = "pfld"\n'
        "[measure]\nsamples = 4\nlaunches = 2\nseconds = 0.2\n"
    )
    words = "measure", made, "--recipe", recipe
    with device(tmp_path / "board") as board:
        profile = tmp_path / "bench.toml"
        profile.write_text(_written(board.profile()))
        probed = _ask("targets", "probe", profile)
        assert (probed.exit_code, "host key known" in probed.output) == (0, True), probed.output
        there = _ask(*words, "--out", tmp_path / "there", "--target", profile)
        assert there.exit_code == 0, there.output
        assert list((board.home / "files").iterdir()), "it went by way of the board's own files"
    here = _ask(*words, "--out", tmp_path / "here")
    assert here.exit_code == 0, here.output
    far, near = (_measured(tmp_path / place, "onnx/float32") for place in ("there", "here"))
    assert (far.status, far.target, near.target) == ("measured", "bench", "host"), far.reason
    assert far.machine is not None
    assert len(far.launches) == 2
    assert far.faces == near.faces
    assert far.points is not None and near.points is not None
    np.testing.assert_allclose(far.points, near.points, atol=1e-3)


def _written(profile: Profile) -> str:
    """A profile as a user's file."""
    lines = [f'about = "{profile.about}"', 'transport = "ssh"', f'address = "{profile.address}"']
    settings = [f"{key} = {json.dumps(value)}" for key, value in profile.settings.items()]
    return "\n".join([*lines, "[settings]", *settings, ""])
