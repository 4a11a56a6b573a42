"""The networks by name. Importing this loads no torch; a network's module is loaded when asked."""

from typing import TYPE_CHECKING

from landmint.runtime.registry import Registry

if TYPE_CHECKING:
    from landmint.train.models.base import LandmarkModel

MODELS = Registry(
    {
        "hrnet": "landmint.train.models.hrnet:HRNet",
        "fan": "landmint.train.models.fan:FAN",
        "pipnet": "landmint.train.models.pipnet:PIPNet",
        "pfld": "landmint.train.models.pfld:PFLD",
        "mobilefan": "landmint.train.models.mobilefan:MobileFAN",
        "simcc": "landmint.train.models.simcc:SimCC",
        "hourglass": "landmint.train.models.hourglass:Hourglass",
        "awing": "landmint.train.models.awing:AWing",
        "adnet": "landmint.train.models.adnet:ADNet",
        "spiga": "landmint.train.models.spiga:SPIGA",
        "simplebaseline": "landmint.train.models.simplebaseline:SimpleBaseline",
        "anchorface": "landmint.train.models.anchorface:AnchorFace",
        "cunet": "landmint.train.models.coupled_unet:CoupledUNet",
        "luvli": "landmint.train.models.luvli:LUVLi",
        "ghostone": "landmint.train.models.ghostone:GhostOne",
        "propagation": "landmint.train.models.propagation:PropagationNet",
        "lab": "landmint.train.models.lab:LAB",
        "cpm": "landmint.train.models.cpm:CPM",
        "san": "landmint.train.models.san:SAN",
        "grmi": "landmint.train.models.grmi:GRMI",
        "centernet": "landmint.train.models.grmi:CenterNet",
        "hih": "landmint.train.models.hih:HIH",
        "deeppose": "landmint.train.models.deeppose:DeepPose",
    },
    kind="model",
    group="landmint.students",
)


def model_class(name: str) -> "type[LandmarkModel]":
    """The class behind a name of `MODELS`.

    Raises:
        LandmintError: there is no such model, or the package that adds it is broken.
    """
    model: type[LandmarkModel] = MODELS.load(name)
    return model
