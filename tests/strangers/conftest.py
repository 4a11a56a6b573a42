"""Files of strangers, broken in the ways that people and mutations found: what their tests share.

Whatever stands in a recipe, in annotations, in a measurement or in a picture, a reader answers
with a LandmintError, and a verb with one message, exit code 2 or 3, no traceback and nothing
written. Bundles are in `runtime/test_evil_bundles.py`, files of ranges in
`quantize/decide/test_decision.py`.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from landmint.pipeline import cli

AskInVain = Callable[..., Result]


@pytest.fixture
def ask_in_vain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AskInVain:
    """Runs a verb in an empty folder; it must say one thing and leave only what `leaves` names."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)

    def ask(*words: object, said: str, code: int = 2, leaves: str = "") -> Result:
        result = CliRunner().invoke(cli.app, [str(word) for word in words])
        assert result.exit_code == code, result.output
        assert said in result.output
        assert "landmint failed" not in result.output and "Traceback" not in result.output
        assert isinstance(result.exception, SystemExit)
        assert {path.name for path in here.iterdir()} <= {leaves}
        return result

    return ask
