"""What the verb `export --lint` looks at, and how it tells.

Rules and their words are the linter's, in `landmint.export.lint`.
"""

from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from landmint.export.finding import Finding
from landmint.export.lint import lint
from landmint.export.sarif import SARIF_FILE, write_sarif
from landmint.pipeline.tables import print_tables
from landmint.runtime.bundle import Bundle, Variant
from landmint.runtime.embedded import find_contract
from landmint.runtime.errors import LandmintError
from landmint.runtime.formats import QUANTIZED, Format
from landmint.runtime.scratch import scratch_folder

_COLOURS = {"error": "bold red", "warning": "yellow"}


def lint_path(path: Path, formats: Sequence[Format]) -> dict[str, list[Finding]]:
    """Findings by artefact.

    Args:
        path: a checkpoint, whose ONNX graph is made for the purpose; an ONNX file; or a bundle,
            whose float graph is judged for all formats and whose quantised ones for their own.
        formats: to judge for.

    Raises:
        LandmintError: the path is none of these, or broken.
    """
    if path.is_dir():
        return _lint_bundle(Bundle.open(path), formats)
    if path.suffix == ".onnx":
        return {path.name: _lint_file(path, formats)}
    from landmint.export.forms.onnx import to_onnx
    from landmint.train.models import load_model

    with scratch_folder() as work:
        graph = work / "float32.onnx"
        to_onnx(load_model(path), graph)
        return {path.name: _lint_file(graph, formats)}


def _lint_bundle(bundle: Bundle, formats: Sequence[Format]) -> dict[str, list[Finding]]:
    """The float graph, then every graph with Q/DQ pairs."""
    by_graph = {}
    for variant in bundle.manifest.variants:
        graphs = [name for name in variant.files if name.endswith(".onnx")]
        if graphs and variant.name == "onnx/float32":
            by_graph[graphs[0]] = _lint_variant(bundle, variant, graphs[0], formats)
        elif graphs and variant.precision in QUANTIZED:
            own = [name for name in formats if name == variant.format]
            by_graph[graphs[0]] = _lint_variant(bundle, variant, graphs[0], own)
    if not by_graph:
        raise LandmintError(
            f"{bundle.path} holds no ONNX graph",
            reason="the linter reads nothing else",
            remedy="lint the checkpoint, or export it again with onnx installed",
        )
    return by_graph


def _lint_variant(
    bundle: Bundle, variant: Variant, name: str, formats: Sequence[Format]
) -> list[Finding]:
    bundle.check_contract(variant, name)
    return _lint_file(bundle.file(name), formats)


def _lint_file(path: Path, formats: Sequence[Format]) -> list[Finding]:
    contract = find_contract(path)  # it refuses a file that is truncated
    from landmint.export.importing.onnx_file import load_sound

    return lint(load_sound(path), contract, formats)


def print_findings(by_graph: dict[str, list[Finding]]) -> None:
    """Print a table for each artefact, by target, worst first."""
    for name, findings in by_graph.items():
        print_tables(f"[bold]{escape(name)}[/bold]: {counted(findings)}")
        if findings:
            print_tables(_table(findings))


def write_lint(folder: Path, linted: Path, by_graph: dict[str, list[Finding]]) -> None:
    """Write the findings as SARIF into a folder, for GitHub and editors.

    Args:
        folder: where to.
        linted: what `lint_path` was given.
        by_graph: what it returned.
    """
    by_file = {
        linted / name if linted.is_dir() else linted: findings
        for name, findings in by_graph.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_sarif(folder / SARIF_FILE, by_file)


def counted(findings: Sequence[Finding]) -> str:
    """How many findings of each severity."""
    counts = {kind: sum(finding.severity == kind for finding in findings) for kind in _COLOURS}
    parts = [f"{n} {kind}{'s' * (n > 1)}" for kind, n in counts.items() if n]
    return ", ".join(parts) or "nothing found"


def _table(findings: Sequence[Finding]) -> Table:
    table = Table(show_lines=True)
    table.add_column("target", no_wrap=True)
    table.add_column("rule", max_width=24)
    table.add_column("what")
    table.add_column("why, and what to do")
    before = ""
    for finding in findings:
        target = finding.target if finding.target != before else ""
        before = finding.target
        table.add_row(
            target,
            f"[{_COLOURS[finding.severity]}]{finding.severity}[/]\n{finding.rule}",
            escape(finding.what),
            escape(f"{finding.reason}\n-> {finding.remedy}"),
        )
    return table
