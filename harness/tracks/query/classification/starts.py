"""The images that a campaign begins with: the same for every strategy."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from harness.spec.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from harness.spec.query import QueryStudy
    from harness.tracks.query.sources import Setting

_SOME = 5  # images of each class that "some-per-class" begins with


def first_images(setting: Setting, seed: int, targets: np.ndarray, classes: int) -> np.ndarray:
    """Rows (start,) int64 of a pool with these targets: pinned ones, or drawn by the study's rule and the seed.

    Raises UsageError where they cannot be had.
    """
    if setting.study.starts is None:
        return drawn_images(setting.study, seed, targets, classes)
    return _pinned(setting, seed, len(targets))


def drawn_images(study: QueryStudy, seed: int, targets: np.ndarray, classes: int) -> np.ndarray:
    """Rows (start,) int64, ascending, by the study's rule.

    "balanced": as many of each class; what does not go round, one more of classes that are drawn. "some-per-class":
    five of each class, or as many as the start allows and the class has; the rest from all of the pool.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    if study.start < classes:
        raise UsageError(f"study {study.id}: a start of {study.start} cannot have {classes} classes; give more.")
    if study.start_rule == "balanced":
        wanted = np.full(classes, study.start // classes)
        wanted[rng.permutation(classes)[: study.start % classes]] += 1
    else:
        wanted = np.full(classes, min(_SOME, study.start // classes))
    first = []
    for label, count in enumerate(wanted):
        mine = np.flatnonzero(targets == label)
        if len(mine) < count and study.start_rule == "balanced":
            raise UsageError(
                f"study {study.id}: a balanced start needs {count} images of class {label}, the pool has {len(mine)}; "
                'use start_rule = "some-per-class".'
            )
        first.append(rng.permutation(mine)[:count])
    chosen = np.concatenate(first)
    others = np.setdiff1d(np.arange(len(targets)), chosen)
    return np.sort(np.concatenate([chosen, rng.permutation(others)[: study.start - len(chosen)]]))


def _pinned(setting: Setting, seed: int, count: int) -> np.ndarray:
    import numpy as np

    study = setting.study
    assert study.starts is not None
    path = setting.protocol.verified(study.starts)[0]
    try:
        found = json.loads(path.read_text(encoding="utf-8"))[str(seed)]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UsageError(f'{path} must be a JSON object with a list of pool images for "{seed}".') from error
    if not isinstance(found, list) or not all(type(each) is int and 0 <= each < count for each in found):
        raise UsageError(f'{path}: "{seed}" must list whole numbers from 0 to {count - 1}, rows of the pool.')
    if len(found) != study.start or len(set(found)) != len(found):
        raise UsageError(f'{path}: "{seed}" must list {study.start} different images, as study {study.id} says.')
    return np.asarray(found, dtype=np.int64)
