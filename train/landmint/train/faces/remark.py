"""What a check of a data set says: remarks, and the kinds that they are of."""

from collections.abc import Sequence
from dataclasses import dataclass

from landmint.runtime.errors import LandmintError
from landmint.train.faces.face import Face
from landmint.train.faces.readers import Split


@dataclass(frozen=True)
class Kind:
    """One kind of thing that can be wrong or strange."""

    title: str
    """In a few words."""
    is_fault: bool
    """No training should start from it."""
    remedy: str = ""
    """What a person can do about it."""


@dataclass(frozen=True)
class Remark:
    """One thing that is wrong or strange."""

    kind: Kind
    """What kind of thing."""
    where: str
    """File and line, or split and face."""
    detail: str
    """What is seen there."""

    @property
    def title(self) -> str:
        """That of its kind."""
        return self.kind.title

    @property
    def fault(self) -> bool:
        """No training should start from it."""
        return self.kind.is_fault


@dataclass(frozen=True, eq=False)
class SplitFaces:
    """What could be read of one split."""

    split: Split
    """Which."""
    faces: tuple[Face, ...]
    """The faces that can be learnt from, in the order of their names."""
    broken: tuple[LandmintError, ...]
    """What the other rows said."""
    left_out: tuple[LandmintError, ...] = ()
    """What those said that training leaves out, as the data set's settings ask for."""

    def place(self, face: Face) -> str:
        """Where one of the faces stands, for a remark."""
        return f"{self.split}: {face.name}"


def placed_faces(read: Sequence[SplitFaces]) -> list[tuple[str, Face]]:
    """All faces of some splits, each with where it stands."""
    return [(part.place(face), face) for part in read for face in part.faces]
