"""Make bundles: a network's float forms, and INT8 forms beside them."""

from pathlib import Path
from typing import TYPE_CHECKING

from landmint.pipeline.extras import naming_extras
from landmint.runtime.bundle import Bundle
from landmint.runtime.errors import LandmintError
from landmint.runtime.progress import SILENT, Progress

if TYPE_CHECKING:
    from landmint.export.bundle_export import Origin
    from landmint.export.config import ExportConfig
    from landmint.export.finding import Finding
    from landmint.pipeline.quantizing import Quantized
    from landmint.pipeline.recipe import Recipe
    from landmint.quantize.config import QuantizeConfig
    from landmint.train.faces.readers import Split


@naming_extras
def export(
    model: str | Path,
    out: str | Path,
    *,
    config: "ExportConfig | None" = None,
    recipe: "Recipe | str | Path | None" = None,
    faces: str | Path | None = None,
    progress: Progress = SILENT,
) -> Bundle:
    """Turn a trained network into ONNX, OpenVINO, TFLite and TensorRT, in one bundle.

    Each float32 form is compared with the network on crops, of drawn faces where none are given.

    Args:
        model: weights, or a shipped model.
        out: the bundle's folder; a bundle that stands there is replaced.
        config: which forms; those of the recipe when absent, else all.
        recipe: has faces and settings. A recipe, its file, or the name of a shipped one.
        faces: the data set's folder, instead of the recipe's; without a recipe in 300W layout.
        progress: told of every step.

    Raises:
        LandmintError: the input is wrong, or a form differs from the network.
        MissingLibraryError: landmint[export] is not installed.

    Example:
        >>> from landmint import api
        >>> bundle = api.export("pfld", "pfld", config=api.ExportConfig(formats=("onnx",)))
        >>> [variant.name for variant in bundle.manifest.variants]
        ['torch/float32', 'onnx/float32']
    """
    from landmint.export.bundle_export import Trained
    from landmint.runtime.files import sha256_file
    from landmint.train.models import load_model
    from landmint.train.zoo import find_model

    checkpoint = find_model(str(model))
    provenance = {"checkpoint_sha256": sha256_file(checkpoint)}
    origin = Trained(load_model(checkpoint))
    return _export(origin, provenance, Path(out), config, recipe, faces, progress)


def _export(
    origin: "Origin",
    provenance: dict[str, str],
    place: Path,
    config: "ExportConfig | None",
    recipe: "Recipe | str | Path | None",
    faces: str | Path | None,
    progress: Progress,
) -> Bundle:
    """Every form of a network, compared with it on faces that are given or drawn."""
    from landmint.export.bundle_export import export_bundle
    from landmint.export.config import ExportConfig
    from landmint.pipeline.given import given_or_drawn_faces, recipe_on
    from landmint.pipeline.lock import hold
    from landmint.train.faces.synthetic.markup import drawable

    settings = None if recipe is None else recipe_on(recipe, faces)
    config = config or (settings.export if settings else ExportConfig())
    provenance |= {"recipe": settings.name} if settings else {}
    # A crop needs a box alone: faces are drawn whose markup can be drawn.
    drawn = origin.contract.markup if recipe or faces else drawable(origin.contract.markup)
    count = ExportConfig().parity_faces
    with (
        hold(place, progress.step),
        given_or_drawn_faces(settings, faces, drawn, "val", count, progress) as parity_faces,
    ):
        return export_bundle(origin, parity_faces, config, place, provenance, progress)


@naming_extras
def import_(
    model: str | Path,
    contract: str | Path,
    out: str | Path,
    *,
    weights: str | Path | None = None,
    config: "ExportConfig | None" = None,
    recipe: "Recipe | str | Path | None" = None,
    faces: str | Path | None = None,
    progress: Progress = SILENT,
) -> Bundle:
    """Turn a network that somebody else exported into a bundle, in every float form.

    The file itself stays in the bundle, byte for byte, as the reference. Each float32 form is
    compared with it on crops, of drawn faces where none are given.

    Args:
        model: an ONNX, TFLite or TorchScript file, the .xml of an OpenVINO IR, or
            "package.module:function", which is imported and called, and returns a PyTorch network.
        contract: a TOML file that says what the network takes and returns.
        out: the bundle's folder; a bundle that stands there is replaced.
        weights: safetensors for the network of that function.
        config: which forms; those of the recipe when absent, else all.
        recipe: has faces and settings. A recipe, its file, or the name of a shipped one.
        faces: the data set's folder, instead of the recipe's; without a recipe in 300W layout.
        progress: told of every step.

    Raises:
        LandmintError: the file or the contract is wrong, they do not fit each other, or a form
            differs from the file.
        MissingLibraryError: landmint[export] is not installed.

    Example:
        >>> from landmint import api
        >>> bundle = api.import_("net.onnx", "contract.toml", "imported")
        >>> bundle.manifest.reference.name
        'original/float32'
    """
    from landmint.export.importing.foreign_contract import read_foreign_contract
    from landmint.export.importing.imported import read_imported
    from landmint.export.importing.torch_function import model_file
    from landmint.runtime.files import sha256_file

    spec, given = read_foreign_contract(Path(contract)), None if weights is None else Path(weights)
    with model_file(str(model), given, (spec.input.size,)) as path:
        origin = read_imported(path, Path(contract))
        provenance = {
            "imported": Path(model).name,
            "sha256": sha256_file(path),
            "contract_sha256": sha256_file(Path(contract)),
        }
        provenance |= {} if given is None else {"weights_sha256": sha256_file(given)}
        return _export(origin, provenance, Path(out), config, recipe, faces, progress)


@naming_extras
def draft_contract(model: str | Path, *, weights: str | Path | None = None) -> str:
    """A contract for `import_`, drafted by looking at a network; a person corrects it.

    Args:
        model: an ONNX, TFLite or TorchScript file, the .xml of an OpenVINO IR, or
            "package.module:function", which is imported and called, and returns a PyTorch network.
        weights: safetensors for the network of that function.

    Returns:
        TOML with comments; CHECK stands where the file does not tell.

    Raises:
        LandmintError: the file cannot be read, or looks like no landmark network.
        MissingLibraryError: landmint[export] is not installed.

    Example:
        >>> from landmint import api
        >>> print(api.draft_contract("net.onnx").splitlines()[0])
        # What landmint must know of net.onnx, drafted by looking at it. Correct it, then:
    """
    from landmint.export.importing.draft import SIZES, draft_contract
    from landmint.export.importing.torch_function import model_file

    given = None if weights is None else Path(weights)
    with model_file(str(model), given, SIZES) as path:
        return draft_contract(path)


@naming_extras
def lint(model: str | Path, *, config: "ExportConfig | None" = None) -> "dict[str, list[Finding]]":
    """What each target will not do, or do badly, with a network, a bundle or an ONNX file.

    Args:
        model: weights, a shipped model, a bundle's folder, or an ONNX file.
        config: for which formats; for all when absent.

    Returns:
        findings by the name of the file that they are about, worst first.

    Raises:
        LandmintError: there is no such model, or it is broken.
        MissingLibraryError: landmint[export] is not installed.

    Example:
        >>> from landmint import api
        >>> for name, findings in api.lint("bundle").items():
        ...     print(name, any(finding.severity == "error" for finding in findings))
        onnx/float32.onnx False
        onnx/int8.onnx False
    """
    from landmint.export.config import ExportConfig
    from landmint.pipeline.linting import lint_path
    from landmint.train.zoo import find_model

    return lint_path(find_model(str(model)), (config or ExportConfig()).formats)


@naming_extras
def quantize(
    bundle: str | Path,
    out: str | Path,
    *,
    config: "QuantizeConfig | None" = None,
    recipe: "Recipe | str | Path | None" = None,
    faces: str | Path | None = None,
    adapted: str | Path | None = None,
    progress: Progress = SILENT,
) -> "Quantized":
    """Add INT8 forms to a bundle, calibrated on training faces.

    The calibration set may share no image and no person with the test faces.

    Args:
        bundle: folder of a float bundle.
        out: the new bundle's folder.
        config: which forms and how; those of the recipe when absent, else all.
        recipe: has faces and settings. A recipe, its file, or the name of a shipped one.
        faces: the data set's folder, instead of the recipe's; without a recipe in 300W layout.
        adapted: weights of `adapt`, to make the INT8 forms of.
        progress: told of every step.

    Returns:
        the bundle; where `config` asks for them, what each layer loses and what was tried.

    Raises:
        LandmintError: the input is wrong, or calibration and test faces overlap.
        MissingLibraryError: landmint[export] is not installed.

    Example:
        >>> from landmint import api
        >>> config = api.QuantizeConfig(formats=("onnx",), size=8)
        >>> quantized = api.quantize("bundle", "int8", config=config, faces="my-faces")
        >>> quantized.bundle.variant("onnx/int8").engine
        'onnxruntime'
    """
    from landmint.pipeline.given import given_faces, recipe_on
    from landmint.pipeline.lock import hold
    from landmint.pipeline.quantizing import quantize_into
    from landmint.quantize.config import QuantizeConfig

    source, weights = Bundle.open(Path(bundle)), None if adapted is None else Path(adapted)
    settings = None if recipe is None else recipe_on(recipe, faces)
    config = config or (settings.quantize if settings else QuantizeConfig())
    if weights is not None and config.fallback_budget is not None:
        raise LandmintError(
            "no cure is searched for with adapted weights",
            reason="they were trained in the ranges, and with the layers rounded, of the recipe",
            remedy="leave --fallback-budget away, or change [quantize] and train again",
        )
    splits: tuple[Split, ...] = ("train", "test")
    splits += ("val",) if config.explains or weights else ()
    sets = given_faces(settings, faces, source.manifest.contract.markup, splits, progress)
    with hold(Path(out), progress.step):
        return quantize_into(Path(out), source, sets, config, settings, weights, progress)
