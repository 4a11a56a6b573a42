"""The device layer from a shell: `python -m landmint.runtime`, on any machine with numpy.

It is not landmint's command line: that is `landmint`, which starts this on a target.
"""

import argparse
import json
import os
import select
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from landmint.runtime.agent import refusal, serve
from landmint.runtime.engines import ENGINES, load_engine
from landmint.runtime.errors import LandmintError
from landmint.runtime.machine import identify, usable_cores
from landmint.runtime.pinned import PinnedAgent


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        if options.verb == "serve":
            return _serve(options)
        print(json.dumps(identify().to_json() if options.verb == "machine" else _engines()))
    except LandmintError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m landmint.runtime", description="Run a bundle's variants on this machine."
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    agent = verbs.add_parser("serve", help="hold one variant and answer JSON lines on stdin")
    agent.add_argument("bundle", type=Path, help="folder of the bundle")
    agent.add_argument("variant", help="such as tflite/int8")
    agent.add_argument("--threads", type=int, default=1, help="threads of one inference")
    agent.add_argument("--cores", default="", help='that it may use, such as "2-3"; all by default')
    agent.add_argument("--engine", default="", help="another engine than the variant's own")
    verbs.add_parser("machine", help="print what this machine is, as JSON")
    verbs.add_parser("engines", help="print which engines this machine has, as JSON")
    return parser


def _serve(options: argparse.Namespace) -> int:
    # Engines print what they like: keep the answers' channel to the agent alone.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        _end_with_reader(answers.fileno())
        try:
            if options.cores:
                os.sched_setaffinity(0, usable_cores(options.cores))
            agent = PinnedAgent(options.bundle, options.variant, options.threads, options.engine)
            serve(agent, sys.stdin, answers)
            return 0
        except LandmintError as error:
            failure = error
        except Exception as error:  # engines raise types of their own
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            failure = LandmintError(f"{options.variant} cannot be served", reason=reason)
        answers.write(json.dumps(refusal(failure)) + "\n")
        return failure.exit_code


def _end_with_reader(descriptor: int) -> None:
    """End this process once nobody can read its answers, even in the middle of work.

    A connection that was cut must not leave a board at work for nobody.
    """

    def watch() -> None:
        poll = select.poll()
        poll.register(descriptor, 0)  # of errors and hang-ups alone
        poll.poll()
        os._exit(1)

    if hasattr(select, "poll"):
        threading.Thread(target=watch, daemon=True).start()


def _engines() -> dict[str, dict[str, str]]:
    """Version of each engine, or what it lacks."""
    engines = {}
    for name in ENGINES:
        try:
            engines[name] = {"version": load_engine(name).version}
        except LandmintError as error:
            engines[name] = {"missing": error.fact, "reason": error.reason, "remedy": error.remedy}
    return engines


if __name__ == "__main__":
    code = main()
    # Taking an engine apart at the end takes a tenth of a second, and leaves nothing behind that
    # the end of the process would not.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
