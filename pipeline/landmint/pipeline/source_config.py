"""What a recipe says of the published system that it is: for people and tables, not for stages."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from landmint.train.models.config import ModelConfig


class SizeConfig(BaseModel):
    """How large the published network is. A test builds it and compares."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    parameters_m: float = Field(gt=0)
    """Parameters, in millions."""
    gmacs: float = Field(gt=0)
    """Multiply-accumulates for one face, in thousands of millions."""
    counted: Literal["published", "computed"] = "computed"
    """Where both figures come from: published, or computed from the published architecture."""
    model: dict[str, str | int | float | bool] = {}
    """Keys of `[student.model]` that differ in the published network."""

    def published_model(self, ours: ModelConfig) -> ModelConfig:
        """The settings of the published network.

        Args:
            ours: those of the recipe's own.
        """
        return ModelConfig.model_validate({**ours.model_dump(exclude={"pretrained"}), **self.model})


class SourceConfig(BaseModel):
    """A published system: where it stands, what was published, what is ours."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    system: str
    """Its name."""
    family: Literal["heatmap", "hybrid", "regression"]
    """heatmap: a point is a map's peak. hybrid: a peak and offsets, or bins. regression: the
    network returns coordinates."""
    board: str = ""
    """What it is good for on a board, in a few words; empty for what its family is good for."""
    paper: str
    """Authors, title, where it appeared."""
    published: str
    """Figures of the paper or of its authors' code; they are not to be compared with ours, which
    are of other faces."""
    ours: str
    """In what this recipe differs from what was published."""
    untrained: str = ""
    """Why nothing is measured of it here; empty where that is only to be done."""
    recalled: str = ""
    """Which of these facts were not checked at the source."""
    size: SizeConfig | None = None
    """How large the published network is; left out where nothing to compare with is known."""
