"""SimpleBaseline: heatmaps from a ResNet and three wide deconvolutions.

Xiao, Wu and Wei, "Simple baselines for human pose estimation and tracking", ECCV 2018, section 2.
MobileFAN is this decoder, narrow, on a mobile trunk.
"""

from typing import ClassVar

from landmint.train.models.mobilefan import MobileFAN
from landmint.train.models.trunks import EFFICIENTNET_LITE, MOBILENET_V2, RESNET


class SimpleBaseline(MobileFAN):
    """Heatmaps (L, S/4, S/4) from 256 channels at every level."""

    BACKBONES: ClassVar = (*RESNET, *MOBILENET_V2, *EFFICIENTNET_LITE)
    LEVELS: ClassVar = {"deconv": (256, 256, 256), "shuffle": (256, 256, 256)}
