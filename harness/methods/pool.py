"""What a query strategy sees of a campaign: the unlabelled data, and what the trained networks make of them.

Both kinds of pool can rank by a score of positions, so that a strategy of the form "score, then take the best" is
written once for voxels of images and for images of a pool:

    class PowerBALD:
        def query(self, pool, budget, rng):
            noisy = lambda scores: np.log(scores) + rng.gumbel(size=scores.shape)
            return pool.best(mutual_information, budget, rng, adjust=noisy)

Order says nothing: images of a pool come in a random order, another one in each loop, labelled ones too; volumes have
neutral names, `image-0007`, that are the same through a campaign, and come in the order of these. The order is a function
of the images, the campaign's seed and the loop (`harness.tracks.query.order`), so that a strategy that draws by position
asks for the same when it is asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from harness.spec.method import QueryTask

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    Score = Callable[[Tensor], Any]
    """Probabilities (members, classes, *positions) -> scores (*positions), higher = query first."""
    Adjust = Callable[[np.ndarray], np.ndarray]
    """Scores of candidates, of any shape -> scores of the same shape; -inf = after all others."""
    Picks = Sequence[Any] | np.ndarray
    """Indices of images, or patches: (image, corner) or (image, corner, size)."""


def highest(scores: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Places (count,) of the highest of scores (n,), highest first; equal ones in an order that `rng` draws."""
    import numpy as np

    shuffled = rng.permutation(len(scores))
    return shuffled[np.argsort(-np.asarray(scores)[shuffled], kind="stable")][:count]


class Candidates(Protocol):
    """What may be asked for, with its score: patches that do not overlap, or images. In no particular order."""

    scores: np.ndarray
    """(candidates,) float64, as adjusted."""

    def features(self) -> np.ndarray:
        """(candidates, d) float64: the encoder's, of a patch the mean over its positions. Needs `"features"`."""
        ...

    def take(self, places: Sequence[int] | np.ndarray) -> Picks:
        """The candidates at these places, in this order."""
        ...


class Pool(Protocol):
    """What both kinds of pool offer."""

    task: QueryTask
    seed: int
    """Of the campaign: trainings and the start follow from it."""
    rehearsal: bool
    """Whether this is the made-up pool on which a strategy is checked before a campaign."""
    loop: int
    """Queries made so far in this campaign: 0 for the first, which follows the training on the start."""
    loops: int
    """Trainings of the whole campaign, the one on the start included: `loops - 1` queries."""
    classes: int

    def candidates(
        self, score: Score, rng: np.random.Generator, *, adjust: Adjust | None = None, factor: int = 1
    ) -> Candidates:
        """Everything that the rule of the protocol lets through, with its score.

        Of images: all of the pool. Of patches: in each image greedily the best without overlap, up to `factor` times
        as many as the protocol allows of one image. `adjust` acts on the means over patches, before that choice; it
        is called once an image, in the order of their names.
        Raises UnusableAnswerError for scores that are not finite or have another shape.
        """
        ...

    def best(self, score: Score, budget: int, rng: np.random.Generator, *, adjust: Adjust | None = None) -> Picks:
        """The `budget` candidates of highest score, highest first; of equals, those that `rng` draws.

        Raises UnusableAnswerError as `candidates`, and if there are fewer.
        """
        ...

    def random(self, budget: int, rng: np.random.Generator) -> Picks:
        """Images drawn without replacement; patches of a shuffled cycle of images, uniform over free positions."""
        ...


class ClassificationPool(Pool, Protocol):
    """The unlabelled images of a pool, numbered 0 to n - 1, and the labelled ones.

    A query is a sequence of `budget` different numbers.
    """

    probabilities: Tensor
    """(members, classes, n) float32, softmax of each member of the committee."""
    size: int
    """n."""

    @property
    def inputs(self) -> Tensor:
        """(n, c, h, w) float32. Needs `"inputs"`."""
        ...

    @property
    def features(self) -> np.ndarray:
        """(n, d) float32, the encoder's: what the head of the network sees, without dropout. Needs `"features"`."""
        ...

    @property
    def labelled_inputs(self) -> Tensor:
        """(labelled, c, h, w) float32. Needs `"inputs"`."""
        ...

    @property
    def labelled_features(self) -> np.ndarray:
        """(labelled, d) float32. Needs `"features"`."""
        ...

    labelled_targets: np.ndarray
    """(labelled,) int64."""

    @property
    def rows(self) -> np.ndarray:
        """(n,) int64: the rows of the images in the data set's pool, as loop files number them. Needs `"names"`."""
        ...

    @property
    def labelled_rows(self) -> np.ndarray:
        """(labelled,) int64. Needs `"names"`."""
        ...


class PoolImage(Protocol):
    """One image of a segmentation pool. Arrays are read when they are asked for, from memory-mapped files."""

    name: str
    """A neutral one, by which queries ask for it."""
    shape: tuple[int, ...]
    annotated: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]
    """Boxes whose labels are known: (corner, size)."""

    @property
    def source(self) -> str:
        """Its name in the data set. Needs `"names"`."""
        ...

    @property
    def probabilities(self) -> Tensor:
        """(members, classes, *shape) float32, of each member a distribution over the classes.

        Where networks learn regions that overlap, the region that nnU-Net writes last decides: its probability, then that
        of the one before among what is left, and so on.
        """
        ...

    @property
    def image(self) -> np.ndarray:
        """(channels, *shape) float32 as the network sees it. Needs `"inputs"`."""
        ...

    @property
    def labels(self) -> np.ndarray:
        """(*shape) integers: known labels, and -1 where none is known. An oracle sees all of them."""
        ...

    @property
    def annotatable(self) -> np.ndarray:
        """(*shape) bool, not to be written to: False where the data set itself has no label (an ignore label).

        A patch without any True cannot be asked for; `random`, `candidates` and `patches` leave such patches out.
        """
        ...

    def patch_means(self, scores: Any) -> np.ndarray:
        """(*grid) float64: the mean of a map of voxel scores (*shape) in every patch that the protocol knows.

        Entry (i, j, k) belongs to the patch at (i, j, k) * stride. Raises UnusableAnswerError as `candidates`.
        """
        ...

    def patches(
        self,
        means: np.ndarray,
        rng: np.random.Generator,
        *,
        limit: int | None = None,
        taken: Sequence[tuple[int, ...]] = (),
    ) -> Sequence[tuple[tuple[int, ...], float]]:
        """Corners and scores of patches, greedily by scores (*grid) as `patch_means` gives them.

        None overlaps another, an annotated box, or a patch at one of the corners `taken`. At most `limit`, by default
        as many as the protocol allows of one image. Of equals, those that `rng` draws.
        """
        ...


class SegmentationPool(Pool, Protocol):
    """Images of which patches can be annotated.

    A query is a sequence of `budget` patches, each (image name, low corner) or (image name, low corner, size) with the
    protocol's size, in array order (z, y, x), of flat images (y, x).
    """

    images: Sequence[PoolImage]
    """In the order of their names."""
    patch_size: tuple[int, ...]
    stride: tuple[int, ...]
    max_per_image: int

    @property
    def annotated(self) -> Mapping[str, Sequence[tuple[tuple[int, ...], tuple[int, ...]]]]:
        """Boxes whose labels are known, by image."""
        ...

    def random(self, budget: int, rng: np.random.Generator, *, foreground: float = 0.0) -> Picks:
        """Random patches, of which a share is centred on foreground: for that, an oracle's labels are read."""
        ...
