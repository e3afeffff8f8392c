"""Where samples lie in a picture: principal components, and from these t-SNE or UMAP where a library of it is installed.

All sets of a network are laid out together, so that their places can be compared. Seeded, and kept in the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, get_args

from harness.data.array_cache import read_cached, write_cached
from harness.spec.errors import UsageError
from harness.storage import array_id, content_id

if TYPE_CHECKING:
    import numpy as np

How = Literal["auto", "pca", "tsne", "umap"]
HOW: tuple[str, ...] = get_args(How)
COMPONENTS = 50
"""Principal components that neighbours are looked for in, as in SF-Visuals."""
_PACKAGES = {"tsne": "openTSNE", "umap": "umap"}
_DISTRIBUTIONS = {"tsne": "openTSNE", "umap": "umap-learn"}
_TITLES = {"tsne": "t-SNE", "umap": "UMAP"}
_LEAST = 16  # points of which neighbours are worth looking for
_VERSION = "1"


@dataclass(frozen=True)
class Places:
    """A way to lay out n points: flat (n, 2) and solid (n, 3), in [-1, 1] with one scale for all axes."""

    title: str
    flat: np.ndarray
    solid: np.ndarray


def principal_components(vectors: np.ndarray) -> np.ndarray:
    """(n, at most 50) float32 of vectors (n, f), the axes of largest variance first; at least 3 columns, 0 where there are
    fewer."""
    import numpy as np
    from sklearn.decomposition import PCA

    count = min(COMPONENTS, *vectors.shape)
    found = np.zeros((len(vectors), max(3, count)), dtype=np.float32)
    if len(vectors) > 1 and float(np.ptp(vectors)) > 0:
        found[:, :count] = PCA(
            count, svd_solver="full" if vectors.shape[1] <= 64 else "randomized", random_state=0
        ).fit_transform(vectors)
    return found


def layouts(components: np.ndarray, how: How, say: Callable[[str], None] = lambda text: None) -> tuple[Places, ...]:
    """What a page may lay points out by, the best first. `say` is told what will take minutes. Raises UsageError for
    a library that was asked for and is not installed."""
    pca = Places("principal components", _scaled(components[:, :2]), _scaled(components[:, :3]))
    chosen = next((each for each, package in _PACKAGES.items() if find_spec(package)), "pca") if how == "auto" else how
    if chosen == "pca" or len(components) < _LEAST:
        return (pca,)
    if not find_spec(_PACKAGES[chosen]):
        raise UsageError(
            f"{_TITLES[chosen]} needs {_DISTRIBUTIONS[chosen]}; run: pip install 'reliabench[browse]', or take --embedding pca."
        )
    key = content_id(
        {"of": array_id(components), "by": chosen, "library": version(_DISTRIBUTIONS[chosen]), "version": _VERSION}
    )
    found = read_cached("embeddings", key)
    if found is None:
        say(f"laying out {len(components):,} points by {_TITLES[chosen]}; this is done once")
        place = _tsne if chosen == "tsne" else _umap
        found = {"flat": place(components, 2), "solid": place(components, 3)}
        write_cached("embeddings", key, found)
    return (Places(_TITLES[chosen], _scaled(found["flat"]), _scaled(found["solid"])), pca)


def _tsne(components: np.ndarray, dimensions: int) -> np.ndarray:
    """From the first principal components. Interpolation, the quick way, is for two dimensions only."""
    import numpy as np
    import openTSNE

    start = openTSNE.initialization.rescale(np.array(components[:, :dimensions], dtype=np.float64))
    perplexity = min(30.0, (len(components) - 1) / 3)
    quick = dimensions == 2 and len(components) > 5000
    way = openTSNE.TSNE(
        dimensions, perplexity=perplexity, initialization=start, random_state=0, n_jobs=1,
        negative_gradient_method="fft" if quick else "bh",
    )  # fmt: skip
    return np.asarray(way.fit(np.asarray(components, dtype=np.float64)), dtype=np.float32)


def _umap(components: np.ndarray, dimensions: int) -> np.ndarray:
    import numpy as np
    import umap

    way = umap.UMAP(n_components=dimensions, n_neighbors=min(15, len(components) - 1), random_state=0, n_jobs=1)
    return np.asarray(way.fit_transform(components), dtype=np.float32)


def _scaled(points: np.ndarray) -> np.ndarray:
    """(n, d) in [-1, 1], centred, with one scale for all axes."""
    import numpy as np

    if not len(points):
        return points.astype(np.float32)
    low, high = points.min(axis=0), points.max(axis=0)
    extent = float((high - low).max()) or 1.0
    placed: np.ndarray = (points - (low + high) / 2) * (1.9 / extent)
    return placed.astype(np.float32)
