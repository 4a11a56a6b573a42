"""What guesses the head's pose while a PFLD is trained; see `tasks.PfldTask`."""

from torch import Tensor, nn

from landmint.train.models.base import conv_bn_relu


class PoseNet(nn.Module):
    """Euler angles (B, 3) in radians from an early map of PFLD; in training only."""

    def __init__(self, channels: int) -> None:
        """Build it for a map of so many channels."""
        super().__init__()
        self.layers = nn.Sequential(
            conv_bn_relu(channels, 128, 3, stride=2, padding=1),
            conv_bn_relu(128, 128, 3, padding=1),
            conv_bn_relu(128, 32, 3, stride=2, padding=1),
            conv_bn_relu(32, 128, 7, padding=3),
            nn.AdaptiveMaxPool2d(1),
            nn.Flatten(),
            nn.Linear(128, 32),
            nn.ReLU(inplace=True),
            nn.Linear(32, 3),
        )

    def forward(self, early: Tensor) -> Tensor:
        """Angles of a batch of maps (B, C, H, W)."""
        angles: Tensor = self.layers(early)
        return angles
