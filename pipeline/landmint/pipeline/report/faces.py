"""Faces drawn as SVG: landmarks over a small JPEG, and displacements on the mean face.

The landmarks are vectors, so that they stay crisp and the page can show and hide each set. Not a
drawing tool for users' pictures: `landmint predict` has its own.
"""

import base64
import html
from collections.abc import Mapping

import cv2
import numpy as np

from landmint.pipeline.report.palette import css_class
from landmint.runtime.accuracy import Difference
from landmint.runtime.contract import CropRule
from landmint.runtime.crop import Box, Floats, Image, apply_affine, crop_matrix, invert_affine, warp
from landmint.runtime.markup import Markup

SIDE_PX = 208
"""Side of an embedded face: large enough to see a displacement of one pixel at twice its size."""
_QUALITY = 80
_RULE = CropRule(scale=(1.35, 1.35), square=True)


def face_svg(
    image: Image,
    box: Box,
    layers: Mapping[str, Floats],
    markup: Markup,
    description: str,
) -> str:
    """One face with several sets of landmarks over it.

    Args:
        image: (H, W, 3) RGB.
        box: the face in image pixels.
        layers: CSS class to landmarks (L, 2) in image pixels, the first drawn lowest.
        markup: tells what to connect.
        description: what is to be seen, for people who do not see it.
    """
    matrix = crop_matrix(box, _RULE, SIDE_PX)
    picture = data_uri(warp(image, matrix, SIDE_PX))
    back = invert_affine(matrix)
    drawn = "".join(
        f'<g class="layer {html.escape(name)}">{_marks(apply_affine(back, points), markup)}</g>'
        for name, points in layers.items()
    )
    return (
        f'<svg role="img" class="face" viewBox="-0.5 -0.5 {SIDE_PX} {SIDE_PX}" '
        f'aria-label="{html.escape(description, quote=True)}">'
        f'<image x="-0.5" y="-0.5" width="{SIDE_PX}" height="{SIDE_PX}" href="{picture}"/>'
        f"{drawn}</svg>"
    )


def displacement_svg(
    mean_face: Floats,
    difference: Difference,
    markup: Markup,
    variant: str,
    magnification: float,
) -> str:
    """Displacements on the mean face.

    A disc's radius is the mean distance of that landmark to the reference, the stroke from its
    centre the mean signed displacement, both magnified alike: a long stroke is a bias.

    Args:
        mean_face: (L, 2) landmarks, in the unit of errors, y down.
        difference: of the variant, in that unit.
        markup: tells what to connect.
        variant: whose landmarks these are.
        magnification: how many times larger than life.
    """
    low, high = mean_face.min(axis=0), mean_face.max(axis=0)
    scale = 200 / (high - low).max()
    points = (mean_face - (low + high) / 2) * scale
    radii = difference.by_landmark
    ends = points + difference.offsets * magnification * scale
    discs = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius * magnification * scale:.2f}"/>'
        for (x, y), radius in zip(points, radii, strict=True)
    )
    strokes = "".join(
        f"M{x:.1f} {y:.1f}L{to_x:.1f} {to_y:.1f}"
        for (x, y), (to_x, to_y) in zip(points, ends, strict=True)
    )
    worst = int(np.argmax(radii))
    description = (
        f"Displacement of {variant} on the mean face, {magnification:g} times magnified: "
        f"{radii.mean() * 100:.3f} % of the {markup.error_unit} on average, "
        f"most at landmark {worst} with {radii[worst] * 100:.3f} %"
    )
    return (
        f'<svg role="img" class="mean-face {css_class(variant)}" viewBox="-115 -115 230 230" '
        f'aria-label="{html.escape(description, quote=True)}"><g class="shape">'
        f'{_marks(points, markup)}</g><g class="discs">{discs}</g><path class="bias" '
        f'd="{strokes}"/></svg>'
    )


def data_uri(image: Image) -> str:
    """An (H, W, 3) RGB image as the data URI of a small JPEG."""
    done, encoded = cv2.imencode(
        ".jpg", np.ascontiguousarray(image[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    )
    if not done:
        raise RuntimeError(f"OpenCV could not encode a {image.shape} image as JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")


def _marks(points: Floats, markup: Markup) -> str:
    """Thin contours and a dot per landmark, but for those that are missing."""
    placed = np.asarray(np.isfinite(points).all(axis=1))
    lines = "".join(
        f"<{'polygon' if closed else 'polyline'} points="
        f'"{" ".join(f"{x:.1f},{y:.1f}" for x, y in points[[i for i in ring if placed[i]]])}"/>'
        for ring, closed in markup.contours
    )
    dots = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in points[placed])
    return f'{lines}<path d="{dots}"/>'
