"""The linter: finds in an ONNX graph what a format cannot do, or does badly, before it is built.

Rules look at the graph and run nothing, so they take seconds at most. What an engine really does is
measured downstream; where a rule rests on such a measurement, its file says on which.
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
    """Check a graph against the rules of some formats.

    A float graph is checked for what will go wrong when it is quantised and run. A graph with Q/DQ
    pairs is checked for whether these are where the format needs them.

    Args:
        model: of batch 1.
        contract: of the model; without it, rules about outputs are skipped.
        targets: formats whose rules are checked, beside the rules for every format.

    Returns:
        the findings by target, errors first; empty when no rule is broken.
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
    """Rules by their ids: those for every target, then those of the given formats."""
    rules = dict(general.RULES)
    for name in targets:
        if FORMATS[name].lint_rules:
            rules |= load(FORMATS[name].lint_rules)
    return rules


def _findings(id_: str, rule: Rule, subject: Subject) -> Iterator[Finding]:
    """Check one rule; places with the same fact make one finding."""
    by_fact: dict[str, list[str]] = {}
    for where, fact in rule.check(subject):
        by_fact.setdefault(fact, []).append(where)
    for fact, places in by_fact.items():
        nodes = tuple(place for place in places if place)
        yield Finding(id_, rule.target, rule.severity, fact, nodes, rule.reason, rule.remedy)


def refuse(what: str, findings: Sequence[Finding]) -> None:
    """Raise an error if there are findings.

    Args:
        what: name of the graph, for the message.
        findings: those that must not be.

    Raises:
        LandmintError: there is a finding; the message names the first few.
    """
    if findings:
        raise LandmintError(
            f"{what} breaks {len(findings)} rule{'s' * (len(findings) > 1)}",
            reason="; ".join(f"{finding} ({finding.reason})" for finding in findings[:3]),
            remedy=findings[0].remedy,
        )


__all__ = ["EVERY", "Finding", "Rule", "lint", "refuse", "rules_for"]
