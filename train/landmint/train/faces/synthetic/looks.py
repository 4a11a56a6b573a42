"""The looks of a synthetic person apart from shape: colours, hair, beard, glasses, age.

Numbers only: the portrait and the scene paint them. Colours are albedo, RGB on the 0..255 scale.
"""

from dataclasses import dataclass

import numpy as np

from landmint.train.faces.synthetic.paint import Colour, mix

_SKINS: tuple[Colour, ...] = (
    (244, 208, 186), (232, 188, 160), (220, 172, 138), (198, 146, 108),
    (168, 116, 80), (132, 86, 58), (98, 64, 46), (80, 54, 42),
)  # fmt: skip
_HAIRS: tuple[Colour, ...] = (
    (24, 20, 19), (48, 34, 25), (84, 56, 36), (124, 90, 58), (198, 162, 108), (150, 76, 40),
)  # fmt: skip
_OLD_HAIRS: tuple[Colour, ...] = ((146, 143, 140), (208, 205, 202))
_IRISES: tuple[Colour, ...] = ((62, 40, 24), (92, 62, 34), (98, 104, 58), (84, 116, 146))
_CLOTHS: tuple[Colour, ...] = (
    (34, 38, 52), (150, 40, 44), (52, 92, 140), (210, 206, 196), (70, 110, 78), (212, 168, 60),
    (120, 70, 120), (28, 28, 30), (180, 120, 130), (90, 130, 150),
)  # fmt: skip
_STYLES = ("bald", "short", "curly", "long", "tied", "cap", "scarf")
_STYLE_ODDS = (0.04, 0.28, 0.1, 0.34, 0.1, 0.08, 0.06)
_BEARDED_ODDS = (0.08, 0.52, 0.18, 0.03, 0.07, 0.12, 0.0)


@dataclass(frozen=True)
class Looks:
    """What a person looks like apart from shape; fixed for all pictures of the person."""

    skin: Colour
    """Of the skin."""
    hair: Colour
    """Of hair, brows and beard."""
    iris: Colour
    """Of the irises."""
    lips: Colour
    """Of the lips."""
    cloth: Colour
    """Of clothes and headgear."""
    style: str
    """Hair: bald, short, curly, long, tied, cap or scarf."""
    volume: float
    """How far the hair stands off the head, in units of the shape."""
    hairline_y: float
    """Height of the hairline over the eye line in the middle of the forehead."""
    parting: float
    """Where the hair is parted, -1 left to 1 right."""
    fringe: float
    """How far hair falls into the forehead beside the parting."""
    beard: float
    """0 none, up to 1 a full dark beard."""
    moustache: float
    """0 none, up to 1."""
    glasses: str
    """none, thin, thick or dark."""
    age: float
    """0 smooth to 1 wrinkled."""
    texture_seed: int
    """Of moles, wrinkles and strands."""


def sample_looks(rng: np.random.Generator) -> Looks:
    """A person's looks; dark skin comes with dark hair and eyes, age with grey hair."""
    tone, age = float(rng.beta(1, 1.3) * (len(_SKINS) - 1.001)), float(rng.beta(1.2, 1.6))
    skin = mix(_SKINS[int(tone)], _SKINS[int(tone) + 1], tone % 1)
    dark, bearded = tone > 3.2, rng.random() < 0.22
    hairs = _OLD_HAIRS if age > 0.78 else _HAIRS[:2] if dark else _HAIRS
    made_up = (196.0, 52.0, 70.0) if not bearded and rng.random() < 0.2 else (178.0, 84.0, 84.0)
    return Looks(
        skin=skin,
        hair=hairs[int(rng.integers(len(hairs)))],
        iris=_IRISES[int(rng.integers(2 if dark else 4))],
        lips=mix(skin, made_up, float(rng.uniform(0.3, 0.65))),
        cloth=_CLOTHS[int(rng.integers(len(_CLOTHS)))],
        style=str(rng.choice(_STYLES, p=_BEARDED_ODDS if bearded else _STYLE_ODDS)),
        volume=float(rng.uniform(0.05, 0.2)),
        hairline_y=float(rng.uniform(0.82, 1.08) + 0.1 * (age > 0.6)),
        parting=float(rng.uniform(-0.7, 0.7)),
        fringe=float(rng.choice([0.0, rng.uniform(0.05, 0.25), rng.uniform(0.25, 0.5)])),
        beard=float(rng.uniform(0.25, 1)) if bearded else 0.0,
        moustache=float(rng.uniform(0.3, 1)) if bearded or rng.random() < 0.04 else 0.0,
        glasses=str(rng.choice(["none", "thin", "thick", "dark"], p=[0.72, 0.14, 0.08, 0.06])),
        age=age,
        texture_seed=int(rng.integers(2**31)),
    )
