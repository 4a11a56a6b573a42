"""The stage of the faces: synthetic ones are drawn, and every face of every split is read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from landmint.pipeline.places import FACES_FILE
from landmint.pipeline.run import Run
from landmint.pipeline.stage import Stage, tree_signature
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import digest, read_json, write_json
from landmint.runtime.progress import Progress
from landmint.train.faces.readers import SPLITS, FacesConfig, LabelOffset
from landmint.train.faces.synthetic import VERSION


def faces_signature(root: Path) -> str:
    """Changes when a file of the data set does; what landmint writes beside it does not count."""
    return tree_signature(root, ignore=(FACES_FILE,))


def faces_settings(config: FacesConfig) -> dict[str, Any]:
    """The settings of a data set that count.

    `label_offset` came after the first: at its default it does not count, so that what was made
    before stays up to date.
    """
    later = {"label_offset"} if config.label_offset == LabelOffset() else None
    return config.model_dump(mode="json", exclude=later)


def _settings(run: Run) -> Mapping[str, Any]:
    config = run.faces_config
    settings = faces_settings(config)
    drawn = settings.pop("synthetic")
    if config.kind == "synthetic":
        del settings["root"]
        return {**settings, "synthetic": {"version": VERSION, **drawn}}
    return {**settings, "root": str(config.root.absolute())}


def _work(run: Run, place: Path, bar: Progress) -> None:
    config = run.faces_config
    place.mkdir(parents=True, exist_ok=True)
    if config.kind == "synthetic":
        _draw(run, bar)
    splits = {}
    for split in SPLITS:
        bar.step(f"reading the {split} faces")
        faces = run.faces(split)
        splits[split] = {
            "faces": len(faces.faces),
            "persons": len({face.person for face in faces.faces}),
            "fingerprint": faces.fingerprint,
        }
    content = {
        "schema": 1,
        "kind": config.kind,
        "markup": config.markup,
        "root": str(config.root.absolute()),
        "signature": faces_signature(config.root),
        "splits": splits,
        "upright_images": sorted({face.name for face in run.faces("test").faces if face.upright}),
        "test_images": {
            face.name: str(face.image.relative_to(config.root)) for face in run.faces("test").faces
        },
    }
    write_json(place / FACES_FILE, content)


def _draw(run: Run, bar: Progress) -> None:
    from landmint.runtime.markup import get_markup
    from landmint.train.faces.synthetic import write_synthetic

    config, drawn = run.faces_config, run.faces_config.synthetic
    markup = get_markup(config.markup)
    write_synthetic(config.root, drawn.counts, markup, drawn.size_px, drawn.seed, bar)


def _outcome(run: Run, place: Path) -> str:
    """What the faces say and show.

    Raises:
        LandmintError: a file was changed, added or removed since they were read.
    """
    content = read_json(place / FACES_FILE)
    if content["signature"] != faces_signature(run.faces_config.root):
        raise LandmintError(f"the faces in {run.faces_config.root} have changed")
    return digest({split: about["fingerprint"] for split, about in content["splits"].items()})


def _summary(place: Path) -> str:
    splits = read_json(place / FACES_FILE)["splits"]
    return ", ".join(f"{about['faces']} {split}" for split, about in splits.items())


FACES = Stage(
    name="faces",
    revision=1,
    settings=_settings,
    work=_work,
    outcome=_outcome,
    summary=_summary,
    resumes=True,
)
