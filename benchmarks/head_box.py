"""Make faces of nine points of faces of any markup: corners of a box about each, and its centre.

What zoo/rtm3d learns from. The box is HEAD_BOX of landmint.runtime.head_pose, seen in the pose that
is fitted to the 14 pose points of each face, free of the lean of the labels. Pictures are linked.

    python benchmarks/head_box.py recipes/zoo/centernet.toml runs/head-box
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from landmint.pipeline.recipe import load_recipe
from landmint.runtime.crop import Floats
from landmint.runtime.errors import LandmintError
from landmint.runtime.head_pose import HEAD_BOX, fit_pose
from landmint.runtime.markup import Markup, get_markup
from landmint.train.faces.face import Face
from landmint.train.faces.pose import POSE_MODEL
from landmint.train.faces.pts300w import write_pts
from landmint.train.faces.readers import SPLITS, read_faces

_FOCAL = 5.0  # in sides of the face box: a face of 0.2 m at 1 m


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the faces of all splits; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("recipe", type=Path, help="whose faces")
    parser.add_argument("out", type=Path, help="a folder for them, in 300W layout")
    options = parser.parse_args(arguments)
    try:
        recipe = load_recipe(options.recipe)
        markup = get_markup(recipe.faces.markup)
        for split in SPLITS:
            faces = read_faces(recipe.faces, split, recipe.file.parent)
            for face in faces:
                _write(face, markup, options.out / split / Path(face.name).name)
            print(f"{split}: {len(faces)} faces")
    except LandmintError as error:
        print(f"head_box: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def head_box(face: Face, markup: Markup) -> Floats:
    """The nine points (9, 2) of a face, in its picture's pixels.

    Raises:
        LandmintError: a pose point is missing, or the markup has none.
    """
    seen = face.points[list(markup.pose_points)]
    if len(seen) != len(POSE_MODEL) or not np.isfinite(seen).all():
        raise LandmintError(
            f"{face.name} has no pose",
            reason="14 landmarks tell it, which are not all there",
            remedy='take faces whose markup names pose_points, and missing = "leave_out"',
        )
    box = face.box
    centre = np.array([box.x + box.w / 2, box.y + box.h / 2])
    focal = _FOCAL * max(box.w, box.h)
    pose = fit_pose(POSE_MODEL, seen, focal, centre)
    return pose.project(HEAD_BOX, focal, centre)


def _write(face: Face, markup: Markup, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    write_pts(place.with_name(f"{place.name}.pts"), head_box(face, markup))
    picture = place.with_name(place.name + face.image.suffix)
    picture.unlink(missing_ok=True)
    picture.symlink_to(face.image.absolute())


if __name__ == "__main__":
    raise SystemExit(main())
