"""The images of a benchmark's sets: chosen, corrupted and put in order as its protocol says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.catalog import LoadedBenchmark
from harness.data.corruptions import corrupt
from harness.data.embedded import photo_crops
from harness.data.image_sets import LabelledImages, check_part, embedded_images, is_fetched, part_images
from harness.data.manifests import Manifest, find_dataset
from harness.data.store import reference
from harness.spec.errors import UsageError, unknown
from harness.spec.sources import ImageSet, ImageSource
from harness.storage import read_json
from harness.tracks.confidence.model_outputs import NO_CLASS

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class SetImages:
    """images (n, 28, 28) uint8; labels (n,) int64, `NO_CLASS` for photos and unknown images; positions (n,) in what they
    were chosen from.

    corruption: (n,) position of each one's corruption in their sorted names; None without. names: (n,) of the images in
    their data set.
    """

    images: np.ndarray
    labels: np.ndarray
    positions: np.ndarray
    names: tuple[str, ...]
    corruption: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> SetImages:
        """These rows, in this order."""
        dealt = None if self.corruption is None else self.corruption[rows]
        names = tuple(self.names[row] for row in rows.tolist())
        return SetImages(self.images[rows], self.labels[rows], self.positions[rows], names, dealt)


class BenchmarkImages:
    """What the sets of a source rest on, opened once."""

    def __init__(self, protocol: LoadedBenchmark, source: ImageSource) -> None:
        self._protocol, self._source = protocol, source
        self.manifest: Callable[[str], Manifest] = cache(self._find_manifest)
        self._part: Callable[[str, str], LabelledImages] = cache(self._open_part)

    @cached_property
    def identities(self) -> dict[str, str]:
        """A content id of each part that sets are chosen from, whether it is fetched or not. Raises UsageError for
        a data set or a part that does not exist."""
        found = {}
        for each in self._source.sets:
            if each.part is not None:
                check_part(self.manifest(each.images), each.part)
                found[f"{each.images}/{each.part}"] = self.manifest(each.images).identity(each.part)
        return found

    def check_splits(self, splits: Path) -> None:
        """Raises UsageError for a set whose split is not listed."""
        chosen = [each for each in self._source.sets if each.split is not None]
        listed = read_json(splits) if chosen else {}
        for each in chosen:
            _check_split(listed, each)

    def missing(self, sets: Iterable[ImageSet]) -> tuple[str, ...]:
        """The data sets that are not on this machine, and the parts of them that some sets are chosen from."""
        needed = dict.fromkeys((each.images, each.part) for each in sets if not each.embedded)
        return tuple(f"{data}: part {part}" for data, part in needed if not is_fetched(self.manifest(data)))

    def load(self, chosen: ImageSet, splits: Path) -> SetImages:
        """The images of a set, in the order that the protocol fixes. Errors as in `part_images`."""
        import numpy as np

        found = self._all(chosen)
        rows = np.arange(len(found.labels))
        if chosen.split is not None:
            rows = _listed(read_json(splits), chosen, len(rows))
        if chosen.classes is not None:
            rows = rows[np.isin(found.labels[rows], chosen.classes)]
        rows = rows[: chosen.count]
        if chosen.unknown:
            found = replace(found, labels=np.full(len(found.labels), NO_CLASS))
        images = found.take(rows) if chosen.severity is None else _corrupted(found, rows, chosen, self._source)
        if chosen.shuffle is None:
            return images
        return images.take(np.random.default_rng(chosen.shuffle).permutation(len(images.labels)))

    def _all(self, chosen: ImageSet) -> SetImages:
        """What a set is chosen from."""
        import numpy as np

        if chosen.images == "photos":
            images = photo_crops(chosen.count or 500, chosen.seed)
            every = LabelledImages(images, np.full(len(images), NO_CLASS), tuple(map(str, range(len(images)))))
        else:
            every = embedded_images(chosen.images) if chosen.part is None else self._part(chosen.images, chosen.part)
        names = tuple(f"{chosen.images}/{name}" for name in every.ids)
        return SetImages(every.images, every.labels, np.arange(len(names)), names)

    def _open_part(self, dataset: str, part: str) -> LabelledImages:
        """Where the data set is absent, all that the source lacks is named at once."""
        manifest = self.manifest(dataset)
        if not is_fetched(manifest):
            absent = [each for each in map(self.manifest, self._source.datasets) if not is_fetched(each)]
            names = [each.spec.id for each in absent]
            raise UsageError(
                f"{self._protocol.benchmark.name} needs images that are not here yet, those of {' and '.join(names)}; "
                f"run: harness data fetch {' '.join(map(reference, absent))}"
            )
        return part_images(manifest, part)

    def _find_manifest(self, dataset: str) -> Manifest:
        own = dataset.endswith(".toml")
        return find_dataset(self._protocol.path.parent / dataset if own else dataset)


def _listed(splits: dict[str, list[int]], chosen: ImageSet, count: int) -> np.ndarray:
    """Positions that the splits list under the set's name for them."""
    import numpy as np

    _check_split(splits, chosen)
    rows = np.asarray(splits[str(chosen.split)], dtype=np.int64)
    if len(rows) and not 0 <= rows.min() <= rows.max() < count:
        raise UsageError(f"set {chosen.id}: the split {chosen.split} names images beyond the {count} that there are.")
    return rows


def _check_split(splits: Mapping[str, object], chosen: ImageSet) -> None:
    if chosen.split not in splits:
        raise unknown(f"split of set {chosen.id}", str(chosen.split), splits)


def _corrupted(found: SetImages, rows: np.ndarray, chosen: ImageSet, source: ImageSource) -> SetImages:
    """Deal the images in turn to the corruptions, by name, so that each gets as many of each class."""
    import numpy as np

    assert chosen.severity is not None
    assert chosen.per_corruption is not None
    names = sorted(source.corruptions)
    wanted = chosen.per_corruption * len(names)
    if len(rows) < wanted:
        raise UsageError(f"set {chosen.id}: {len(rows)} images do not give {chosen.per_corruption} to each corruption.")
    dealt = found.take(rows[:wanted])
    corruption = np.arange(wanted) % len(names)
    corrupted = np.empty_like(dealt.images)
    for number, name in enumerate(names):
        mine = corruption == number
        strength = source.corruptions[name][chosen.severity - 1]
        corrupted[mine] = corrupt(dealt.images[mine], name, strength, chosen.seed, dealt.positions[mine])
    return replace(dealt, images=corrupted, corruption=corruption)
