"""Random changes of training images that keep their class: steps, carried out in the order in which they are listed."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field, model_validator

from harness.spec.base import Spec

Share = Annotated[float, Field(ge=0, le=1)]
Degrees = Annotated[float, Field(ge=0, le=180)]
Number = TypeVar("Number", bound=float)


def _ascending(pair: tuple[Number, Number]) -> tuple[Number, Number]:
    if pair[0] > pair[1]:
        raise ValueError(f"the smaller number comes first, but it is {pair[0]} and {pair[1]}")
    return pair


Range = Annotated[
    tuple[Annotated[float, Field(gt=0, le=1e6)], Annotated[float, Field(gt=0, le=1e6)]], AfterValidator(_ascending)
]
Shares = Annotated[
    tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(gt=0, le=1)]], AfterValidator(_ascending)
]


class Flip(Spec):
    """Mirrored, half of the images: left and right change sides, or with "vertical" top and bottom."""

    kind: Literal["flip"]
    direction: Literal["horizontal", "vertical"] = "horizontal"


class Shift(Spec):
    """Moved by whole pixels, at most by a `share` of the side; what comes in from outside is the mirror image, or black."""

    kind: Literal["shift"]
    share: Annotated[float, Field(gt=0, lt=1)] = 1 / 8
    outside: Literal["mirrored", "black"] = "mirrored"


class ResizedCrop(Spec):
    """A part with a share of the area and a ratio of width to height out of these ranges, at the size of the whole."""

    kind: Literal["resized-crop"]
    area: Shares = (0.08, 1.0)
    ratio: Range = (3 / 4, 4 / 3)


class Rotation(Spec):
    """Turned about the centre by at most so many degrees either way; what comes in from outside is black."""

    kind: Literal["rotation"]
    degrees: Degrees


class Affine(Spec):
    """Turned and scaled about the centre, and moved by at most a share `translate` of each side; outside is black."""

    kind: Literal["affine"]
    degrees: Degrees = 0.0
    translate: Share = 0.0
    scale: Range = (1.0, 1.0)


class Jitter(Spec):
    """Brightness, contrast, saturation (factors 1 - x to 1 + x) and hue (moved by up to x turns), in a random order."""

    kind: Literal["jitter"]
    brightness: float = Field(default=0.0, ge=0, le=100)
    contrast: float = Field(default=0.0, ge=0, le=100)
    saturation: float = Field(default=0.0, ge=0, le=100)
    hue: float = Field(default=0.0, ge=0, le=0.5)
    probability: Share = 1.0


class Grey(Spec):
    """Without colour."""

    kind: Literal["grey"]
    probability: Share


class Blur(Spec):
    """Gaussian blur with a deviation of `sigma` pixels, cut off at a `width` that is a share of the height."""

    kind: Literal["blur"]
    sigma: Range = (0.1, 2.0)
    width: Annotated[float, Field(gt=0, le=1)] = 0.1
    probability: Share = 1.0


class RandAugment(Spec):
    """RandAugment (Cubuk et al. 2020): `n` operations of a list, each carried out with a probability.

    `operations`: "fixmatch", the 14 of FixMatch (Sohn et al. 2020), at a level drawn from 1 to m - 1 of 10; or
    "extended", 16 with inversion, added light and small cut-outs, over wider ranges, at level m of 10.
    """

    kind: Literal["randaugment"]
    n: int = Field(ge=1, le=100)
    m: int = Field(ge=1, le=10)
    probability: Share = 1.0
    operations: Literal["fixmatch", "extended"] = "fixmatch"

    @model_validator(mode="after")
    def _has_levels(self) -> RandAugment:
        if self.operations == "fixmatch" and self.m == 1:
            raise ValueError("the operations of FixMatch have a level from 1 to m - 1, so m is 2 or more")
        return self


class Cutout(Spec):
    """A grey square, whose side is a share of the width and one pixel, anywhere (DeVries & Taylor 2017)."""

    kind: Literal["cutout"]
    side: Share = 0.5


Step = Annotated[
    Flip | Shift | ResizedCrop | Rotation | Affine | Jitter | Grey | Blur | RandAugment | Cutout,
    Field(discriminator="kind"),
]
Steps = tuple[Step, ...]
