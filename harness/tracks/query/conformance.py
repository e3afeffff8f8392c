"""Does a query strategy keep its contract? Found out on small made-up pools, one of each task that it declares."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data.scratch import offered_folder
from harness.methods.answers import checked_picks
from harness.methods.client import MethodClient
from harness.methods.conformance import Check, until_failure
from harness.spec.method import QueryMethod, QueryTask
from harness.storage import file_id
from harness.tracks.query.order import neutral_names

if TYPE_CHECKING:
    import numpy as np

MEMBERS, CLASSES, FEATURES = 3, 3, 8
_VOLUMES, _SHAPE = 4, (6, 10, 12)
_PATCH, _STRIDE, _MOST_PER_VOLUME, _PATCHES = (3, 4, 5), (1, 2, 1), 4, 5
_IMAGES, _LABELLED, _ASKED, _IMAGE = 40, 12, 7, (1, 28, 28)
_NAMES: dict[QueryTask, str] = {"segmentation": "patches of volumes", "classification": "images"}


def check_query_strategy(method: MethodClient) -> Iterator[Check]:
    """Yield the checks in order; the first failed one is the last.

    For every declared task: the query has as many patches or images as were asked for, all inside the pool, different
    and without overlap; the same seed gives the same query; the files of the pool stay as they are.
    """
    assert isinstance(method.spec, QueryMethod)
    with offered_folder() as folder:
        requirements: dict[str, Callable[[], str]] = {}
        for task in method.spec.tasks:
            requirements |= _SyntheticPool(method, task, folder / task).requirements()
        yield from until_failure(requirements)


class _SyntheticPool:
    """One made-up pool, and one strategy."""

    def __init__(self, method: MethodClient, task: QueryTask, folder: Path) -> None:
        assert isinstance(method.spec, QueryMethod)
        self._method, self._spec, self._task = method, method.spec, task
        self._folder = folder
        self._meta: dict[str, Any] = {}
        self._files: dict[str, str] = {}
        self._picks: np.ndarray | None = None

    def requirements(self) -> Mapping[str, Callable[[], str]]:
        return {
            f"asks for {_NAMES[self._task]}: as many as it may, inside the pool, none twice": self._answers,
            f"asks for the same {_NAMES[self._task]} twice under one seed": self._repeats,
            f"leaves the pool of {_NAMES[self._task]} as it is": self._is_harmless,
        }

    def _answers(self) -> str:
        self._folder.mkdir()
        self._meta = synthetic_pool(self._task, self._folder, self._spec)
        self._files = self._hashes()
        self._picks = self._query()
        return _problem(self._picks, self._meta)

    def _repeats(self) -> str:
        import numpy as np

        if np.array_equal(self._query(), self._picks if self._picks is not None else ()):
            return ""
        return "the second query under the same seed differs; take randomness from `rng`, torch, numpy or random only"

    def _is_harmless(self) -> str:
        changed = {name for name, known in self._files.items() if self._hashes().get(name) != known}
        return f"it changed {', '.join(sorted(changed))} of the pool; work on copies" if changed else ""

    def _query(self) -> np.ndarray:
        self._method.call("begin", {}, seed=1)
        return checked_picks(self._method.call("query", {}, seed=2, meta=self._meta), self._meta["budget"])

    def _hashes(self) -> dict[str, str]:
        return {path.name: file_id(path) for path in sorted(self._folder.iterdir())}


def synthetic_pool(task: QueryTask, folder: Path, method: QueryMethod) -> dict[str, Any]:
    """Write a made-up pool with what the method declares that it needs, and describe it as the track does."""
    import numpy as np

    rng = np.random.default_rng(0)
    write = _write_volumes if task == "segmentation" else _write_images
    return {
        **write(folder, method, rng),
        "task": task,
        "folder": str(folder),
        "classes": CLASSES,
        "loop": 1,
        "loops": 5,
        "entropy": [0, 1, 1],
        "needs": list(method.needs),
        "oracle": method.oracle,
        "rehearsal": True,
    }


def _write_volumes(folder: Path, method: QueryMethod, rng: np.random.Generator) -> dict[str, Any]:
    import numpy as np

    images = []
    for number, name in enumerate(neutral_names(_VOLUMES)):
        np.save(folder / f"{number}.probabilities.npy", _probabilities(_SHAPE, rng))
        labels = rng.integers(CLASSES, size=_SHAPE).astype(np.int16)
        annotated = [[[0, 2, 1], list(_PATCH)]] if number else []
        if not method.oracle:
            known = labels[0:3, 2:6, 1:6].copy()
            labels[:] = -1
            labels[0:3, 2:6, 1:6] = known if number else -1
        np.save(folder / f"{number}.labels.npy", labels)
        if "inputs" in method.needs:
            np.save(folder / f"{number}.image.npy", rng.normal(size=(1, *_SHAPE)).astype(np.float32))
        if "features" in method.needs:
            np.save(folder / f"{number}.features.npy", rng.normal(size=(FEATURES, 2, 3, 3)).astype(np.float32))
        source = {"source": f"volume-{number}"} if "names" in method.needs else {}
        images.append({"name": name, "shape": list(_SHAPE), "annotated": annotated, **source})
    rule = {"patch_size": list(_PATCH), "stride": list(_STRIDE), "max_per_image": _MOST_PER_VOLUME}
    return {"images": images, "budget": _PATCHES, **rule}


def _write_images(folder: Path, method: QueryMethod, rng: np.random.Generator) -> dict[str, Any]:
    import numpy as np

    np.save(folder / "probabilities.npy", _probabilities((_IMAGES,), rng))
    np.save(folder / "labelled_targets.npy", np.arange(_LABELLED) % CLASSES)
    rows = rng.permutation(_IMAGES + _LABELLED)
    for prefix, count, numbers in (("", _IMAGES, rows[:_IMAGES]), ("labelled_", _LABELLED, rows[_IMAGES:])):
        if "names" in method.needs:
            np.save(folder / f"{prefix}rows.npy", numbers)
        if "features" in method.needs:
            np.save(folder / f"{prefix}features.npy", rng.normal(size=(count, FEATURES)).astype(np.float32))
        if "inputs" in method.needs:
            np.save(folder / f"{prefix}inputs.npy", rng.normal(size=(count, *_IMAGE)).astype(np.float32))
    return {"budget": _ASKED}


def _probabilities(positions: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """A committee that agrees on the whole: (members, classes, *positions) float32."""
    import numpy as np

    common = rng.normal(size=(1, CLASSES, *positions)) * 2
    logits = np.exp(common + rng.normal(size=(MEMBERS, CLASSES, *positions)))
    probabilities: np.ndarray = (logits / logits.sum(axis=1, keepdims=True)).astype(np.float32)
    return probabilities


def _problem(picks: np.ndarray, meta: Mapping[str, Any]) -> str:
    """What is wrong with a query, as the learner of a campaign would say it."""
    import numpy as np

    from harness.tracks.query.geometry import Patch, check_patches

    if meta["task"] == "classification":
        if picks.shape[1] != 1 or picks.min() < 0 or picks.max() >= _IMAGES:
            return f"it asked for an image outside of the pool, which are numbers 0 to {_IMAGES - 1}"
        twice = len(picks) - len(np.unique(picks))
        return f"it asked {twice} times for an image that it had asked for already" if twice else ""
    names = [image["name"] for image in meta["images"]]
    patches = [Patch(names[number], tuple(corner), tuple(meta["patch_size"])) for number, *corner in picks.tolist()]
    annotated = {
        image["name"]: [(tuple(corner), tuple(size)) for corner, size in image["annotated"]] for image in meta["images"]
    }
    try:
        check_patches(patches, dict.fromkeys(names, _SHAPE), annotated, count=meta["budget"])
    except ValueError as error:
        return str(error).rstrip(".")
    return ""
