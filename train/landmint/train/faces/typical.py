"""How typical the shapes of a set of faces are, whatever their place, size and roll.

Not a model of faces to fit: it only tells which annotations a person should look at.
"""

import numpy as np
from numpy.typing import NDArray

from landmint.runtime.crop import Floats

FEWEST_FACES = 20
"""Fewer faces do not tell what is typical."""
_ROUNDS = 4
_EXPLAINED, _FACES_A_MODE = 0.9, 20
_LEAST = 1e-12  # copies of one face would divide by zero

Complexes = NDArray[np.complex128]


def strangeness(points: Floats) -> Floats:
    """How far each landmark of shapes (N, L, 2) is from where such faces have it: (N, L).

    Shapes are moved, turned and scaled onto their median (generalised Procrustes; Gower, 1975).
    What their main modes of variation explain, pose and expression for the most part, is taken
    away (a point distribution model; Cootes et al., 1995); the rest of each landmark counts in
    units of its own median. The scale is such that half of the faces have no landmark above 1.
    """
    shapes = _centred(points)
    mean = _typical(shapes)
    aligned = _aligned(shapes, mean) - mean
    rest = _beyond_modes(np.concatenate([aligned.real, aligned.imag], axis=1))
    far = np.hypot(*np.split(rest, 2, axis=1))
    far = far / np.maximum(np.median(far, axis=0), _LEAST)
    return np.asarray(far / max(np.median(far.max(axis=1)), _LEAST))


def _beyond_modes(deviations: Floats) -> Floats:
    """What the modes that explain most of the variance leave of deviations (N, 2L)."""
    lengths = np.linalg.norm(deviations, axis=1, keepdims=True)
    # A shape far from all others may not turn a mode to itself.
    weights = np.minimum(1.0, 2 * np.median(lengths) / np.maximum(lengths, _LEAST))
    _, sizes, modes = np.linalg.svd(deviations * weights, full_matrices=False)
    share = np.cumsum(sizes**2) / max(float(np.sum(sizes**2)), _LEAST)
    kept = min(int(np.searchsorted(share, _EXPLAINED)) + 1, len(deviations) // _FACES_A_MODE)
    return np.asarray(deviations - deviations @ modes[:kept].T @ modes[:kept])


def typical_shape(points: Floats) -> Floats:
    """The median shape (L, 2) of shapes (N, L, 2), moved, turned and scaled onto each other.

    In the turn and scale of no face in particular; centred, of length 1.
    """
    shape = _typical(_centred(points))
    return np.stack([shape.real, shape.imag], axis=1)


def _centred(points: Floats) -> Complexes:
    """Shapes (N, L) as complex numbers of mean 0 and length 1."""
    shapes = points[..., 0] + 1j * points[..., 1]
    shapes = shapes - shapes.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(shapes, axis=1, keepdims=True)
    return np.asarray(shapes / np.maximum(lengths, np.finfo(float).tiny))


def _typical(shapes: Complexes) -> Complexes:
    """The median shape (L,)."""
    mean = shapes.mean(axis=0)
    for _ in range(_ROUNDS):
        aligned = _aligned(shapes, mean)
        mean = np.median(aligned.real, axis=0) + 1j * np.median(aligned.imag, axis=0)
        mean = mean / np.linalg.norm(mean)
    return np.asarray(mean)


def _aligned(shapes: Complexes, mean: Complexes) -> Complexes:
    """Shapes turned and scaled to lie as near to the mean as they can, by least squares."""
    turn = (shapes.conj() @ mean) / (np.abs(shapes) ** 2).sum(axis=1)
    return np.asarray(turn[:, None] * shapes)
