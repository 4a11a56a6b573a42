"""Landmarks from a network's outputs in torch: batches of them, on the device that trains.

`landmint.runtime.decode` is the reference, and a test compares the two on every head and method.
The export room appends these modules to graphs. What it appends is made of operators that ONNX
Runtime, OpenVINO and TFLite all have: no gathering by computed indices, rank 3 at most, no types
but float32 and bool.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from landmint.runtime.contract import Head
from landmint.runtime.decode import (
    DARK_REACH_CELLS,
    LOG_FLOOR,
    dark_band,
    pip_votes,
)


def decoder_for(head: Head) -> nn.Module:
    """The decode of a head.

    Returns:
        a module from the contract's outputs, in their order and with a batch axis, to points
        (B, L, 2) in [0, 1] over the crop, x then y, and confidence (B, L).
    """
    return _DECODERS[head.decode if head.kind == "heatmap" else head.kind](head)


class CoordinatesDecode(nn.Module):
    """Coordinates are landmarks already; a head that states no confidence is sure."""

    def __init__(self, head: Head) -> None:
        """Nothing depends on the head."""
        super().__init__()

    def forward(
        self, coordinates: Tensor, confidence: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Points and confidence of coordinates (B, 2L)."""
        points = coordinates.reshape(len(coordinates), -1, 2)
        return points, torch.ones_like(points[..., 0]) if confidence is None else confidence


class HeatmapDecode(nn.Module):
    """The peak's cell; a subclass refines it. Also the decode "argmax"."""

    def __init__(self, head: Head) -> None:
        """Keep what the head says of its maps."""
        super().__init__()
        self.head = head

    def forward(self, heatmaps: Tensor, confidence: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Points of heatmaps (B, L, H, W), and their peaks unless there is a confidence."""
        batch, landmarks, height, width = heatmaps.shape
        maps = heatmaps.reshape(-1, height, width)
        x, y, top = _peak(maps)
        shift_x, shift_y = self.shift(maps, x, y, top)
        points = torch.cat([(x + shift_x + 0.5) / width, (y + shift_y + 0.5) / height], dim=1)
        sure = top.reshape(batch, landmarks) if confidence is None else confidence
        return points.reshape(batch, landmarks, 2), sure

    def shift(self, maps: Tensor, x: Tensor, y: Tensor, top: Tensor) -> tuple[Tensor, Tensor]:
        """From the peak's cell to the landmark, in cells: (M, 1) along x and along y.

        Args:
            maps: (M, H, W).
            x: (M, 1) column of each map's peak.
            y: its row.
            top: its value.
        """
        return torch.zeros_like(x), torch.zeros_like(y)


class QuarterDecode(HeatmapDecode):
    """A quarter of a cell towards the higher neighbour."""

    def shift(self, maps: Tensor, x: Tensor, y: Tensor, top: Tensor) -> tuple[Tensor, Tensor]:
        """A quarter of a cell, nothing in the outermost cells."""
        patch = _patch(maps, x, y, 1)
        inside = 0.25 * _inside(maps, x, y, 1)
        slope_x = patch[:, 1:2, 2] - patch[:, 1:2, 0]
        slope_y = patch[:, 2:3, 1] - patch[:, 0:1, 1]
        return slope_x.sign() * inside, slope_y.sign() * inside


class DarkDecode(HeatmapDecode):
    """A Taylor step on the log of the blurred map, in float64: second differences cancel."""

    band: Tensor

    def __init__(self, head: Head) -> None:
        """Look up the blur for the head's sigma."""
        super().__init__(head)
        self.register_buffer("band", torch.from_numpy(dark_band(head.sigma)), persistent=False)

    def shift(self, maps: Tensor, x: Tensor, y: Tensor, top: Tensor) -> tuple[Tensor, Tensor]:
        """-H^-1 g within the bound; nothing near the border or where there is no peak."""
        patch = _patch(maps, x, y, self.band.shape[1] // 2).double()
        log = (self.band @ patch @ self.band.T).clamp(min=LOG_FLOOR).log()
        gradient_x = (log[:, 2, 3] - log[:, 2, 1]) / 2
        gradient_y = (log[:, 3, 2] - log[:, 1, 2]) / 2
        xx = (log[:, 2, 4] - 2 * log[:, 2, 2] + log[:, 2, 0]) / 4
        yy = (log[:, 4, 2] - 2 * log[:, 2, 2] + log[:, 0, 2]) / 4
        xy = (log[:, 3, 3] - log[:, 3, 1] - log[:, 1, 3] + log[:, 1, 1]) / 4
        determinant = xx * yy - xy * xy
        usable = _inside(maps, x, y, 2)[:, 0] & (determinant > LOG_FLOOR) & (xx < 0)
        safe = torch.where(usable, determinant, 1.0)
        step_x = -(yy * gradient_x - xy * gradient_y) / safe * usable
        step_y = -(xx * gradient_y - xy * gradient_x) / safe * usable
        step = torch.stack([step_x, step_y], dim=1).clamp(-DARK_REACH_CELLS, DARK_REACH_CELLS)
        shift = step.to(maps.dtype)
        return shift[:, :1], shift[:, 1:]


class SoftArgmaxDecode(HeatmapDecode):
    """The mean of the cells around the peak under a softmax of their values."""

    def shift(self, maps: Tensor, x: Tensor, y: Tensor, top: Tensor) -> tuple[Tensor, Tensor]:
        """The mean's distance from the peak; cells outside of the map do not count."""
        steps = _steps(self.head.radius, maps)
        rows, columns = _window(maps, x, y, self.head.radius)
        patch = rows @ maps @ columns.transpose(1, 2)
        inside = rows.sum(dim=2)[:, :, None] * columns.sum(dim=2)[:, None, :]
        weights = self.weights(patch, top[:, :, None]) * inside
        # Multiplied before they are summed: OpenVINO 2026.4 reads past a sum of one axis that is
        # multiplied by a vector afterwards.
        sums = [(weights * along).sum(dim=(1, 2)) for along in (steps, steps[:, None])]
        shift_x, shift_y = ((part / self.total(weights))[:, None] for part in sums)
        return shift_x, shift_y

    def weights(self, patch: Tensor, top: Tensor) -> Tensor:
        """How much each cell of patches (M, K, K) counts, about peaks (M, 1, 1)."""
        # Outside of the map the patch is 0, which may lie above the peak: it must not overflow.
        return torch.exp(-self.head.tau * torch.relu(top - patch))

    def total(self, weights: Tensor) -> Tensor:
        """What the weights (M, K, K) of a patch sum up to: (M,), never 0."""
        return weights.sum(dim=(1, 2))


class CentroidDecode(SoftArgmaxDecode):
    """The mean of the cells around the peak by their values, where those are positive."""

    def weights(self, patch: Tensor, top: Tensor) -> Tensor:
        """The values themselves."""
        return torch.relu(patch)

    def total(self, weights: Tensor) -> Tensor:
        """Of a map without a positive cell nearly 0: it stays at its peak."""
        return weights.sum(dim=(1, 2)).clamp(min=1e-12)


class PipDecode(nn.Module):
    """PIPNet's decode of scores and offsets: each landmark is the mean of all votes for it."""

    votes: Tensor

    def __init__(self, head: Head) -> None:
        """Look up whose votes count for each landmark."""
        super().__init__()
        votes = torch.tensor(pip_votes(head.neighbours))
        self.register_buffer("votes", votes, persistent=False)

    def forward(
        self, cls: Tensor, x: Tensor, y: Tensor, nb_x: Tensor, nb_y: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Points, and the score maps' peaks."""
        batch, landmarks, rows, columns = cls.shape
        cell_x, cell_y, top = _peak(cls.reshape(-1, rows, columns))
        peak = _picks(cell_y, rows).transpose(1, 2) * _picks(cell_x, columns)
        cell = peak.reshape(batch * landmarks, rows * columns, 1)

        def mean_vote(own: Tensor, others: Tensor, start: Tensor, cells: int) -> Tensor:
            maps = (part.reshape(len(cell), -1, rows * columns) for part in (own, others))
            votes = torch.cat([part @ cell for part in maps], dim=1).squeeze(2) + start
            received = votes.reshape(batch, -1).index_select(1, self.votes.flatten())
            return received.reshape(batch * landmarks, -1).mean(dim=1, keepdim=True) / cells

        means = (mean_vote(x, nb_x, cell_x, columns), mean_vote(y, nb_y, cell_y, rows))
        return torch.cat(means, dim=1).reshape(batch, landmarks, 2), top.reshape(batch, landmarks)


class SimccDecode(nn.Module):
    """The local mean of each vector of bins, about its peak."""

    def __init__(self, head: Head) -> None:
        """Keep what the head says of its bins."""
        super().__init__()
        self.head = head

    def forward(self, simcc_x: Tensor, simcc_y: Tensor) -> tuple[Tensor, Tensor]:
        """Points of vectors (B, L, n), and the lower of the probabilities about their peaks."""
        x, sure_x = self._mean(simcc_x)
        y, sure_y = self._mean(simcc_y)
        points = torch.cat([x, y], dim=1).reshape(*simcc_x.shape[:2], 2)
        return points, torch.minimum(sure_x, sure_y).reshape(simcc_x.shape[:2])

    def _mean(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Places (M, 1) in [0, 1] and the probability about them."""
        count = logits.shape[2]
        vectors = logits.reshape(-1, count)
        peak = _first_of_highest(vectors)
        away = _range(count, vectors) - peak
        weights = torch.exp(self.head.tau * (vectors - vectors.amax(dim=1, keepdim=True)))
        near = weights * (self.head.radius + 1 - away.abs()).clamp(0, 1)  # whole numbers: 0 or 1
        mass = near.sum(dim=1, keepdim=True)
        cells = peak + (near * away).sum(dim=1, keepdim=True) / mass
        return (cells + 0.5) / count, mass / weights.sum(dim=1, keepdim=True)


class OffsetDecode(nn.Module):
    """The mean vote of the cells about each peak that score at least half of it."""

    def __init__(self, head: Head) -> None:
        """Keep what the head says of its cells."""
        super().__init__()
        self.head = head

    def forward(self, scores: Tensor, offset_x: Tensor, offset_y: Tensor) -> tuple[Tensor, Tensor]:
        """Points, and the scores' peaks."""
        batch, landmarks, height, width = scores.shape
        maps = scores.reshape(-1, height, width)
        x, y, top = _peak(maps)
        rows, columns = _window(maps, x, y, self.head.radius)
        inside = rows.sum(dim=2)[:, :, None] * columns.sum(dim=2)[:, None, :]
        least = (top - top.abs() / 2)[:, :, None]
        counts = (rows @ maps @ columns.transpose(1, 2) >= least).float() * inside
        steps = _steps(self.head.radius, maps)

        def mean_vote(offsets: Tensor, along: Tensor, start: Tensor, cells: int) -> Tensor:
            every = offsets.expand(-1, landmarks, -1, -1).reshape(-1, height, width)
            votes = (rows @ every @ columns.transpose(1, 2) + along) * counts
            mean = votes.sum(dim=(1, 2)) / counts.sum(dim=(1, 2))
            return (start + mean[:, None] + 0.5) / cells

        across = mean_vote(offset_x, steps, x, width)
        down = mean_vote(offset_y, steps[:, None], y, height)
        points = torch.cat([across, down], dim=1).reshape(batch, landmarks, 2)
        return points, top.reshape(batch, landmarks)


class NestedDecode(nn.Module):
    """The peak's cell, and within it the middle of the best inner cell."""

    def __init__(self, head: Head) -> None:
        """Nothing depends on the head."""
        super().__init__()

    def forward(self, heatmaps: Tensor, inner: Tensor) -> tuple[Tensor, Tensor]:
        """Points, and the heatmaps' peaks."""
        height, width = heatmaps.shape[2:]
        x, y, top = _peak(heatmaps.reshape(-1, height, width))
        inner_x, inner_y, _ = _peak(inner.reshape(-1, *inner.shape[2:]))
        across = (x + (inner_x + 0.5) / inner.shape[3]) / width
        down = (y + (inner_y + 0.5) / inner.shape[2]) / height
        points = torch.cat([across, down], dim=1).reshape(*heatmaps.shape[:2], 2)
        return points, top.reshape(heatmaps.shape[:2])


_DECODERS: Mapping[str, Callable[[Head], nn.Module]] = {
    "coordinates": CoordinatesDecode,
    "argmax": HeatmapDecode,
    "quarter": QuarterDecode,
    "dark": DarkDecode,
    "local_soft_argmax": SoftArgmaxDecode,
    "centroid": CentroidDecode,
    "pip": PipDecode,
    "simcc": SimccDecode,
    "offset": OffsetDecode,
    "nested": NestedDecode,
}


def _peak(maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where maps (M, H, W) are highest, the first such cell in reading order.

    In two steps of small numbers: a flat index may be too large for a half float.

    Returns:
        column, row and height, (M, 1) each.
    """
    tops = maps.amax(dim=2)
    y = _first_of_highest(tops)
    row = (_picks(y, maps.shape[1]) @ maps).squeeze(1)
    return _first_of_highest(row), y, tops.amax(dim=1, keepdim=True)


def _first_of_highest(values: Tensor) -> Tensor:
    """Index (M, 1), in float, of the first among the highest of (M, N)."""
    count = values.shape[1]
    highest = values == values.amax(dim=1, keepdim=True)
    places = torch.where(highest, _range(count, values), float(count))
    return places.amin(dim=1, keepdim=True)


def _patch(maps: Tensor, x: Tensor, y: Tensor, radius: int) -> Tensor:
    """Square patches (M, 2 radius + 1, 2 radius + 1) around (x, y); 0 outside of the map."""
    rows, columns = _window(maps, x, y, radius)
    return rows @ maps @ columns.transpose(1, 2)


def _window(maps: Tensor, x: Tensor, y: Tensor, radius: int) -> tuple[Tensor, Tensor]:
    """One-hot rows (M, 2 radius + 1, H) and columns (M, 2 radius + 1, W) around (x, y)."""
    steps = _steps(radius, maps)
    return _picks(y + steps, maps.shape[1]), _picks(x + steps, maps.shape[2])


def _inside(maps: Tensor, x: Tensor, y: Tensor, border: int) -> Tensor:
    """True (M, 1) where at least `border` cells stand on every side of (x, y)."""
    height, width = maps.shape[1:]
    inside_x = (x >= border) & (x < width - border)
    return inside_x & (y >= border) & (y < height - border)


def _picks(places: Tensor, count: int) -> Tensor:
    """One-hot rows (M, K, count) for whole-numbered places (M, K); zeros for a place outside."""
    return torch.relu(1 - (_range(count, places) - places[:, :, None]).abs())


def _steps(radius: int, like: Tensor) -> Tensor:
    return torch.arange(-float(radius), radius + 1.0, device=like.device)


def _range(count: int, like: Tensor) -> Tensor:
    return torch.arange(float(count), device=like.device)
