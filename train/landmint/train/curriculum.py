"""PIPNet's task while pseudo-labels say only roughly where each landmark is."""

from torch import Tensor, nn

from landmint.runtime.errors import LandmintError
from landmint.train import losses
from landmint.train.config import LossConfig
from landmint.train.models.base import LandmarkModel
from landmint.train.tasks import Batch, Parts, PipTask


class CurriculumTask(PipTask):
    """PIPNet's loss on true labels; pseudo-labels only teach roughly where each landmark is.

    Jin et al., IJCV 2021, section 3.4: the map that feeds the head is max-pooled, and the same
    layer scores the cells of what is left.
    """

    def __init__(self, model: LandmarkModel, config: LossConfig, pooled: int) -> None:
        """Pool the model's last map by so many cells along each side.

        Raises:
            LandmintError: the score map does not pool to whole cells, two or more a side.
        """
        super().__init__(model, config)
        self.pooled = pooled
        self._model = (model,)  # in a tuple, lest its weights become the task's as well
        rows, columns = self.grid
        if min(rows, columns) < 2 * pooled or rows % pooled or columns % pooled:
            raise LandmintError(
                f"a {rows} x {columns} score map cannot be {pooled} times as coarse",
                reason="at least two whole cells a side must be left",
                remedy="leave the round out, or take a finer map: a lower stride or a larger "
                "input_size",
            )

    def parts(self, features: tuple[Tensor, ...], outputs: Parts, batch: Batch) -> Parts:
        """cls, offsets, neighbours; the latter two of labelled faces alone."""
        coarse = nn.functional.max_pool2d(features[-1], self.pooled)
        (model,) = self._model
        scores = model.head((*features[:-1], coarse))["cls"]
        points, pseudo = batch["points"], batch["pseudo"]
        return self._weighted(
            losses.curriculum_loss(outputs, scores, points, self.neighbours, pseudo)
        )
