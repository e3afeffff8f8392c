"""Slices of a held-out case with what is true of a class and what was predicted, as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.metrics.segmentation import segmentation_counts
from harness.storage import IntegrityError
from harness.tracks.query.picture import shortest_axis, slice_pixels
from harness.tracks.query.segmentation.cases import UNLABELLED, Cases, scored_classes
from harness.tracks.query.segmentation.kept import kept_segmentation
from harness.tracks.views import Card, Key, Picture, compact_uri

if TYPE_CHECKING:
    import numpy as np

    from harness.tracks.query.segmentation.ledger import PatchLedger

_SLICES = 8
_OPACITY = 0.6
_FOUND, _MISSED, _WRONG = (86, 180, 233), (213, 94, 0), (240, 228, 66)
KEYS = tuple(
    Key(name, f"rgb{of}")
    for name, of in (("true, or found", _FOUND), ("missed", _MISSED), ("wrongly predicted", _WRONG))
)


def scored_names(cases: Cases) -> list[str]:
    """Of what has counts: the background, then regions or classes."""
    return [cases.classes[0], *(each.name for each in cases.regions)] if cases.regions else list(cases.classes)


def case_cards(ledger: PatchLedger | None, case: int, number: int, kept: Path, counts: np.ndarray) -> tuple[Card, ...]:
    """A few slices of held-out case number `case` with scored class `number`; the one with most wrong voxels is marked.

    counts (classes, 4): what the segmentation that is kept must amount to; raises IntegrityError where it does not.
    """
    import numpy as np

    if ledger is None:
        return ()
    cases = ledger.cases
    name, classes = cases.held_out[case], scored_classes(cases)
    labels, predicted = np.asarray(cases.labels(name)), kept_segmentation(kept, case)
    if predicted is not None:
        of = (predicted, labels, len(cases.classes))
        same = predicted.shape == labels.shape
        if not same or (segmentation_counts(*of, ignore=UNLABELLED, regions=classes) != counts).any():
            raise IntegrityError(f"the segmentation of {name} in {kept} is not the one that was scored; remove {kept}.")
    members = classes[number] if classes else (number,)
    truth = np.isin(labels, members)
    found = truth if predicted is None else np.isin(predicted, members)
    axis = shortest_axis(labels.shape)
    image, known = cases.image(name), labels != UNLABELLED
    places, worst = _places(truth, found & known, axis)
    cards = []
    for at in places:
        masks = (_cut(truth, axis, at), _cut(found, axis, at), _cut(known, axis, at))
        shown = _pictures(slice_pixels(image, axis, at), *masks, predicted=predicted is not None)
        caption = "" if axis is None else f"slice {at + 1} of {labels.shape[axis]}"
        cards.append(Card(tuple(shown), caption, marked=at == worst))
    return tuple(cards)


def _places(truth: np.ndarray, found: np.ndarray, axis: int | None) -> tuple[list[int], int]:
    """Slices, spread over those in which the class is or was found, and the worst: with most wrong voxels, else most of
    the class."""
    import numpy as np

    if axis is None:
        return [0], 0
    others = tuple(each for each in range(3) if each != axis)
    wrong, there = (truth != found).sum(axis=others), (truth | found).sum(axis=others)
    if not there.any():
        return [truth.shape[axis] // 2], truth.shape[axis] // 2
    worst, rows = int((wrong if wrong.any() else there).argmax()), np.flatnonzero(there)
    spread = rows[np.unique(np.linspace(0, len(rows) - 1, min(_SLICES, len(rows))).astype(int))]
    return sorted({*spread.tolist(), worst}), worst


def _cut(mask: np.ndarray, axis: int | None, place: int) -> np.ndarray:
    return mask if axis is None else mask.take(place, axis=axis)


def _pictures(
    base: np.ndarray, truth: np.ndarray, found: np.ndarray, known: np.ndarray, *, predicted: bool
) -> list[Picture]:
    shown = [Picture(compact_uri(base), "image", "image")]
    shown.append(Picture(compact_uri(_over(base, [(truth, _FOUND)])), "image with the true class", "truth"))
    if predicted:
        marks = [(truth & found, _FOUND), (truth & ~found, _MISSED), (found & ~truth & known, _WRONG)]
        shown.append(Picture(compact_uri(_over(base, marks)), "image with the predicted class", "prediction"))
    return shown


def _over(base: np.ndarray, marks: list[tuple[np.ndarray, tuple[int, int, int]]]) -> np.ndarray:
    """(h, w, 3) with masks (h, w) in their colours."""
    import numpy as np

    shown = base.astype(float)
    for mask, colour in marks:
        shown[mask] = _OPACITY * np.array(colour) + (1 - _OPACITY) * shown[mask]
    return shown.round().astype(np.uint8)
