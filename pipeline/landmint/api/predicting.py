"""Load a model and predict with it."""

from pathlib import Path

from landmint.pipeline.extras import naming_extras
from landmint.pipeline.opening import Model, open_forms, open_model
from landmint.train.zoo import best, find_model, forms_beside


@naming_extras
def load(
    model: str | Path | None = None, variant: str | None = None, *, plans: bool = False
) -> Model:
    """Load a model that predicts.

    Args:
        model: a shipped model, a bundle's folder, or weights; the best shipped model when absent.
        variant: which form of a bundle or of a shipped model, such as "tflite/int8", and so which
            engine; the first that runs here when absent. Weights are run by PyTorch, those of a
            shipped model only where none of its forms runs, or by the name "torch/float32".
        plans: whether a TensorRT plan of the bundle may run: code of whoever made it.

    Raises:
        LandmintError: there is no such model, or it has no such variant.
        NotMeasuredError: the variant cannot run here.
        MissingLibraryError: weights are given, and PyTorch is not installed.

    Example:
        >>> from landmint import api
        >>> model = api.load("bundle", "onnx/int8")
        >>> [face] = model.predict("photo.jpg", box=(60, 60, 130, 130))
        >>> model.about["engine"], face.points.shape
        ('onnxruntime', (68, 2))
    """
    weights = best().weights if model is None else find_model(str(model))
    return open_forms(weights, forms_beside(weights), variant) or open_model(
        weights, variant, plans
    )
