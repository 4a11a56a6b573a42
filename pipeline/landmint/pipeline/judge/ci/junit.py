"""JUnit XML, which nearly every CI system shows as a list of tests.

After the schema of Jenkins' xunit plugin, which GitLab and Azure read too.
"""

import re
import xml.etree.ElementTree as ElementTree

from landmint.pipeline.judge.gate import VerdictStatus
from landmint.pipeline.judge.gate_text import check_sentence
from landmint.pipeline.judge.judgement import Judgement

# What XML 1.0 cannot hold, not even escaped: https://www.w3.org/TR/xml/#charsets
_FORBIDDEN = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_junit(judgement: Judgement) -> str:
    """A case for every check; beyond a limit a failure, unknown an error.

    A variant that was not measured is an error, and skipped if it is optional. A variant that no
    limit applies to is skipped.
    """
    root = ElementTree.Element("testsuite", name=_legal(judgement.title))
    tally = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for verdict in judgement.verdicts:
        cases = [(c.name, c.status, check_sentence(c)) for c in verdict.checks]
        for name, status, text in cases or [("measured", verdict.status, verdict.reason)]:
            about = {"classname": _legal(verdict.variant), "name": name}
            case = ElementTree.SubElement(root, "testcase", about)
            tally["tests"] += 1
            tag = _tag(status, verdict.optional)
            if tag:
                ElementTree.SubElement(case, tag, type=status, message=_legal(text))
                tally["skipped" if tag == "skipped" else f"{tag}s"] += 1
    for key, count in tally.items():
        root.set(key, str(count))
    if judgement.advice:
        ElementTree.SubElement(root, "system-out").text = _legal("\n".join(judgement.advice))
    ElementTree.indent(root)
    content: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return content.decode() + "\n"


def _tag(status: VerdictStatus, optional: bool) -> str:
    if status == "not measured":
        return "skipped" if optional else "error"
    tags = {"pass": "", "inconclusive": "error", "not judged": "skipped"}
    return tags.get(status, "failure")


def _legal(text: str) -> str:
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
