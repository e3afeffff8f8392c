"""What of a pool of volumes can be bought, what was bought, and what it reveals. Knows no network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data.scratch import private_folder
from harness.spec.errors import UsageError
from harness.spec.query import RawFolder, TemplateVolumes
from harness.storage import read_json, write_json
from harness.tracks.base import Answers
from harness.tracks.query.geometry import Corner, Patch, Size, by_image, check_patches, clipped, described, within
from harness.tracks.query.order import neutral_names, shown_order
from harness.tracks.query.segmentation.cases import UNLABELLED, Cases, LabelMaps, count_labels, summary_keys
from harness.tracks.query.segmentation.raw_folder import RawFolderCases
from harness.tracks.query.segmentation.template_cases import TemplateCases
from harness.tracks.query.sources import Setting

if TYPE_CHECKING:
    import numpy as np


class PatchLedger:
    """See `harness.tracks.query.campaign.Ledger`. Opens the data, whose copies live as long as the ledger."""

    def __init__(self, setting: Setting, seed: int) -> None:
        if setting.study.patches is None:
            raise TypeError(f"study {setting.study.id} is not one of segmentation")
        self.setting, self.rule, self._seed = setting, setting.study.patches, seed
        self._scratch = private_folder()
        self.folder = self._scratch.path
        self.cases = open_cases(setting, self.folder)
        self._check_room()

    def start(self) -> np.ndarray:
        import numpy as np

        from harness.tracks.query.sampling import starting_patches

        study = self.setting.study
        if study.starts is not None:
            path, _ = self.setting.protocol.verified(study.starts)
            return self._picks(self._pinned_start(path))
        rng = np.random.default_rng(self._seed)
        try:
            patches = starting_patches(LabelMaps(self.cases), self.rule.size, study.start, rng)
        except ValueError as error:
            raise UsageError(f"study {study.id} has no start of {study.start} patches: {error}") from error
        return self._picks(patches)

    def parse(self, answer: np.ndarray, picks: Sequence[np.ndarray], budget: int) -> np.ndarray:
        import numpy as np

        rows = np.asarray(answer)
        axes = len(self.rule.size)
        if rows.ndim != 2 or rows.shape[1] != 1 + axes or rows.dtype.kind not in "iu":
            raise ValueError(
                f"patches are rows of {1 + axes} integers, the image's number and the low corner, not an array of "
                f"shape {rows.shape} and {rows.dtype}."
            )
        offered = list(self.shown.values())
        patches = [self._patch(number, corner, offered) for number, *corner in rows.tolist()]
        self._check_query(patches, picks, budget, {name: shown for shown, name in self.shown.items()})
        return self._picks(patches)

    def check(self, picks: np.ndarray, before: Sequence[np.ndarray], budget: int) -> None:
        import numpy as np

        axes = len(self.rule.size)
        if picks.ndim != 2 or picks.shape[1] != 1 + 2 * axes:
            raise ValueError(f"patches are rows of {1 + 2 * axes} integers, not an array of shape {picks.shape}.")
        pool = self.cases.pool
        patches = [self._patch(number, box[:axes], pool) for number, *box in picks.tolist()]
        self._check_query(patches, before, budget, {name: name for name in pool})
        if not np.array_equal(self._picks(patches), picks):
            raise ValueError(f"it holds patches of another size than {self.rule.size}.")

    @cached_property
    def shown(self) -> dict[str, str]:
        """Names under which strategies see the pool -> those of the data set, in the order in which they see it."""
        pool = self.cases.pool
        order = shown_order(len(pool), self.cases.contents, self._seed)
        return {name: pool[place] for name, place in zip(neutral_names(len(pool)), order.tolist(), strict=True)}

    def effort(self, picks: Sequence[np.ndarray]) -> Answers:
        import numpy as np

        classes = len(self.cases.classes)
        voxels: np.ndarray = np.zeros(classes, dtype=np.int64)
        patches = np.zeros_like(voxels)
        boxes = self.boxes(picks)
        for name, of in boxes.items():
            labels = self.cases.labels(name)
            for box in of:
                found = count_labels(labels[slices(box)], classes)
                voxels += found
                patches += found > 0
        return {
            "voxels": voxels,
            "patches": patches,
            "images": np.array(len(boxes), dtype=np.int64),
            "total_patches": np.array(sum(len(of) for of in boxes.values()), dtype=np.int64),
            "pool_voxels": np.sum([self.cases.counts[name] for name in self.cases.pool], axis=0).astype(np.int64),
            "pool_images": np.array(len(self.cases.pool), dtype=np.int64),
        }

    def write_summary(self, folder: Path, picks: np.ndarray, loop: int, evaluation: Answers) -> None:
        """Patches in nnActive's format, and nnU-Net's summary of the held-out cases."""
        from harness.metrics.segmentation import segmentation_summary
        from harness.tracks.query.loop_files import write_loop

        ending = self.cases.file_ending
        inside = folder / f"loop_{loop:03d}"
        inside.mkdir(parents=True, exist_ok=True)
        write_loop(folder, loop, self.patches([picks]), ending)
        files = [(name + ending,) * 2 for name in self.cases.held_out]
        summary = segmentation_summary(evaluation["counts"], files, summary_keys(self.cases))
        write_json(inside / "summary.json", _nulls(summary))

    def everything(self) -> np.ndarray:
        """Picks that reveal the whole pool, but for images without any label."""
        labelled = [name for name in self.cases.pool if self.cases.counts[name].any()]
        return self._picks([Patch(name, (0,) * len(self.rule.size), "whole") for name in labelled])

    def boxes(self, picks: Sequence[np.ndarray]) -> dict[str, list[tuple[Corner, Size]]]:
        """What is annotated of each image."""
        boxes = by_image(self.patches(picks))
        return {name: [within(box, self.cases.shapes[name]) for box in of] for name, of in boxes.items()}

    def _pinned_start(self, path: Path) -> list[Patch]:
        study, ending = self.setting.study, self.cases.file_ending
        starts = read_json(path)
        if not isinstance(starts, Mapping) or str(self._seed) not in starts:
            raise UsageError(f"{path} pins no start for seed {self._seed}; add it, or leave `starts` out.")
        try:
            rows = starts[str(self._seed)]["patches"]
            patches = [
                Patch(row["file"].removesuffix(ending), tuple(map(int, row["coords"])), tuple(map(int, row["size"])))
                for row in rows
            ]
            check_patches(patches, {name: self.cases.shapes[name] for name in self.cases.pool}, None, study.start)
            self._check_labelled(patches, {name: name for name in self.cases.pool})
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UsageError(f"{path}: the start of seed {self._seed} is no valid one: {error}") from error
        return patches

    def _picks(self, patches: Sequence[Patch]) -> np.ndarray:
        import numpy as np

        number = {name: place for place, name in enumerate(self.cases.pool)}
        boxes = [(number[patch.image], *within(patch.box, self.cases.shapes[patch.image])) for patch in patches]
        return np.array([[image, *corner, *size] for image, corner, size in boxes], dtype=np.int64)

    def patches(self, picks: Sequence[np.ndarray]) -> list[Patch]:
        """Picks as patches of images by name."""
        axes = len(self.rule.size)
        return [
            Patch(self.cases.pool[number], tuple(box[:axes]), tuple(box[axes:]))
            for each in picks
            for number, *box in each.tolist()
        ]

    def partly_labelled(self, name: str) -> bool:
        """Whether the data set has no label in a part of a case, which cannot be bought then."""
        return int(self.cases.counts[name].sum()) < math.prod(self.cases.shapes[name])

    def _patch(self, number: int, corner: Sequence[int], images: Sequence[str]) -> Patch:
        """Raises ValueError for one in none of the images."""
        if not 0 <= number < len(images):
            raise ValueError(f"image {number} is not in the pool, which has images 0 to {len(images) - 1}.")
        return Patch(images[number], tuple(corner), clipped(self.rule.size, self.cases.shapes[images[number]]))

    def _check_query(
        self, patches: Sequence[Patch], before: Sequence[np.ndarray], budget: int, called: Mapping[str, str]
    ) -> None:
        """Raise ValueError with a sentence, which names images as they are `called`, for what is no valid query."""
        check_patches(
            [patch._replace(image=called[patch.image]) for patch in patches],
            {called[name]: self.cases.shapes[name] for name in self.cases.pool},
            {called[name]: boxes for name, boxes in self.boxes(before).items()},
            budget,
        )
        self._check_labelled(patches, called)

    def _check_labelled(self, patches: Sequence[Patch], called: Mapping[str, str]) -> None:
        """Raise ValueError for a patch without any label to buy."""
        for patch in patches:
            box = within(patch.box, self.cases.shapes[patch.image])
            if self.partly_labelled(patch.image) and (self.cases.labels(patch.image)[slices(box)] == UNLABELLED).all():
                raise ValueError(
                    f"{described(box)} of image {called[patch.image]!r} holds only voxels that the data set marks to be ignored; "
                    "ask for patches with a voxel that is `annotatable`."
                )

    def _check_room(self) -> None:
        """Whether the budgets can be spent: patches that are larger than an image are clipped to it."""
        study, rule, shapes = self.setting.study, self.rule, self.cases.shapes
        axes = len(shapes[self.cases.pool[0]])
        if len(rule.size) != axes:
            raise UsageError(
                f"study {study.id}: patches have {len(rule.size)} axes, images have {axes}; give "
                f"({'z, y, x' if axes == 3 else 'y, x'})."
            )
        room = 0
        for name in self.cases.pool:
            size = clipped(rule.size, shapes[name])
            fitting = math.prod(end // extent for end, extent in zip(shapes[name], size, strict=True))
            room += min(fitting, int(self.cases.counts[name].sum()))
        budget = study.start + study.query * (study.loops - 1)
        if budget > room:
            raise UsageError(
                f"study {study.id}: {budget} patches of {rule.size} are asked for in all, but at most {room} fit the pool "
                f"without overlap; take fewer or smaller patches."
            )
        labelled = sum(bool(self.cases.counts[name].any()) for name in self.cases.pool)
        if study.query > rule.max_per_image * labelled:
            raise UsageError(
                f"study {study.id}: a query of {study.query} patches is more than {rule.max_per_image} of each of "
                f"the {labelled} images with labels; raise max_per_image."
            )


def _nulls(value: Any) -> Any:
    """The value with None for NaN (the Dice of a class that no case has), because JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _nulls(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_nulls(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def slices(box: tuple[Corner, Size]) -> tuple[slice, ...]:
    corner, size = box
    return tuple(slice(low, low + extent) for low, extent in zip(corner, size, strict=True))


def open_cases(setting: Setting, scratch: Path) -> Cases:
    """The volumes of a setting, all read and checked once; `scratch` is a folder for what is computed from them.

    A pool must have every class in at least two images, as cross-validation over images needs. Raises UsageError for
    data that cannot be used, with the file; IntegrityError for pinned files that were changed.
    """
    cases: Cases
    if isinstance(setting.dataset, TemplateVolumes):
        path, _ = setting.protocol.verified(setting.dataset.cases)
        cases = TemplateCases(path)
    elif isinstance(setting.dataset, RawFolder):
        folder = setting.protocol.locate(setting.dataset.folder)
        pinned = setting.protocol.verified(setting.dataset.cases)[0] if setting.dataset.cases else None
        cases = RawFolderCases(setting.dataset, folder, pinned, scratch)
    else:
        raise TypeError(f"{setting.dataset.id} holds no volumes")
    _check_classes(cases)
    return cases


def _check_classes(cases: Cases) -> None:
    import numpy as np

    if not cases.pool or not cases.held_out:
        empty = "pool" if not cases.pool else "held-out part"
        raise UsageError(f"the {empty} of the data set has no case; it needs some of both kinds.")
    if not any(cases.counts[name].any() for name in cases.held_out):
        raise UsageError(
            "no held-out case has any label that is not to be ignored; hold out cases that are labelled, as `cases` or "
            "imagesVal says."
        )
    present = np.array([cases.counts[name] > 0 for name in cases.pool])
    if not present[:, 1:].any():
        raise UsageError("no image of the pool has any foreground; check the label files, there is nothing to learn.")
    for number, name in enumerate(cases.classes):
        if (images := int(present[:, number].sum())) < 2:
            raise UsageError(
                f"class {number} ({name}) is in {images} of the {len(cases.pool)} pool images; cross-validation needs "
                f"it in two: add cases that show it, or merge it with another class."
            )
