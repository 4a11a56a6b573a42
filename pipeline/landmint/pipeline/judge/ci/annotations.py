"""GitHub annotations: a job that prints these lines marks its pull request.

The syntax is that of workflow commands, https://docs.github.com/actions/reference/workflow-commands;
a message escapes per cent and line ends, a property also colon and comma.
"""

from collections.abc import Mapping
from types import MappingProxyType

from landmint.pipeline.judge.gate import Check, VerdictStatus, badness
from landmint.pipeline.judge.gate_text import check_sentence
from landmint.pipeline.judge.judgement import Judgement

_LEVELS: Mapping[VerdictStatus, str] = MappingProxyType(
    {
        "accuracy drift": "error",
        "regression": "error",
        "not measured": "error",
        "inconclusive": "warning",
    }
)
_MOST = 10
"""GitHub shows so many errors, and so many warnings, of one step."""


def to_annotations(judgement: Judgement) -> str:
    """An error or a warning for whatever was not passed, worst first, and a notice that sums up.

    Where there are more than GitHub shows, the last one says how many more.
    """
    lines: dict[str, list[str]] = {"error": [], "warning": []}
    for check, variant, text in _open(judgement):
        level = _LEVELS[check.status]
        lines[level].append(_command(level, f"{variant}: {check.status}", text))
    for level, commands in lines.items():
        if rest := len(commands) - _MOST:
            if rest > 0:
                text = f"and {rest + 1} more, see the verdict"
                commands[_MOST - 1 :] = [_command(level, judgement.title, text)]
    notice = _command("notice", judgement.title, "\n".join((judgement.summary, *judgement.advice)))
    return "\n".join((*lines["error"], *lines["warning"], notice)) + "\n"


def _open(judgement: Judgement) -> list[tuple[Check, str, str]]:
    """What may be marked, worst first: check, variant, message."""
    marked = []
    for verdict in judgement.verdicts:
        for check in verdict.checks or (Check("", verdict.status, 0.0, reason=verdict.reason),):
            if check.status in _LEVELS and not (
                verdict.optional and check.status == "not measured"
            ):
                text = check_sentence(check) if check.name else check.reason
                marked.append((check, verdict.variant, text))
    return sorted(marked, key=lambda entry: badness(entry[0]))


def _command(level: str, title: str, message: str) -> str:
    title = _escaped(title).replace(":", "%3A").replace(",", "%2C")
    return f"::{level} title={title}::{_escaped(message)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
