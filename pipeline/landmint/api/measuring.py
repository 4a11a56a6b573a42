"""Measure a bundle, judge what was measured, and write the page about a run."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from landmint.pipeline.extras import naming_extras
from landmint.runtime.bundle import Bundle
from landmint.runtime.progress import SILENT, Progress

if TYPE_CHECKING:
    from landmint.pipeline.judge.gate import Limits
    from landmint.pipeline.judge.judgement import Judgement
    from landmint.pipeline.measure_config import MeasureConfig
    from landmint.pipeline.recipe import Recipe
    from landmint.runtime.measurement import Measurement


@naming_extras
def measure(
    bundle: str | Path,
    out: str | Path,
    *,
    config: "MeasureConfig | None" = None,
    recipe: "Recipe | str | Path | None" = None,
    faces: str | Path | None = None,
    variants: Sequence[str] = (),
    plans: bool = False,
    minutes: float = 0.0,
    progress: Progress = SILENT,
) -> "tuple[Measurement, ...]":
    """Measure landmarks, latency, memory and size of a bundle's variants on test faces.

    Args:
        bundle: its folder.
        out: folder for raw samples and landmarks; what stands there is replaced.
        config: where and how long; as the recipe says when absent, else the defaults.
        recipe: has faces and settings. A recipe, its file, or the name of a shipped one.
        faces: the data set's folder, instead of the recipe's; without a recipe in 300W layout.
        variants: names, such as "tflite/int8"; all when empty.
        plans: whether TensorRT plans may run: code of whoever made them.
        minutes: how long each variant then runs without a pause, to show what heat does to it; not
            at all when 0.
        progress: told of every step.

    Returns:
        one for each variant. What cannot run here is "not measured", with the reason.

    Raises:
        LandmintError: the input is wrong.
        MissingLibraryError: landmint[train] is not installed.

    Example:
        >>> from landmint import api
        >>> config = api.MeasureConfig(launches=1, samples=4, seconds=0.2)
        >>> for each in api.measure("bundle", "measured", config=config, faces="my-faces"):
        ...     print(each.variant, each.status, each.points.shape)
        onnx/float32 measured (8, 68, 2)
        onnx/int8 measured (8, 68, 2)
        torch/float32 measured (8, 68, 2)
    """
    from landmint.pipeline.given import given_faces, recipe_on
    from landmint.pipeline.lock import hold
    from landmint.pipeline.measure_config import MeasureConfig
    from landmint.pipeline.measuring import measure_into
    from landmint.runtime.files import atomic_path
    from landmint.runtime.measurement import read_measurements

    opened, place = Bundle.open(Path(bundle), plans=plans), Path(out)
    for name in variants:
        opened.variant(name)
    settings = None if recipe is None else recipe_on(recipe, faces)
    config = config or (settings.measure if settings else MeasureConfig())
    markup = opened.manifest.contract.markup
    sets = given_faces(settings, faces, markup, ("test",), progress)
    with hold(place, progress.step), atomic_path(place) as fresh:
        measure_into(fresh, opened, sets["test"], config, variants, progress, minutes)
    return tuple(read_measurements(place))


@naming_extras
def judge(
    measurements: str | Path,
    *,
    limits: "Limits | None" = None,
    recipe: "Recipe | str | Path | None" = None,
    out: str | Path | None = None,
) -> "Judgement":
    """Judge measurements by limits.

    Args:
        measurements: their folder.
        limits: the most that a variant may cost; those of the recipe when absent, else none.
        recipe: its gate table has the limits. A recipe, its file, or the name of a shipped one.
        out: folder for verdict.json, and for the files that people and CI systems read; nothing is
            written when absent.

    Returns:
        a verdict for each variant, and what to deploy.

    Raises:
        LandmintError: the recipe is wrong, or measurements are missing or truncated.
        MissingLibraryError: landmint[pipeline] is not installed.

    Example:
        >>> from landmint import api
        >>> limits = api.Limits(size_mib={"*/int8": 100})
        >>> judgement = api.judge("runs/mine/measurements", limits=limits)
        >>> [v.status for v in judgement.verdicts if v.variant == "onnx/int8"]
        ['pass']
    """
    from landmint.pipeline.given import recipe_on
    from landmint.pipeline.judge.verdicts import judge_measurements
    from landmint.pipeline.lock import hold
    from landmint.pipeline.measure_config import GateConfig

    settings = None if recipe is None else recipe_on(recipe)
    limits = limits or (settings.gate if settings else GateConfig()).limits
    title = settings.name if settings else Path(measurements).name
    judgement = judge_measurements(Path(measurements), limits, title)
    if out is not None:
        with hold(Path(out), SILENT.step):
            judgement.write(Path(out))
    return judgement


@naming_extras
def report(run: str | Path, out: str | Path | None = None) -> Path:
    """Write what was built and measured as one self-contained HTML page.

    Args:
        run: folder of a run.
        out: the HTML file; report.html in the run's folder when absent.

    Returns:
        the path of the page.

    Raises:
        LandmintError: the bundle or the measurements are missing or broken.
        MissingLibraryError: landmint[pipeline] is not installed.

    Example:
        >>> from landmint import api
        >>> api.report("runs/mine", "mine.html").name
        'mine.html'
    """
    from landmint.pipeline.lock import hold
    from landmint.pipeline.places import REPORT_FILE
    from landmint.pipeline.report import write_report

    Bundle.open(Path(run) / "bundle", verify=False)  # before the lock, which makes folders
    page = Path(out) if out is not None else Path(run) / REPORT_FILE
    with hold(page, SILENT.step):
        return write_report(Path(run), page)
