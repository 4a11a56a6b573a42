"""Gate a build against a baseline, and test the gate itself."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from landmint.pipeline.extras import naming_extras
from landmint.runtime.progress import SILENT, Progress

if TYPE_CHECKING:
    from landmint.pipeline.judge.judgement import Judgement
    from landmint.pipeline.judge.paired import PairedRules
    from landmint.pipeline.measure_config import MeasureConfig
    from landmint.pipeline.recipe import Recipe
    from landmint.pipeline.self_test import SelfTest

DRAWN_FACES = 48
"""Faces that are drawn where none are given: of twelve persons, four each."""


@naming_extras
def gate(
    baseline: str | Path,
    candidate: str | Path,
    *,
    variants: Sequence[str] = (),
    rules: "PairedRules | None" = None,
    config: "MeasureConfig | None" = None,
    recipe: "Recipe | str | Path | None" = None,
    faces: str | Path | None = None,
    baseline_python: str = "",
    candidate_python: str = "",
    plans: bool = False,
    out: str | Path | None = None,
    progress: Progress = SILENT,
) -> "Judgement":
    """Judge whether a build is slower than another, both measured in turns on one machine.

    Args:
        baseline: a bundle's folder, or a git revision: the candidate's folder as it was then.
            Either may end in :VARIANT.
        candidate: a bundle's folder, perhaps with :VARIANT.
        variants: patterns of names, such as "*/int8"; all that stand in both when empty.
        rules: what counts as slower, and how sure a verdict must be.
        config: target and threads; as the recipe says when absent, else the defaults.
        recipe: has faces and settings. A recipe, its file, or the name of a shipped one.
        faces: the data set's folder, instead of the recipe's; drawn faces where neither is given.
        baseline_python: interpreter of an environment that runs the baseline, such as one with
            another version of an engine; this one when empty.
        candidate_python: likewise for the candidate.
        plans: whether TensorRT plans may run: code of whoever made them.
        out: folder for verdict and raw measurements; nothing is written when absent.
        progress: told of every step.

    Returns:
        a verdict for each pair of variants.

    Raises:
        LandmintError: a build or a revision does not exist, or the two are of different tasks.
        NotMeasuredError: there is nothing to compare.
        MissingLibraryError: landmint[train] is not installed.

    Example:
        >>> from landmint import api
        >>> judgement = api.gate("bundle", "bundle", variants=["onnx/float32"])
        >>> [verdict.variant for verdict in judgement.verdicts]
        ['onnx/float32']
    """
    from landmint.pipeline.builds import open_baseline, open_candidate, pair_variants
    from landmint.pipeline.gating import Places, gate_pairs
    from landmint.pipeline.given import given_or_drawn_faces, recipe_on
    from landmint.pipeline.judge.judgement import Judgement
    from landmint.pipeline.judge.paired import PairedRules
    from landmint.pipeline.lock import hold
    from landmint.pipeline.measure_config import MeasureConfig
    from landmint.runtime.scratch import scratch_folder

    settings = None if recipe is None else recipe_on(recipe, faces)
    config = config or (settings.measure if settings else MeasureConfig())
    places = Places.of(config.target, baseline_python, candidate_python)
    ours = open_candidate(str(candidate), plans)
    markup = ours.bundle.manifest.contract.markup
    with (
        scratch_folder() as scratch,
        given_or_drawn_faces(settings, faces, markup, "test", DRAWN_FACES, progress) as crops,
    ):
        theirs = open_baseline(str(baseline), ours, scratch, plans)
        pairs = pair_variants(theirs, ours, variants)
        rules = rules or PairedRules()
        gated = gate_pairs((theirs, ours), pairs, places, crops, config, rules, progress)
    title = f"{candidate} against {baseline}"
    judgement = Judgement(title, tuple(each.verdict for each in gated), ())
    if out is not None:
        with hold(Path(out), progress.step):
            judgement.write(Path(out))
            for each in gated:
                each.write(Path(out))
    return judgement


@naming_extras
def self_test(
    build: str | Path,
    repeats: int,
    *,
    slowdowns: Sequence[float] = (0.0, 0.03, 0.05, 0.10),
    variants: Sequence[str] = (),
    rules: "PairedRules | None" = None,
    config: "MeasureConfig | None" = None,
    recipe: "Recipe | str | Path | None" = None,
    faces: str | Path | None = None,
    out: str | Path | None = None,
    progress: Progress = SILENT,
) -> "tuple[SelfTest, ...]":
    """Gate a build against itself, as it is and slowed down, and count what the gate says.

    Args:
        build: a bundle's folder, perhaps with :VARIANT.
        repeats: gates of each variant for each slowdown.
        slowdowns: work added to the candidate, as shares of a run; 0 for false alarms.
        variants: patterns of names; all when empty.
        rules: of the gate.
        config: target and threads; as the recipe says when absent, else the defaults.
        recipe: has faces and settings. A recipe, its file, or the name of a shipped one.
        faces: the data set's folder, instead of the recipe's; drawn faces where neither is given.
        out: folder for self-test.json and self-test.md; nothing is written when absent.
        progress: told of every step.

    Returns:
        one for each variant: the rate of false alarms and the power, with intervals.

    Raises:
        LandmintError: there is no such bundle or variant, or no repeat is asked for.
        MissingLibraryError: landmint[train] is not installed.

    Example:
        >>> from landmint import api
        >>> [tested] = api.self_test("bundle:onnx/float32", 200)  # doctest: +SKIP
        >>> tested.trials[0].regressions  # doctest: +SKIP
        0
    """
    from landmint.pipeline.builds import open_candidate, pair_variants
    from landmint.pipeline.given import given_or_drawn_faces, recipe_on
    from landmint.pipeline.judge.paired import PairedRules
    from landmint.pipeline.lock import hold
    from landmint.pipeline.measure_config import MeasureConfig
    from landmint.pipeline.self_test import run_self_tests, write_self_tests

    settings = None if recipe is None else recipe_on(recipe, faces)
    config = config or (settings.measure if settings else MeasureConfig())
    opened = open_candidate(str(build))
    pairs = pair_variants(opened, opened, variants)
    markup = opened.bundle.manifest.contract.markup
    with given_or_drawn_faces(settings, faces, markup, "test", DRAWN_FACES, progress) as crops:
        rules = rules or PairedRules()
        tests = run_self_tests(opened, pairs, repeats, crops, config, rules, progress, slowdowns)
    if out is not None:
        with hold(Path(out), progress.step):
            write_self_tests(tests, Path(out))
    return tests
