"""The whole way of one recipe as stages: what each needs, and what decides its outcome.

Torch is not imported here: a run that finds everything up to date only reads and hashes. The work
itself stands in `work.py`, imported when a stage has to run.
"""

import functools
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landmint.pipeline.places import FACES_FILE, REPORT_FILE, RUN_FILE, TEACHERS, WEIGHTS
from landmint.pipeline.progress import Bar, Screen
from landmint.pipeline.recipe import Recipe
from landmint.pipeline.stages import Stage, files_digest, run_stages, tree_signature
from landmint.pipeline.summaries import SUMMARIES
from landmint.quantize.config import QatConfig, QuantizeConfig
from landmint.runtime.bundle import MANIFEST, Bundle
from landmint.runtime.errors import LandmintError
from landmint.runtime.files import digest, read_json, sha256_file, write_json
from landmint.runtime.machine import identify, installed
from landmint.train.config import NetworkRecipe, SelfTrainingConfig
from landmint.train.faces.readers import FacesConfig, Split, load_faces
from landmint.train.faces.synthetic import VERSION as SYNTHETIC_VERSION
from landmint.train.fit_config import INDIFFERENT
from landmint.train.starting import starting_weights

if TYPE_CHECKING:
    from landmint.train.faces.face import FaceSet

_DESCRIBED = ("measurements", "verdict", "report")

_LATER: Mapping[str, Mapping[str, Any]] = {
    "model": {
        "activation": "",
        "squeeze_excite": True,
        "decoder": "",
        "soft_argmax_tau": 10.0,
        "soft_argmax_radius": 2,
    },
    "augment": {"views": 0, "seed": None, "mirror_shift": 0.0},
}
"""Settings of a network that came after the first, and what they were before they could be set: at
that they do not count, so that what was trained without them stays up to date."""
REVISIONS: Mapping[str, int] = {
    "faces": 1,
    "teacher": 1,
    "student": 1,
    "self-training": 2,
    "qat": 3,
    "float-bundle": 4,
    "bundle": 6,
    "measurements": 2,
    "verdict": 2,
    "report": 2,
}
"""Raised when a stage's code comes to make something else of the same inputs."""

_CONVERTERS = (
    *("torch", "timm", "onnx", "onnxscript", "onnxsim", "onnx2tf", "tensorflow"),
    *("openvino", "tensorrt"),
)
_QUANTIZERS = (*_CONVERTERS, "onnxruntime", "nncf", "ai-edge-litert", "ai-edge-quantizer")


class Run:
    """One recipe on its way, in one folder."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        """Nothing is read or written yet.

        Args:
            recipe: what to make.
            folder: where to; teachers go to a folder beside it.
        """
        self.recipe = recipe
        self.folder = folder
        self.command = ""

    @property
    def faces_config(self) -> FacesConfig:
        """The data set with its folder: synthetic faces are drawn within the run's own."""
        config = self.recipe.faces
        synthetic = config.kind == "synthetic"
        root = self.folder / "faces" if synthetic else self.recipe.file.parent / config.root
        return config.model_copy(update={"root": root})

    @functools.cache  # noqa: B019 - a run lives as long as its process
    def faces(self, split: Split) -> "FaceSet":
        """The faces of a split, read once.

        Raises:
            LandmintError: the data set is missing or malformed.
        """
        return load_faces(self.faces_config, split, Path())

    @property
    def unlabelled_config(self) -> FacesConfig:
        """The unlabelled faces with their folder."""
        assert self.recipe.self_training is not None
        config = self.recipe.self_training.faces
        return config.model_copy(update={"root": self.recipe.file.parent / config.root})

    @property
    def trained(self) -> str:
        """The stage whose student is deployed."""
        return "self-training" if self.recipe.self_training else "student"

    def place(self, name: str) -> Path:
        """Where the outcome of a stage is found in the run's folder."""
        return self.folder / (REPORT_FILE if name == "report" else name)

    def bring_up_to_date(self, screen: Screen, again: str, until: str | None = None) -> None:
        """Run every stage that is not up to date.

        Args:
            screen: shows what happens.
            again: the command that goes on after an interruption.
            until: the last stage to run; all when absent.

        Raises:
            LandmintError: the recipe cannot work, or a stage failed.
            Interrupted: Ctrl-C.
        """
        self.command = again
        run_stages(self.stages(), screen, again, until, self.check)

    def draw_faces(self, screen: Screen) -> None:
        """Bring the faces alone up to date, for a verb that borrows them.

        Raises:
            LandmintError: they cannot be drawn or read.
            Interrupted: Ctrl-C.
        """
        run_stages(self.stages(), screen, "the same command", until="faces")

    def _about(self) -> dict[str, Any]:
        """What the report says of the run as a whole."""
        recipe = self.recipe
        text = recipe.file.read_text(encoding="utf-8")
        return {"schema": 1, "name": recipe.name, "about": recipe.about, "recipe": text}

    @property
    def networks(self) -> dict[str, NetworkRecipe]:
        """What is trained, by its stage; weights that only adapt to INT8 are not among them."""
        recipe = self.recipe
        taught_by = {"teacher": recipe.teacher} if recipe.teacher else {}
        return {**taught_by, "student": recipe.student, self.trained: recipe.student}

    @property
    def origin(self) -> dict[str, Any]:
        """What a manifest says of where the model comes from, as far as the recipe tells.

        No paths, no times and nothing of this machine: equal recipes say the same everywhere.
        """
        recipe = self.recipe
        said = recipe.model_dump(mode="json", include={"distill", "self_training"})
        origin = {
            "recipe": recipe.name,
            "about": recipe.about,
            "faces": {"kind": recipe.faces.kind},
            **{
                role: {"settings": training_settings(network)}
                for role, network in self.networks.items()
            },
            "distill": said["distill"] if recipe.teacher else None,
        }
        if recipe.self_training:
            del said["self_training"]["faces"]
            origin["self_training"] = said["self_training"]
        return origin

    def check(self) -> None:
        """Refuse before any work what would fail after hours of it.

        Raises:
            LandmintError: the faces are not there, too few or not apart, or networks do not fit
                each other.
        """
        from landmint.pipeline.networks import check_networks
        from landmint.pipeline.recipe_faces import check_recipe_faces
        from landmint.train.starting import starting_model

        root = self.faces_config.root
        if self.recipe.faces.kind != "synthetic" and not root.is_dir():
            raise LandmintError(
                f"the faces of {self.recipe.file} are not at {root}",
                reason="there is no such folder",
                remedy="correct faces.root in the recipe, or give the folder with --faces ROOT",
            )
        if self.recipe.self_training and not self.unlabelled_config.root.is_dir():
            raise LandmintError(
                f"the unlabelled faces of {self.recipe.file} are not at "
                f"{self.unlabelled_config.root}",
                reason="there is no such folder",
                remedy="correct self_training.faces.root in the recipe",
            )
        check_recipe_faces(self.recipe, self.faces_config)
        check_networks(self.recipe)
        for network in (self.recipe.teacher, self.recipe.student):
            if network and network.start:
                starting_model(network, network.start)

    def stages(self) -> tuple[Stage, ...]:
        """All stages in their order."""
        recipe = self.recipe
        said = recipe.model_dump(mode="json", exclude={"teacher", "student", "qat"})
        lesson = {"distill": said["distill"] if recipe.teacher else None}
        taught = ("teacher",) if recipe.teacher else ()
        converters, quantizers = installed(_CONVERTERS), installed(_QUANTIZERS)
        # As text: a later pattern counts for less than an earlier one, and digests sort keys.
        limits = json.dumps(said["gate"])
        adapted = ("qat",) if recipe.qat else ()
        adapts = {"qat": recipe.qat.model_dump(mode="json")} if recipe.qat else {}
        everything = ("faces", *self.networks, *adapted, "bundle", "measurements", "verdict")
        return (
            self._stage("faces", (), self._faces_settings(), self._faces_outcome, resumes=True),
            *(self._teacher_stage(network) for network in [recipe.teacher] if network),
            self._stage(
                "student",
                ("faces", *taught),
                training_settings(recipe.student) | lesson,
                _weights_outcome,
                resumes=True,
            ),
            *(
                self._self_training_stage(config, taught, lesson)
                for config in [recipe.self_training]
                if config
            ),
            *(self._qat_stage(qat, taught, lesson) for qat in [recipe.qat] if qat),
            self._stage(
                "float-bundle",
                ("faces", *self.networks),
                {"export": said["export"], "origin": self.origin, "tools": converters},
                _bundle_outcome,
            ),
            self._stage(
                "bundle",
                ("faces", "float-bundle", *adapted),
                {"quantize": quantize_settings(recipe.quantize), **adapts, "tools": quantizers},
                _bundle_outcome,
            ),
            self._stage(
                "measurements",
                ("faces", "bundle"),
                {"measure": said["measure"], "machine": _this_machine()},
            ),
            self._stage("verdict", ("measurements",), {"gate": limits, "title": recipe.name}),
            self._stage("report", everything, self._about()),
        )

    def _stage(
        self,
        name: str,
        needs: tuple[str, ...],
        settings: Mapping[str, Any],
        outcome: Callable[[Path], str] = files_digest,
        place: Callable[[str], Path] | None = None,
        resumes: bool = False,
    ) -> Stage:
        def work(where: Path, bar: Bar) -> None:
            from landmint.pipeline.work import WORK

            if name in _DESCRIBED:
                about = {**self._about(), "command": self.command}
                write_json(self.folder / RUN_FILE, about)
            WORK[name](self, where, bar)

        def own_place(key: str) -> Path:
            return self.place(name)

        return Stage(
            name=name,
            revision=REVISIONS[name],
            needs=needs,
            settings=settings,
            place=place or own_place,
            work=work,
            outcome=outcome,
            summary=SUMMARIES[name],
            resumes=resumes,
        )

    def _teacher_stage(self, network: NetworkRecipe) -> Stage:
        settings = training_settings(network)
        return self._stage(
            "teacher", ("faces",), settings, _weights_outcome, self._teacher_place, resumes=True
        )

    def _self_training_stage(
        self, config: SelfTrainingConfig, taught: tuple[str, ...], lesson: Mapping[str, Any]
    ) -> Stage:
        root = self.unlabelled_config.root
        settings = {
            "self_training": config.model_dump(mode="json"),
            "unlabelled": faces_signature(root) if root.is_dir() else "",
            **training_settings(self.recipe.student),
            **lesson,
        }
        needs = ("faces", *taught, "student")
        return self._stage("self-training", needs, settings, _weights_outcome, resumes=True)

    def _qat_stage(
        self, config: QatConfig, taught: tuple[str, ...], lesson: Mapping[str, Any]
    ) -> Stage:
        settings = {
            "qat": config.model_dump(mode="json"),
            "quantize": quantize_settings(self.recipe.quantize),
            "tools": installed(_QUANTIZERS),
            **training_settings(self.recipe.student),
            **lesson,
        }
        needs = ("faces", *taught, self.trained)
        return self._stage("qat", needs, settings, _weights_outcome, resumes=True)

    def _teacher_place(self, key: str) -> Path:
        """Where the teacher stands; a link in the run's folder leads there."""
        place = self.folder.parent / TEACHERS / key[:12]
        link = self.place("teacher")
        target = os.path.relpath(place, self.folder)
        if not link.is_symlink() or str(link.readlink()) != target:
            self.folder.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(target, target_is_directory=True)
        return place

    def _faces_settings(self) -> dict[str, Any]:
        config = self.faces_config
        settings = config.model_dump(mode="json", exclude={"root", "synthetic"})
        if config.kind == "synthetic":
            drawn = {"version": SYNTHETIC_VERSION, **config.synthetic.model_dump(mode="json")}
            return {**settings, "synthetic": drawn}
        return {**settings, "root": str(config.root.absolute())}

    def _faces_outcome(self, place: Path) -> str:
        """What the faces say and show.

        Raises:
            LandmintError: a file was changed, added or removed since they were read.
        """
        told = read_json(place / FACES_FILE)
        if told["signature"] != faces_signature(self.faces_config.root):
            raise LandmintError(f"the faces in {self.faces_config.root} have changed")
        return digest({split: about["fingerprint"] for split, about in told["splits"].items()})


def training_settings(network: NetworkRecipe) -> dict[str, Any]:
    """What decides the weights of a network.

    Raises:
        LandmintError: the weights that it begins from do not exist.
    """
    exclude: dict[str, Any] = {"fit": set(INDIFFERENT)}
    for part, later in _LATER.items():
        settings = getattr(network, part)
        exclude[part] = {name for name, was in later.items() if getattr(settings, name) == was}
    said = network.model_dump(mode="json", exclude={**exclude, "start": True})
    if network.start is not None:
        said["start"] = sha256_file(starting_weights(network.start))
    return said


def quantize_settings(config: QuantizeConfig) -> dict[str, Any]:
    """What decides the INT8 forms: of a file of ranges, what it holds.

    Raises:
        LandmintError: there is no such file.
    """
    said = config.model_dump(mode="json")
    if config.ranges is None:
        return said
    if not config.ranges.is_file():
        raise LandmintError(
            f"the ranges to quantise with are not at {config.ranges}",
            reason="there is no such file",
            remedy="correct quantize.ranges in the recipe, or drop it to have ranges observed",
        )
    return {**said, "ranges": sha256_file(config.ranges)}


def faces_signature(root: Path) -> str:
    """Changes when a file of the data set does; what landmint writes beside it does not count."""
    return tree_signature(root, ignore=(FACES_FILE,))


def _weights_outcome(place: Path) -> str:
    return sha256_file(place / WEIGHTS)


def _bundle_outcome(place: Path) -> str:
    Bundle.open(place, verify=True)
    return sha256_file(place / MANIFEST)


def _this_machine() -> dict[str, Any]:
    """What makes a measurement one of this machine: another one must measure again."""
    machine = identify().to_json()
    return {key: machine[key] for key in ("cpu", "architecture", "cores", "packages")}
