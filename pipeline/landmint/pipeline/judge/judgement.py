"""What a gate says of everything that it judged, and the files in which it says so.

`verdict.json` holds it whole. Each other file is for one kind of reader, such as a CI system, and
is written by one function, from the judgement to a text. Another package adds a file by an entry
point of the group "landmint.verdict_files", whose name is the file's.
"""

from dataclasses import dataclass
from pathlib import Path

from landmint.pipeline.judge.gate import Verdict, exit_code
from landmint.pipeline.places import VERDICT_FILE
from landmint.runtime.files import write_json, write_text
from landmint.runtime.registry import Registry

_FOR_PEOPLE = "verdict.md"
VERDICT_FILES = Registry(
    {
        _FOR_PEOPLE: "landmint.pipeline.judge.ci.markdown:to_markdown",
        "junit.xml": "landmint.pipeline.judge.ci.junit:to_junit",
        "annotations.txt": "landmint.pipeline.judge.ci.annotations:to_annotations",
        "bencher.json": "landmint.pipeline.judge.ci.bencher:to_bencher",
        "smaller-is-better.json": "landmint.pipeline.judge.ci.smaller:to_smaller_is_better",
        "metrics.prom": "landmint.pipeline.judge.ci.prometheus:to_prometheus",
    },
    kind="verdict file",
    group="landmint.verdict_files",
)
"""The function that writes each file, by the file's name."""


@dataclass(frozen=True)
class Judgement:
    """What limits say of measurements."""

    title: str
    """What was judged."""
    verdicts: tuple[Verdict, ...]
    """One for each variant, and for each limit that no variant matches."""
    advice: tuple[str, ...] = ()
    """Sentences for people: whether INT8 is worth it, and what to deploy."""

    @property
    def exit_code(self) -> int:
        """That of `landmint gate`: 0 where every limit is kept."""
        return exit_code(self.verdicts)

    @property
    def summary(self) -> str:
        """How many variants have which verdict, and that no limit applies where that is so."""
        counts: dict[str, int] = {}
        for verdict in self.verdicts:
            counts[verdict.status] = counts.get(verdict.status, 0) + 1
        summary = ", ".join(f"{count} {status}" for status, count in counts.items())
        judged = any(verdict.checks for verdict in self.verdicts)
        return summary if judged or "not judged" not in counts else f"no limit applies: {summary}"

    @property
    def text(self) -> str:
        """Verdicts and advice as Markdown."""
        text: str = VERDICT_FILES.load(_FOR_PEOPLE)(self)
        return text

    def write(self, folder: Path) -> None:
        """Write verdict.json and every file of `VERDICT_FILES` into a folder.

        Raises:
            LandmintError: a package that adds a file is broken; nothing is written then.
        """
        texts = {name: VERDICT_FILES.load(name)(self) for name in VERDICT_FILES}
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            # A name read from JSON may hold half a character, which no file can.
            write_text(folder / name, text.encode(errors="replace").decode())
        content = {
            "schema": 1,
            "exit_code": self.exit_code,
            "summary": self.summary,
            "verdicts": [verdict.to_json() for verdict in self.verdicts],
            "advice": list(self.advice),
        }
        write_json(folder / VERDICT_FILE, content)
