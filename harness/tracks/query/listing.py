"""What can be looked at of a run of a query strategy: held-out samples that networks get wrong, and what was bought."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.spec.errors import UsageError
from harness.spec.run import Unit
from harness.storage import IntegrityError
from harness.tracks.base import Answers
from harness.tracks.query.campaign import EVALUATION, PICKS
from harness.tracks.query.picture import image_pixels, patch_card
from harness.tracks.views import Card, Picture, SampleList, columns_of, compact_uri

if TYPE_CHECKING:
    import numpy as np

    from harness.tracks.query.segmentation.ledger import PatchLedger
    from harness.tracks.query.sources import Setting
    from harness.tracks.query.track import QueryTrack

Row = tuple[dict[str, Any], Callable[[], tuple[Card, ...]]]
"""Values by column, and how the row's pictures are made."""
_DICE, _NETWORKS = "Dice", "networks that err"
_VOLUMES = (
    "Every held-out case and class as the networks of the last loop segment it, the lowest Dice first, and every patch that "
    "was bought. Slices are cut across the shortest axis; the first one shown has most wrong voxels of the class."
)
_NOT_KEPT = (
    "Of some networks no predicted segmentations are kept: runs of earlier harnesses, and rows of boards, have none."
)
_IMAGES = (
    "Test images that the network of the last loop gets wrong, those first that networks of most seeds get wrong, and every "
    "image that was bought."
)


def query_listing(
    track: QueryTrack, answers: Mapping[Unit, Answers], kept: Callable[[Unit], Path]
) -> SampleList | None:
    """Of segmentations a row for each held-out case and class, of images one for each error; None without answers."""
    from harness.tracks.query.segmentation.slices import KEYS

    rows, notes = list[Row](), dict[str, None]()
    segments = False
    settings = {each.dataset.id: each for each in track.settings.values()}
    opened = cache(lambda dataset: _ledger(settings[dataset]))
    for unit, outputs in answers.items():
        setting = track.settings[unit.study]
        if setting.segments:
            segments = True
            ledger, problem = opened(setting.dataset.id)
            notes |= {problem: None} if problem else {}
            notes |= {} if kept(unit).is_dir() or not ledger else {_NOT_KEPT: None}
            rows += _segmented(unit, outputs, ledger, kept(unit))
        else:
            others = [each for key, each in answers.items() if key.study == unit.study]
            rows += _classified(setting, unit, outputs, others)
    if not rows:
        return None
    names = dict.fromkeys(name for row, _ in rows for name in row)
    order = {_DICE: False, "true voxels": True} if segments else {_NETWORKS: True, "wrong in loops": True}
    return SampleList(
        _VOLUMES if segments else _IMAGES,
        columns_of([{name: row.get(name) for name in names} for row, _ in rows]),
        tuple(
            each for each in ("what", "study", "network", "case", "class", "predicted", "at the start") if each in names
        ),
        order,
        tuple(
            each
            for each in ("what", "study", "network", "case", "image", "class", "predicted", *order)
            if each in names
        ),
        lambda place: rows[place][1](),
        KEYS if segments else (),
        tuple(notes),
    )


def _bought(outputs: Answers) -> Iterator[tuple[str, np.ndarray]]:
    """What the picks of each loop are called, and the picks."""
    for loop in range(sum(name.startswith(PICKS) for name in outputs)):
        yield (f"bought in loop {loop}" if loop else "bought at the start"), outputs[f"{PICKS}{loop}"]


def _segmented(unit: Unit, outputs: Answers, ledger: PatchLedger | None, kept: Path) -> Iterator[Row]:
    from harness.metrics.segmentation import dice
    from harness.tracks.query.segmentation.slices import case_cards, scored_names

    counts, cases = outputs[f"{EVALUATION}counts"], ledger.cases if ledger else None
    values = dice(counts)
    where = {"study": unit.study, "network": unit.model}
    for case in range(counts.shape[1]):
        for number in range(1, counts.shape[2]):
            hit, extra, missed, _ = counts[-1, case, number].tolist()
            row = {
                "what": "held-out case",
                **where,
                "case": cases.held_out[case] if cases else f"case {case}",
                "class": scored_names(cases)[number] if cases else f"class {number}",
                _DICE: _number(values[-1, case, number]),
                "Dice at the start": _number(values[0, case, number]),
                "true voxels": hit + missed,
                "missed voxels": missed,
                "wrongly predicted voxels": extra,
            }
            yield row, _later(case_cards, ledger, case, number, kept, counts[-1, case])
    for what, picks in _bought(outputs):
        for row, card in _patches(picks, ledger):
            yield {"what": what, **where, **row}, card


def _patches(picks: np.ndarray, ledger: PatchLedger | None) -> Iterator[Row]:
    """Patches with the share of their voxels that is foreground."""
    from harness.tracks.query.geometry import Patch
    from harness.tracks.query.segmentation.ledger import slices

    axes, cases = (picks.shape[1] - 1) // 2, ledger.cases if ledger else None
    for image, *box in picks.tolist():
        corner, size = tuple(box[:axes]), tuple(box[axes:])
        row = {"case": cases.pool[image] if cases else f"image {image}", "corner": " ".join(map(str, corner))}
        if cases is None:
            yield row, tuple
            continue
        labels = cases.labels(cases.pool[image])[slices((corner, size))]
        yield (
            {**row, "foreground": round(float((labels > 0).mean()), 4)},
            _later(
                lambda ledger, patch: (patch_card(ledger.cases, patch, compact_uri),),
                ledger,
                Patch(cases.pool[image], corner, size),
            ),
        )


def _classified(setting: Setting, unit: Unit, outputs: Answers, others: list[Answers]) -> Iterator[Row]:
    """others: answers of all seeds of the study."""
    import numpy as np

    from harness.tracks.query.classification.data import open_images

    images, name = open_images(setting, unit.model_seed), f"{EVALUATION}predictions"
    predicted, targets = outputs[name], images.test_targets
    wrong = predicted != targets
    erring = np.sum([each[name][-1] != targets for each in others], axis=0)
    where = {"study": unit.study, "network": unit.model}

    def pictured(one: np.ndarray, what: str) -> Callable[[], tuple[Card, ...]]:
        return _later(lambda pixels: (Card((Picture(compact_uri(pixels), what),)),), image_pixels(images, one))

    for image in np.flatnonzero(wrong[-1]).tolist():
        row = {
            "what": "wrong at the end",
            **where,
            "image": image,
            "class": int(targets[image]),
            "predicted": int(predicted[-1, image]),
            "at the start": "wrong" if wrong[0, image] else "right",
            "wrong in loops": int(wrong[:, image].sum()),
            _NETWORKS: int(erring[image]),
        }
        yield row, pictured(images.test_inputs[image], f"test image {image} of class {row['class']}")
    for what, picks in _bought(outputs):
        for image in picks[:, 0].tolist():
            label = int(images.pool_targets[image])
            card = pictured(images.pool_inputs[image], f"image {image} of the pool, class {label}")
            yield {"what": what, **where, "image": image, "class": label}, card


def _ledger(setting: Setting) -> tuple[PatchLedger | None, str]:
    """The volumes of a data set, or why they are not here."""
    from harness.tracks.query.segmentation.ledger import PatchLedger

    try:
        return PatchLedger(setting, 0), ""
    except (UsageError, IntegrityError, OSError) as error:
        return None, f"The volumes of {setting.dataset.id} cannot be opened, so there are numbers alone: {error}"


def _later(make: Callable[..., tuple[Card, ...]], *of: Any) -> Callable[[], tuple[Card, ...]]:
    return lambda: make(*of)


def _number(value: Any) -> float | None:
    return round(float(value), 4) if value == value else None
