"""nnU-Net in a campaign: trained on patches of a pool, evaluated on held-out volumes.

The protocol is nnActive's (Traub et al. 2025, https://github.com/MIC-DKFZ/nnActive): cross-validation over the images
that have a patch, all networks from scratch in each loop, their ensemble for evaluation and as the committee.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import math
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.spec.errors import UsageError
from harness.spec.method import PoolPart
from harness.spec.query import NnUNetTraining
from harness.storage import array_id, content_id, read_json, write_json
from harness.tracks.base import Outputs
from harness.tracks.query.campaign import PoolOffer
from harness.tracks.query.geometry import Corner, Patch, Size, by_image, check_patches, clipped, within
from harness.tracks.query.segmentation.cases import LabelMaps, open_cases
from harness.tracks.query.sources import Setting

if TYPE_CHECKING:
    import numpy as np

    from harness.tracks.query.segmentation.plans import Plan
    from harness.tracks.query.segmentation.prediction import Weights
    from harness.tracks.query.segmentation.trainer import PreparedCase

TRAINING_VERSION = 1
"""Raised with every change of code that may change weights."""

Report = Callable[[str, float], None]


class SegmentationLearner:
    """See `harness.tracks.query.campaign.Learner`."""

    def __init__(self, setting: Setting, seed: int, needs: Collection[PoolPart], device: str) -> None:
        _require_nnunet()
        training, rule = setting.training, setting.study.patches
        if not isinstance(training, NnUNetTraining) or rule is None:
            raise TypeError(f"study {setting.study.id} is not one of segmentation")
        self._setting, self._seed, self._needs, self._device = setting, seed, frozenset(needs), device
        self._training, self._rule = training, rule
        self._scratch = tempfile.TemporaryDirectory(prefix="harness-volumes-")
        self._cases = open_cases(setting, Path(self._scratch.name))
        self._check_room()
        self._plan: tuple[str, Plan] | None = None
        self._prepared: dict[str, tuple[list[Any], PreparedCase]] = {}
        self.trainings = training.trainings
        self.file_ending = self._cases.file_ending
        self.identity = content_id(
            [
                TRAINING_VERSION,
                self._cases.identity,
                training.model_dump(mode="json", exclude={"id"}),
                seed,
                device,
                {name: importlib.metadata.version(name) for name in ("nnunetv2", "torch")},
            ]
        )

    def start(self) -> np.ndarray:
        import numpy as np

        from harness.tracks.query.sampling import starting_patches

        study = self._setting.study
        if study.starts is not None:
            path, _ = self._setting.protocol.verified(study.starts)
            return self._picks(self._pinned_start(path))
        rng = np.random.default_rng(self._seed)
        try:
            patches = starting_patches(LabelMaps(self._cases), self._rule.size, study.start, rng)
        except ValueError as error:
            raise UsageError(f"study {study.id} has no start of {study.start} patches: {error}") from error
        return self._picks(patches)

    def train(self, loop: int, network: int, picks: Sequence[np.ndarray], report: Report) -> Weights:
        from harness.tracks.query.segmentation.folds import make_folds
        from harness.tracks.query.segmentation.trainer import Split, train_network

        plan = self._planned(picks)
        boxes = self._boxes(picks)
        folds = make_folds({name: self._classes(name, of) for name, of in boxes.items()}, self.trainings)
        prepared = {name: self._prepare(plan, name, of) for name, of in boxes.items()}
        held = {name: prepared[name] for name in folds[network]}
        split = Split({name: case for name, case in prepared.items() if name not in held}, held)
        seed = int(content_id([self._seed, loop, network])[:15], 16)
        return train_network(plan, self._training, split, seed, self._device, report)

    def evaluate(self, loop: int, weights: Sequence[Weights], picks: Sequence[np.ndarray]) -> Outputs:
        import numpy as np

        from harness.metrics.segmentation import segmentation_counts
        from harness.tracks.query.segmentation.prediction import Window, ensemble_probabilities
        from harness.tracks.query.segmentation.trainer import deterministic

        plan, training = self._planned(picks), self._training
        mirroring = training.mirroring and training.mirrored_predictions
        counts = []
        with deterministic(0):
            window = Window(plan, self._device, training.validation_window_step, mirroring=mirroring)
            for name in self._cases.held_out:
                probabilities = ensemble_probabilities(window, plan.network_input(self._cases.image(name)), weights)
                labels = self._cases.labels(name)
                counts.append(segmentation_counts(probabilities.argmax(axis=0), labels, len(self._cases.classes)))
        return {"counts": np.stack(counts)}

    def effort(self, picks: Sequence[np.ndarray]) -> Outputs:
        import numpy as np

        classes = len(self._cases.classes)
        voxels: np.ndarray = np.zeros(classes, dtype=np.int64)
        patches = np.zeros_like(voxels)
        boxes = self._boxes(picks)
        for name, of in boxes.items():
            labels = self._cases.labels(name)
            for box in of:
                found = np.bincount(labels[_slices(box)].ravel(), minlength=classes)
                voxels += found
                patches += found > 0
        return {
            "voxels": voxels,
            "patches": patches,
            "images": np.array(len(boxes), dtype=np.int64),
            "total_patches": np.array(sum(len(of) for of in boxes.values()), dtype=np.int64),
            "pool_voxels": np.sum([self._cases.counts[name] for name in self._cases.pool], axis=0).astype(np.int64),
            "pool_images": np.array(len(self._cases.pool), dtype=np.int64),
        }

    def offer(
        self, loop: int, weights: Sequence[Weights], picks: Sequence[np.ndarray], folder: Path, *, oracle: bool
    ) -> PoolOffer:
        import numpy as np

        from harness.tracks.query.segmentation.offering import write_offer
        from harness.tracks.query.segmentation.prediction import Window
        from harness.tracks.query.segmentation.trainer import deterministic

        plan = self._planned(picks)
        boxes = self._boxes(picks)
        images = []
        with deterministic(0):
            window = Window(plan, self._device, self._training.window_step)
            for number, name in enumerate(self._cases.pool):
                case = plan.network_input(self._cases.image(name))
                write_offer(folder / str(number), window, plan, case, weights, self._needs)
                labels = self._cases.labels(name) if oracle else self._known(name, boxes.get(name, []), unknown=-1)
                np.save(folder / f"{number}.labels.npy", np.asarray(labels, dtype=np.int16), allow_pickle=False)
                annotated = [[list(corner), list(size)] for corner, size in boxes.get(name, [])]
                images.append({"name": name, "shape": list(self._cases.shapes[name]), "annotated": annotated})
        meta = {
            "task": "segmentation",
            "classes": len(self._cases.classes),
            "folder": str(folder),
            "images": images,
            "patch_size": list(self._rule.size),
            "stride": list(self._rule.stride),
            "max_per_image": self._rule.max_per_image,
        }
        return PoolOffer(meta)

    def parse(self, answer: np.ndarray, picks: Sequence[np.ndarray], budget: int) -> np.ndarray:
        import numpy as np

        rows = np.asarray(answer)
        axes = len(self._rule.size)
        if rows.ndim != 2 or rows.shape[1] != 1 + axes or rows.dtype.kind not in "iu":
            raise ValueError(
                f"patches are rows of {1 + axes} integers, the image's number and the low corner, not an array of "
                f"shape {rows.shape} and {rows.dtype}."
            )
        pool, shapes = self._cases.pool, self._cases.shapes
        patches = []
        for number, *corner in rows.tolist():
            if not 0 <= number < len(pool):
                raise ValueError(f"image {number} is not in the pool, which has images 0 to {len(pool) - 1}.")
            patches.append(Patch(pool[number], tuple(corner), clipped(self._rule.size, shapes[pool[number]])))
        check_patches(patches, shapes, self._boxes(picks), budget)
        return self._picks(patches)

    def write_summary(self, folder: Path, picks: np.ndarray, loop: int, evaluation: Outputs) -> None:
        from harness.metrics.segmentation import segmentation_summary
        from harness.tracks.query.loop_files import write_loop

        write_loop(folder, loop, self.patches([picks]), self._cases.file_ending)
        inside = folder / f"loop_{loop:03d}"
        inside.mkdir(parents=True, exist_ok=True)
        files = [(name + self._cases.file_ending,) * 2 for name in self._cases.held_out]
        write_json(inside / "summary.json", _nulls(segmentation_summary(evaluation["counts"], files)))

    def everything(self) -> np.ndarray:
        """Picks that reveal the whole pool."""
        return self._picks([Patch(name, (0,) * len(self._rule.size), "whole") for name in self._cases.pool])

    def _boxes(self, picks: Sequence[np.ndarray]) -> dict[str, list[tuple[Corner, Size]]]:
        """What is annotated of each image."""
        boxes = by_image(self.patches(picks))
        return {name: [within(box, self._cases.shapes[name]) for box in of] for name, of in boxes.items()}

    def _planned(self, picks: Sequence[np.ndarray]) -> Plan:
        """The plan of the campaign, which knows the start only and stays as it is."""
        from harness.tracks.query.segmentation.plans import make_plan

        key = array_id(picks[0])
        if self._plan is None or self._plan[0] != key:
            boxes = self._boxes(picks[:1])
            plan = make_plan(self._cases, lambda name: self._known(name, boxes.get(name, [])), self._training)
            self._plan = key, plan
            self._prepared.clear()
        return self._plan[1]

    def _prepare(self, plan: Plan, name: str, boxes: Sequence[tuple[Corner, Size]]) -> PreparedCase:
        """A case with these boxes annotated, on disk; what was prepared for the same boxes is not prepared again."""
        from harness.tracks.query.segmentation.trainer import prepare_case

        done = self._prepared.get(name)
        if done is None or done[0] != boxes:
            case = plan.network_input(self._cases.image(name), self._known(name, boxes))
            done = self._prepared[name] = list(boxes), prepare_case(case, Path(self._scratch.name) / name)
        return done[1]

    def _known(self, name: str, boxes: Sequence[tuple[Corner, Size]], unknown: int | None = None) -> np.ndarray:
        """(z, y, x) int16 with `unknown` outside of the boxes, by default the ignore label."""
        import numpy as np

        labels = self._cases.labels(name)
        known = np.full(labels.shape, len(self._cases.classes) if unknown is None else unknown, dtype=np.int16)
        for box in boxes:
            known[_slices(box)] = labels[_slices(box)]
        return known

    def _classes(self, name: str, boxes: Sequence[tuple[Corner, Size]]) -> set[int]:
        import numpy as np

        labels = self._cases.labels(name)
        return {int(label) for box in boxes for label in np.unique(labels[_slices(box)])}

    def _pinned_start(self, path: Path) -> list[Patch]:
        study, ending = self._setting.study, self._cases.file_ending
        starts = read_json(path)
        if not isinstance(starts, Mapping) or str(self._seed) not in starts:
            raise UsageError(f"{path} pins no start for seed {self._seed}; add it, or leave `starts` out.")
        try:
            rows = starts[str(self._seed)]["patches"]
            patches = [
                Patch(row["file"].removesuffix(ending), tuple(map(int, row["coords"])), tuple(map(int, row["size"])))
                for row in rows
            ]
            check_patches(patches, {name: self._cases.shapes[name] for name in self._cases.pool}, None, study.start)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UsageError(f"{path}: the start of seed {self._seed} is no valid one: {error}") from error
        return patches

    def _picks(self, patches: Sequence[Patch]) -> np.ndarray:
        import numpy as np

        number = {name: place for place, name in enumerate(self._cases.pool)}
        boxes = [(number[patch.image], *within(patch.box, self._cases.shapes[patch.image])) for patch in patches]
        return np.array([[image, *corner, *size] for image, corner, size in boxes], dtype=np.int64)

    def patches(self, picks: Sequence[np.ndarray]) -> list[Patch]:
        """Picks as patches of images by name."""
        axes = len(self._rule.size)
        return [
            Patch(self._cases.pool[number], tuple(box[:axes]), tuple(box[axes:]))
            for each in picks
            for number, *box in each.tolist()
        ]

    def _check_room(self) -> None:
        """Whether the budgets can be spent: patches that are larger than an image are clipped to it."""
        study, rule, shapes = self._setting.study, self._rule, self._cases.shapes
        axes = len(shapes[self._cases.pool[0]])
        if len(rule.size) != axes:
            raise UsageError(
                f"study {study.id}: patches have {len(rule.size)} axes, images have {axes}; give (z, y, x)."
            )
        room = 0
        for name in self._cases.pool:
            size = clipped(rule.size, shapes[name])
            room += math.prod(end // extent for end, extent in zip(shapes[name], size, strict=True))
        budget = study.start + study.query * (study.loops - 1)
        if budget > room:
            raise UsageError(
                f"study {study.id}: {budget} patches of {rule.size} are bought in all, but at most {room} fit the pool "
                f"without overlap; take fewer or smaller patches."
            )
        if study.query > rule.max_per_image * len(self._cases.pool):
            raise UsageError(
                f"study {study.id}: a query of {study.query} patches is more than {rule.max_per_image} of each of "
                f"the {len(self._cases.pool)} images; raise max_per_image."
            )


def _nulls(value: Any) -> Any:
    """JSON has no nan, which stands for the Dice of a class that nobody saw: null instead."""
    if isinstance(value, dict):
        return {key: _nulls(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_nulls(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _slices(box: tuple[Corner, Size]) -> tuple[slice, ...]:
    corner, size = box
    return tuple(slice(low, low + extent) for low, extent in zip(corner, size, strict=True))


def _require_nnunet() -> None:
    needed = ("nnunetv2", "SimpleITK")
    if missing := [name for name in needed if importlib.util.find_spec(name) is None]:
        raise UsageError(
            f"segmentation needs {missing[0]}, which is not installed: pip install 'reliabench[query]' or `make query`."
        )
