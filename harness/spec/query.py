"""Benchmarks of the query track: data sets, trainings, and the settings in which annotation is bought."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from harness.spec.artefact import Artefact
from harness.spec.augmentation import Steps
from harness.spec.base import Grown, Slug, Spec
from harness.spec.benchmark import Benchmark, require, unique

_MOST = 10**9  # of anything that is counted
Extent = Annotated[int, Field(ge=1, le=_MOST)]
Classes = Annotated[int, Field(ge=2, le=10**6)]
Size = Annotated[float, Field(ge=1e-30, le=1e30)]  # that single precision can hold, and divide by
Share = Annotated[float, Field(ge=0, le=1)]
Performance = Literal["dice", "accuracy", "balanced-accuracy"]
NamedAugmentation = Literal["none", "basic", "randaugment"]
Augmentation = Annotated[
    Annotated[NamedAugmentation, Tag("name")] | Annotated[Steps, Tag("steps")],
    Discriminator(lambda value: "name" if isinstance(value, str) else "steps"),
]


class DigitImages(Spec):
    """MNIST digits of `mnist_5k`. `splits` (JSON) lists the indices of `pool`, `validation` and `test`."""

    kind: Literal["digits"]
    id: Slug
    splits: Artefact
    classes: Extent = 10

    @property
    def files(self) -> tuple[Artefact, ...]:
        return (self.splits,)


class ArrayImages(Grown):
    """Images in `.npz` files with arrays `inputs` (n, c, h, w) or (n, h, w[, c]), and `labels` (n,) or (n, 1).

    A `{part}` in the names of arrays stands for train, val or test, as in MedMNIST's one file for all. `channels` says
    where the channels are; values are divided by `scale`, then normalised by `mean` and `std`, one number a
    channel. The images that validate are all of the file `val`; without it, pool and validation are both parts of the file
    `train`: those that `splits` (JSON) lists, or else `validation` samples drawn by each seed and the rest. With
    `imbalance` r, class c of C keeps `largest` * r ** (-c / (C - 1)) samples of the pool. Rows of the pool are
    numbered in the order of its file, or in one drawn by `pool_seed`; strategies see it in another order.
    """

    later: ClassVar[frozenset[str]] = frozenset({"val", "pool_seed"})

    kind: Literal["arrays"]
    id: Slug
    train: Artefact
    val: Artefact | None = None
    test: Artefact
    inputs: str = "inputs"
    labels: str = "labels"
    channels: Literal["none", "first", "last"] = "none"
    classes: Classes
    scale: Size = 1.0
    mean: tuple[Annotated[float, Field(ge=-1e30, le=1e30)], ...] = (0.0,)
    std: tuple[Size, ...] = (1.0,)
    splits: Artefact | None = None
    validation: int = Field(default=0, ge=0)
    imbalance: float | None = Field(default=None, ge=1)
    largest: int | None = Field(default=None, ge=1)
    pool_seed: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _one_validation_part(self) -> ArrayImages:
        if self.val is not None and (self.splits is not None or self.validation):
            raise ValueError(
                f"data set {self.id}: the validation images are those of `val`; leave out splits and validation"
            )
        return self

    @property
    def files(self) -> tuple[Artefact, ...]:
        return (self.train, self.test, *(file for file in (self.val, self.splits) if file is not None))


class TemplateVolumes(Spec):
    """Sub-volumes of the MNI152 T1 template of `nilearn`, with labels from its grey- and white-matter maps.

    `cases` (JSON) pins, for every case, its corner in the template, and the seed of its bias field and noise.
    """

    kind: Literal["mni152"]
    id: Slug
    cases: Artefact

    @property
    def files(self) -> tuple[Artefact, ...]:
        return (self.cases,)


class RawFolder(Spec):
    """A folder in nnU-Net's raw format: `imagesTr`, `labelsTr`, `dataset.json`.

    The held-out cases are those in `imagesVal`/`labelsVal` where the folder has them, those that `cases` (JSON with
    `pool` and `validation`) lists, or else a `validation_share` drawn by `split_seed` from the sorted names. With
    `group_separator`, cases that agree up to it (frames of a patient) stay together.

    Images are volumes, or flat: NIfTI of two axes, and PNG, BMP or TIFF, whose colours are channels. Voxels with the label
    `ignore`, one value or several, are never learned from nor scored, and no patch may hold nothing else. Labels that
    overlap are regions: trained by nnU-Net's `regions_class_order`, and Dice is that of each region; a class is then what
    the regions tell apart, and lists that do not overlap are classes of several values. `dataset.json` may be that of
    nnU-Net 1 and the Decathlon; where it lists `training`, these cases are all that count.
    """

    kind: Literal["nnunet-raw"]
    id: Slug
    folder: str
    cases: Artefact | None = None
    validation_share: float = Field(default=0.25, gt=0, lt=1)
    split_seed: int = Field(default=12345, ge=0)
    group_separator: str | None = None

    @property
    def files(self) -> tuple[Artefact, ...]:
        return (self.cases,) if self.cases else ()


DataSet = Annotated[DigitImages | ArrayImages | TemplateVolumes | RawFolder, Field(discriminator="kind")]


class QuerySource(Spec):
    """All data of a benchmark."""

    datasets: Annotated[tuple[DataSet, ...], Field(min_length=1)]

    @property
    def folders(self) -> tuple[str, ...]:
        """Folders with labels that are no artefacts of their own."""
        return tuple(each.folder for each in self.datasets if each.kind == "nnunet-raw")

    @property
    def locked(self) -> bool:
        """Whether every file is pinned by its hash. The files of a user's own folder are not."""
        return all(each.kind != "nnunet-raw" and all(file.sha256 for file in each.files) for each in self.datasets)


class Optimiser(Spec):
    """Stochastic gradient descent with Nesterov momentum, or LARS for contrastive pre-training."""

    kind: Literal["sgd", "lars"] = "sgd"
    learning_rate: float = Field(gt=0, le=1e30)
    weight_decay: float = Field(default=0.0, ge=0, le=1e30)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    schedule: Literal["constant", "cosine", "step"] = "cosine"
    warmup_epochs: int = Field(default=0, ge=0, le=_MOST)


class Pretraining(Grown):
    """SimCLR on all images of the pool, once per seed (Chen et al. 2020). `view`: what makes a view of an image; without
    it crops of a fifth of the area or more, flips where they fit, colour jitter of 0.4, and grey."""

    later: ClassVar[frozenset[str]] = frozenset({"view"})

    epochs: Extent
    batch_size: Annotated[int, Field(ge=2)]
    optimiser: Optimiser
    temperature: float = Field(default=0.5, gt=0)
    hidden: Extent = 512
    features: Extent = 128
    view: Steps | None = None


class FixMatch(Spec):
    """Consistency on unlabelled images (Sohn et al. 2020): `ratio` unlabelled images per labelled one."""

    threshold: Share = 0.95
    ratio: Extent = 7
    weight: float = Field(default=1.0, ge=0)
    temperature: float = Field(default=1.0, gt=0)
    distribution_alignment: bool = False


class ClassifierTraining(Spec):
    """How a classifier is trained in every loop, from scratch or from a pre-trained encoder.

    An epoch has at least `samples_per_epoch` images, drawn again and again where fewer are labelled. With a
    validation part, the epoch of best performance there is kept. `augmentation` lists steps, or names some. The committee are `members` networks with fixed
    dropout masks before the head; "on-demand", it has dropout only for strategies that ask for members, and for others
    is the one network trained without.
    """

    kind: Literal["classifier"]
    id: Slug
    network: Literal["small-cnn", "resnet-18", "wide-resnet-28-2", "wide-resnet-28-8"]
    epochs: Extent
    batch_size: Extent
    samples_per_epoch: int = Field(default=0, ge=0, le=_MOST)
    optimiser: Optimiser
    augmentation: Augmentation = "none"
    balanced_sampling: bool = False
    dropout: float = Field(default=0.5, ge=0, lt=1)
    members: Extent = 10
    committee: Literal["always", "on-demand"] = "always"
    head_layers: Literal[1, 2] = 1
    pretraining: Pretraining | None = None
    fixmatch: FixMatch | None = None

    @property
    def trainings(self) -> int:
        """Networks that are trained in a loop."""
        return 1


class NnUNetTraining(Spec):
    """nnU-Net 3d_fullres, of flat images 2d, by cross-validation over the annotated images: `folds` networks, which are
    the committee.

    What is None is as nnU-Net plans it. `window_step` is that of the sliding window.
    """

    kind: Literal["nnunet"]
    id: Slug
    folds: Annotated[int, Field(ge=2)] = 5
    epochs: Extent
    iterations: Extent = 250
    validation_iterations: Extent = 50
    features_per_stage: tuple[Extent, ...] | None = None
    patch_size: tuple[Extent, ...] | None = None
    batch_size: Extent | None = None
    learning_rate: float = Field(default=1e-2, gt=0, le=1e30)
    momentum: float = Field(default=0.99, ge=0, lt=1, description="of short trainings lower: 0.99 needs 100 steps")
    weight_decay: float = Field(default=3e-5, ge=0, le=1e30)
    mirroring: bool = True
    mirrored_predictions: bool = True
    window_step: float = Field(default=0.75, gt=0, le=1)
    validation_window_step: float = Field(default=0.5, gt=0, le=1)

    @property
    def trainings(self) -> int:
        """Networks that are trained in a loop."""
        return self.folds


Training = Annotated[ClassifierTraining | NnUNetTraining, Field(discriminator="kind")]


class PatchRule(Spec):
    """Where patches may lie, in voxels: corners at multiples of the stride, at most so many of one image a loop.

    In an image that is smaller than a patch, the patch is as large as the image (nnActive's rule).
    """

    size: Annotated[tuple[Extent, ...], Field(min_length=2, max_length=3)]
    stride: Annotated[tuple[Extent, ...], Field(min_length=2, max_length=3)]
    max_per_image: Extent

    @model_validator(mode="after")
    def _same_axes(self) -> PatchRule:
        if len(self.size) != len(self.stride):
            raise ValueError(f"size {self.size} and stride {self.stride} have different numbers of axes")
        return self


class QueryStudy(Spec):
    """One setting: a data set, a training, and the budgets of its loops.

    `start` and `query` are patches or images; there are `loops` trainings, the first on the start. `starts` (JSON)
    pins the start of every seed, the same for all strategies; without it they are drawn by the seed. `start_rule`:
    "all-classes" (nnActive, two patches per class, then a third on the foreground), "balanced" (as many images of each
    class), "some-per-class" (five, or as many as the start allows, of each class; the rest at random). `validation` is
    how many labelled images select the epoch.
    """

    id: Slug
    group: Slug = Field(description="studies of one group are averaged where tables show one column")
    dataset: Slug
    training: Slug
    start: Extent
    query: Extent
    loops: Annotated[int, Field(ge=2)]
    patches: PatchRule | None = None
    start_rule: Literal["all-classes", "balanced", "some-per-class"] = "balanced"
    starts: Artefact | None = None
    validation: int | None = Field(default=None, ge=0)
    full_performance: Share | None = Field(default=None, description="of a training on all labels, for efficiency")


class QueryBenchmark(Benchmark):
    """What is annotation worth that a strategy asks for? Campaigns of several loops, every one from the same start."""

    task: Literal["query"]
    source: QuerySource
    trainings: Annotated[tuple[Training, ...], Field(min_length=1)]
    studies: Annotated[tuple[QueryStudy, ...], Field(min_length=1)]
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
    performance: Performance
    next_step: str | None = Field(default=None, description="a benchmark to go on with, named when a run ends")

    @model_validator(mode="after")
    def _names_agree(self) -> QueryBenchmark:
        datasets = {each.id: each for each in self.source.datasets}
        trainings = {each.id: each for each in self.trainings}
        for study in self.studies:
            require(study.dataset in datasets, f"study {study.id} uses the data set {study.dataset!r}", set(datasets))
            require(study.training in trainings, f"study {study.id} uses {study.training!r}", set(trainings))
            volumes = datasets[study.dataset].kind in ("mni152", "nnunet-raw")
            for part, segments in (
                ("its training", trainings[study.training].kind == "nnunet"),
                ("`patches`", study.patches is not None),
                ("performance", self.performance == "dice"),
            ):
                if segments != volumes:
                    task = "segmentation" if volumes else "classification"
                    raise ValueError(f"study {study.id}: {study.dataset} is for {task}, {part} is not")
            if volumes and study.start_rule != "all-classes":
                raise ValueError(f'study {study.id}: the start of patches is start_rule = "all-classes"')
            if not volumes and study.start_rule == "all-classes":
                raise ValueError(f'study {study.id}: start_rule "all-classes" is for patches')
        unique([each.id for each in self.studies], "study")
        unique([each.id for each in self.trainings], "training")
        unique([each.id for each in self.source.datasets], "data set")
        unique([str(each) for each in self.seeds], "seed")
        return self
