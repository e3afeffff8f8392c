"""How the files of a data set become samples: a few generic readers, each described by plain data.

A reader lists all samples with their labels and columns, such as the split, the site or the patient, in an order that
is the same on every machine. `harness.spec.parts` selects from them. Paths are relative to the data set's folder.

Patterns are regular expressions over relative paths with `/`; named groups become columns. Templates name columns in
braces, `{patient}`, padded with zeros, `{patient:03}`, cut, `{patient:.2}`, or one piece between slashes, `{Path:/2}`.
"""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from harness.spec.base import Grown, SafePath, Slug, Spec

Column = Annotated[str, Field(min_length=1)]

MAX_CHANNELS = 16


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from error
    return text


Pattern = Annotated[str, Field(min_length=1), AfterValidator(_pattern)]

Template = Annotated[str, StringConstraints(pattern=r"^[^{}]*(\{[^{}:]+(:0\d|:\.\d+|:/\d)?\}[^{}]*)*$", min_length=1)]


class MedMNISTReader(Spec):
    """A MedMNIST `.npz`: arrays `<split>_images` and `<split>_labels`, one whole number a label. Column: split."""

    kind: Literal["medmnist"]
    file: SafePath


class CifarBinaryReader(Spec):
    """CIFAR's binary release: records of one byte a label, then 3 x 32 x 32 bytes, channels first.

    label_bytes: names of the label bytes in their order; these are columns of numbers. names: for each of them, the
    text file of class names, which gives a column `<name>-name`. label: which of them is the label. Column: split.
    """

    kind: Literal["cifar-binary"]
    files: dict[Slug, Annotated[tuple[SafePath, ...], Field(min_length=1)]]
    label_bytes: Annotated[tuple[Slug, ...], Field(min_length=1, max_length=4)] = ("class",)
    label: Slug = "class"
    names: dict[Slug, SafePath] = Field(default_factory=dict)
    classes: int = Field(ge=1)

    @model_validator(mode="after")
    def _columns_exist(self) -> CifarBinaryReader:
        for name in (self.label, *self.names):
            if name not in self.label_bytes:
                raise ValueError(f"{name!r} is not among the label bytes {', '.join(self.label_bytes)}")
        return self


class ArraysReader(Spec):
    """`.npy` files of images (levels x n, h, w, c), level after level: CIFAR-10-C and its like.

    files: name -> file, in the order of samples. labels: a `.npy` file of n or levels x n numbers, the same for every
    file. Columns: file, level (from 1), position (within file and level).
    """

    kind: Literal["arrays"]
    files: Annotated[dict[str, SafePath], Field(min_length=1)]
    labels: SafePath
    levels: int = Field(default=1, ge=1)
    classes: int = Field(ge=1)


class HubImagesReader(Spec):
    """Parquet files of a Hub image data set: a column of encoded images ({bytes, path} or plain bytes) and a label.

    files: split -> files, or patterns with `*`, which are taken in sorted order. Column: split.
    """

    kind: Literal["hub-images"]
    files: Annotated[dict[Slug, tuple[SafePath, ...]], Field(min_length=1)]
    image: Column = "image"
    label: Column = "label"
    classes: int = Field(ge=1)


class ImageTreeReader(Grown):
    """A tree of image files, found by a pattern whose group `label` names the class.

    Samples are sorted by path, folder by folder. classes: names in the order of labels; without, all found, sorted.
    table: a CSV file with the columns `class` and `label`, for labels that unite classes, in the data set's folder or
    beside its manifest; its other columns become columns of the samples, and classes that it does not list are left out.
    annotations: a text without header, a line an image, name and class divided by a tab (more may follow), for files
    whose path does not say the class (the group `label` is then empty).
    """

    later: ClassVar[frozenset[str]] = frozenset({"annotations"})

    kind: Literal["image-tree"]
    pattern: Pattern
    root: SafePath | None = Field(default=None, description="only this folder is searched; paths stay relative to it")
    classes: tuple[str, ...] = ()
    table: SafePath | None = None
    annotations: SafePath | None = None

    @model_validator(mode="after")
    def _classes_are_said_once(self) -> ImageTreeReader:
        if self.classes and self.table:
            raise ValueError("give `classes` or a `table`, not both")
        if "label" not in re.compile(self.pattern).groupindex:
            raise ValueError("the pattern needs a group (?P<label>...)")
        return self


class ImageTable(Grown):
    """A CSV file with one row an image, as WILDS, ISIC and chest X-ray collections have it.

    path: template of the image's path; with `*`, the one file that fits, for releases in several folders. channels: where an image is one grey file a channel, what `{channel}` stands
    for. label: the column that says the class, by `values`, or as a whole number without; or one_hot: one column a
    class, of which exactly one is in `positive`. separator: divides several classes of one cell, of which exactly one is
    in `values`. without: the label of rows where no column of `one_hot` is positive. unlisted: what becomes of rows of
    another or of no single class. where: only rows whose column has one of these values. join: another CSV, whose columns
    are added `on` a key. sort: by which columns, as texts, the rows are sorted; without, they stay in their order.
    columns: more columns, such as the site: constants, or templates of the table's columns.
    """

    later: ClassVar[frozenset[str]] = frozenset({"separator", "without", "sort"})

    file: SafePath
    path: Template
    channels: Annotated[tuple[str, ...], Field(max_length=MAX_CHANNELS)] = ()
    label: Column | None = None
    values: dict[str, int] = Field(default_factory=dict)
    one_hot: tuple[Column, ...] = ()
    positive: tuple[str, ...] = ("1", "1.0")
    separator: str | None = Field(default=None, min_length=1)
    without: int | None = Field(default=None, ge=0)
    unlisted: Literal["refuse", "drop"] = "refuse"
    where: dict[Column, tuple[str, ...]] = Field(default_factory=dict)
    join: SafePath | None = None
    on: tuple[Column, ...] = ()
    sort: tuple[Column, ...] = ()
    columns: dict[Column, Template] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _labels_are_said_once(self) -> ImageTable:
        if (self.label is None) == (not self.one_hot):
            raise ValueError(f"{self.file}: give `label` or `one_hot`")
        if (self.join is None) != (not self.on):
            raise ValueError(f"{self.file}: `join` and `on` belong together")
        if self.separator is not None and not self.values:
            raise ValueError(f"{self.file}: a `separator` needs `values`")
        if self.without is not None and not self.one_hot:
            raise ValueError(f"{self.file}: `without` belongs to `one_hot`")
        return self


class ImageTablesReader(Spec):
    """Images that one or more CSV files list; samples in the order of tables and rows. Columns: all that are in all."""

    kind: Literal["image-tables"]
    tables: Annotated[tuple[ImageTable, ...], Field(min_length=1)]
    classes: int = Field(ge=1)


class VolumeChannel(Grown):
    """One channel of a case: a file, one frame of a file of four axes, or the difference of two files (float32).

    cast: both files of a difference are brought to this type first, fractions cut, and the difference has it too.
    """

    later: ClassVar[frozenset[str]] = frozenset({"cast"})

    path: Template
    minus: Template | None = None
    frame: int | None = Field(default=None, ge=0)
    cast: Literal["int16"] | None = None


class VolumesReader(Spec):
    """Labelled volumes in any tree: nnU-Net's raw format, the Medical Segmentation Decathlon, a folder a patient.

    pattern: finds the files of labels. case: template of the name of a case. channels: templates of its images; upper
    and lower case do not matter. labels: names of the foreground classes 1, 2, ... and the values in the files that
    mean them; other values than these and 0 are refused. Labels of samples are all 0: the volume itself is labelled.
    """

    kind: Literal["volumes"]
    pattern: Pattern
    case: Template = "{case}"
    channels: Annotated[dict[str, VolumeChannel], Field(min_length=1, max_length=MAX_CHANNELS)]
    labels: Annotated[dict[str, tuple[int, ...]], Field(min_length=1)]

    @model_validator(mode="after")
    def _values_are_unique(self) -> VolumesReader:
        values = [value for listed in self.labels.values() for value in listed]
        if len(set(values)) < len(values) or min(values, default=1) < 1:
            raise ValueError("a value of the label files means one foreground class only, and 0 is the background")
        return self


class ShapesReader(Spec):
    """Meshes (OFF, PLY) and clouds (text: x y z ... a line), found by a pattern whose group `label` names the class.

    points: how many each sample has. sampling: `area`, uniform on the surface; `vertices`, drawn among the vertices
    without replacement (with, where there are fewer); `vertices-with-replacement`; `first`, the first so many. seed: with the sample's id it fixes
    the draw. normalise: centred, and the largest coordinate scaled to 1, before points are drawn.
    """

    kind: Literal["shapes"]
    pattern: Pattern
    classes: tuple[str, ...] = ()
    points: int = Field(ge=1)
    sampling: Literal["area", "vertices", "vertices-with-replacement", "first"] = "area"
    normalise: bool = False
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _classes_are_found(self) -> ShapesReader:
        if "label" not in re.compile(self.pattern).groupindex:
            raise ValueError("the pattern needs a group (?P<label>...)")
        return self


class MatImagesReader(Spec):
    """MATLAB files (level 5) with images (h, w, c, n) uint8 and labels (n, 1), as SVHN's cropped digits. Column: split.

    modulo: labels are taken modulo this number, for files in which the last class stands for 0.
    """

    kind: Literal["mat-images"]
    files: Annotated[dict[Slug, SafePath], Field(min_length=1)]
    images: str = Field(default="X", pattern=r"^\w+$")
    labels: str = Field(default="y", pattern=r"^\w+$")
    modulo: int | None = Field(default=None, ge=2)
    classes: int = Field(ge=1)


class Hdf5Reader(Spec):
    """Arrays in HDF5 files: inputs (n, ...) and labels (n,) or (n, 1). Column: split.

    first: of each sample only the first so many along its first axis, such as points of a cloud.
    """

    kind: Literal["hdf5"]
    files: Annotated[dict[Slug, tuple[SafePath, ...]], Field(min_length=1)]
    inputs: str = Field(default="data", pattern=r"^[^/]+$")
    labels: str = Field(default="label", pattern=r"^[^/]+$")
    first: int | None = Field(default=None, ge=1)
    classes: int = Field(ge=1)


Reader = Annotated[
    MedMNISTReader
    | CifarBinaryReader
    | ArraysReader
    | HubImagesReader
    | ImageTreeReader
    | ImageTablesReader
    | VolumesReader
    | ShapesReader
    | MatImagesReader
    | Hdf5Reader,
    Field(discriminator="kind"),
]
