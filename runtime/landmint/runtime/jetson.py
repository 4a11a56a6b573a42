"""What the tools of an NVIDIA Jetson tell of it: power mode, clocks, load, temperatures, watts.

Other machines have no such tools; what cannot be asked there is empty. The text is kept as it is.
"""

import shutil
import subprocess
import threading

_QUESTIONS = (("nvpmodel", "-q"), ("jetson_clocks", "--show"))
_WATCH = ("tegrastats", "--interval", "100")
_ANSWER_S = 10.0
_LONGEST = 4000


def power_and_clocks() -> dict[str, str]:
    """What nvpmodel and jetson_clocks tell, by the command; some releases let only root ask."""
    answers = {}
    for question in _QUESTIONS:
        if shutil.which(question[0]) is None:
            continue
        if text := _answer(question) or _answer(("sudo", "-n", *question)):
            answers[" ".join(question)] = text
    return answers


def tegrastats() -> str:
    """One line of tegrastats, of the last tenth of a second."""
    if shutil.which(_WATCH[0]) is None:
        return ""
    try:
        watch = subprocess.Popen(
            _WATCH, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError:
        return ""
    late = threading.Timer(_ANSWER_S, watch.kill)
    late.start()
    with watch:
        assert watch.stdout is not None
        line = watch.stdout.readline(_LONGEST)
        late.cancel()
        watch.kill()
    return _plain(line)


def _answer(command: tuple[str, ...]) -> str:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ANSWER_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return _plain(done.stdout)


def _plain(printed: bytes) -> str:
    lines = (line.rstrip() for line in printed.decode("utf-8", "replace").splitlines())
    return "\n".join(line for line in lines if line)[:_LONGEST]
