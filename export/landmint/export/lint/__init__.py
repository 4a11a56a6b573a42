"""What a target cannot do with a graph, or does badly, told before anything is built.

Rules look at an ONNX graph and run nothing: that takes seconds at most. What an engine really did
is measured downstream; where a rule rests on such a measurement, its file says on which.
"""

from collections.abc import Iterator, Sequence

from onnx import ModelProto, shape_inference  # "onnx" is the file beside this one here

from landmint.export.finding import EVERY, Finding
from landmint.export.lint import general
from landmint.export.lint.rule import Rule, Subject
from landmint.runtime.contract import Contract
from landmint.runtime.errors import LandmintError
from landmint.runtime.formats import FORMATS, Format, load

LINTED: tuple[Format, ...] = tuple(FORMATS)
"""The formats whose rules are checked, in the order of their findings."""


def lint(
    model: ModelProto,
    contract: Contract | None = None,
    targets: Sequence[Format] = LINTED,
) -> list[Finding]:
    """What the targets have against a graph; empty when nothing.

    A graph without Q/DQ pairs is judged by what quantising and running it will meet, one with
    pairs by whether they stand where the target wants them.

    Args:
        model: of batch 1.
        contract: of the model; without it the rules about outputs are silent.
        targets: formats to judge it for, beside the rules for every target.

    Returns:
        findings by target, errors first.
    """
    try:
        model = shape_inference.infer_shapes(model, data_prop=True)
    except (shape_inference.InferenceError, ValueError) as error:
        raise LandmintError(
            "the ONNX graph is not sound",
            reason=str(error).splitlines()[0],
            remedy="export it again",
        ) from None
    subject = Subject(model, contract)
    stages = ("any", "paired" if subject.is_paired else "float")
    places = (EVERY, *targets)
    findings = [
        finding
        for id_, rule in rules_for(targets).items()
        if rule.stage in stages
        for finding in _findings(id_, rule, subject)
    ]
    return sorted(findings, key=lambda finding: (places.index(finding.target), finding.severity))


def rules_for(targets: Sequence[Format] = LINTED) -> dict[str, Rule]:
    """The rules for every target by their ids, then those of the given formats."""
    rules = dict(general.RULES)
    for name in targets:
        if FORMATS[name].lint_rules:
            rules |= load(FORMATS[name].lint_rules)
    return rules


def _findings(id_: str, rule: Rule, subject: Subject) -> Iterator[Finding]:
    """The breaches of a rule, those of one kind together."""
    by_fact: dict[str, list[str]] = {}
    for where, fact in rule.check(subject):
        by_fact.setdefault(fact, []).append(where)
    for fact, places in by_fact.items():
        nodes = tuple(place for place in places if place)
        yield Finding(id_, rule.target, rule.severity, fact, nodes, rule.reason, rule.remedy)


def refuse(what: str, findings: Sequence[Finding]) -> None:
    """Raise for findings that cannot be worked with.

    Args:
        what: the graph, as the subject of a sentence.
        findings: those that cannot; errors, or more.

    Raises:
        LandmintError: there is one; the message names the first few.
    """
    if findings:
        raise LandmintError(
            f"{what} breaks {len(findings)} rule{'s' * (len(findings) > 1)}",
            reason="; ".join(f"{finding} ({finding.reason})" for finding in findings[:3]),
            remedy=findings[0].remedy,
        )


__all__ = ["EVERY", "Finding", "Rule", "lint", "refuse", "rules_for"]
