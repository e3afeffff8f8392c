"""Files in the form that protocols read, and how they are made of the samples of parts."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from harness.spec.base import Grown, SafePath, Slug, Spec

Size = Annotated[int, Field(ge=1, le=4096)]


class ImagesForm(Grown):
    """An `.npz` of images: `inputs` (n, h, w, c) or (n, c, h, w), and `labels` (n,) int64.

    shorter_side: the image is brought to it, keeping its shape, as torchvision's Resize does. size: height and width,
    not keeping it. crop: a square of this side from the centre. Resizing is bilinear: `antialiased` (Pillow), or by the
    `four-neighbours` of each place, as torchvision resized tensors before 0.17, which needs a `scale`.
    Grey images are repeated in three channels.

    Without `scale` pixels stay uint8. With it they become float32: divided by `scale`, minus `mean`, divided by `std`.
    """

    later: ClassVar[frozenset[str]] = frozenset({"interpolation"})

    kind: Literal["images"]
    shorter_side: Size | None = None
    size: tuple[Size, Size] | None = None
    crop: Size | None = None
    interpolation: Literal["antialiased", "four-neighbours"] = "antialiased"
    channels: Literal["first", "last"] = "last"
    scale: float | None = Field(default=None, gt=0)
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    background: int = Field(default=0, ge=0, description="how many of the first inputs are stored as `background` too")

    @model_validator(mode="after")
    def _plain(self) -> ImagesForm:
        if self.size is not None and self.shorter_side is not None:
            raise ValueError("give `size` or `shorter_side`, not both")
        if (self.mean is None) != (self.std is None):
            raise ValueError("`mean` and `std` belong together")
        if self.mean is not None and self.scale is None:
            raise ValueError("`mean` and `std` need a `scale`")
        if self.interpolation == "four-neighbours" and self.scale is None:
            raise ValueError("`four-neighbours` gives values between the whole numbers, which need a `scale`")
        return self


class VolumesForm(Spec):
    """An `.npz` of volumes of one size: `inputs` (n, 1, z, y, x) float32, divided by `scale`, and `labels` (n,)."""

    kind: Literal["volumes"]
    scale: float = Field(gt=0)
    background: int = Field(default=0, ge=0)


class CloudsForm(Spec):
    """An `.npz` of point clouds: `inputs` (n, 3, points) float32, and `labels` (n,) int64."""

    kind: Literal["clouds"]
    background: int = Field(default=0, ge=0)


class RawFolderForm(Spec):
    """A folder in nnU-Net's raw format: `imagesTr`, `labelsTr`, `dataset.json`. Needs the reader `volumes`."""

    kind: Literal["nnunet-raw"]


class WeightsForm(Spec):
    """A `.safetensors` of a network's weights under the names that the harness gives them, from a released checkpoint."""

    kind: Literal["weights"]


Form = Annotated[ImagesForm | VolumesForm | CloudsForm | RawFolderForm | WeightsForm, Field(discriminator="kind")]


class Product(Spec):
    """A file or folder that protocols name by `path`, made of the samples of parts, one part after the other.

    Weights are made of no samples, so they have no parts.
    """

    path: SafePath
    parts: tuple[Slug, ...] = ()
    form: Form

    @model_validator(mode="after")
    def _made_of_something(self) -> Product:
        if (self.form.kind == "weights") == bool(self.parts):
            raise ValueError(f"product {self.path}: weights have no parts, everything else is made of one or more")
        return self
