"""nnU-Net in a campaign: trained on patches of a pool, evaluated on held-out volumes.

The protocol is nnActive's (Traub et al. 2025, https://github.com/MIC-DKFZ/nnActive): cross-validation over the images
that have a patch, all networks from scratch in each loop, their ensemble for evaluation and as the committee.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.spec.errors import UsageError
from harness.spec.method import PoolPart
from harness.spec.query import NnUNetTraining
from harness.storage import array_id, content_id
from harness.tracks.base import Answers
from harness.tracks.query.campaign import PoolOffer
from harness.tracks.query.geometry import Corner, Size
from harness.tracks.query.segmentation.cases import UNLABELLED, scored_classes
from harness.tracks.query.segmentation.kept import keep_segmentation
from harness.tracks.query.segmentation.ledger import PatchLedger, slices
from harness.tracks.query.sources import Setting

if TYPE_CHECKING:
    import numpy as np

    from harness.tracks.query.segmentation.plans import NetworkInput, NetworkPlan
    from harness.tracks.query.segmentation.prediction import Weights, Window
    from harness.tracks.query.segmentation.trainer import PreparedCase

TRAINING_VERSION = 1
"""Raised with every change of code that may change weights."""

Report = Callable[[str, float], None]


class SegmentationLearner:
    """See `harness.tracks.query.campaign.Learner`."""

    def __init__(
        self, setting: Setting, seed: int, needs: Collection[PoolPart], device: str, kept: Path | None = None
    ) -> None:
        require_nnunet()
        training = setting.training
        if not isinstance(training, NnUNetTraining):
            raise TypeError(f"{training.id} is no training for segmentation")
        self._training, self._seed, self._needs, self._device = training, seed, frozenset(needs), device
        self.ledger = PatchLedger(setting, seed)
        self._cases, self._rule = self.ledger.cases, self.ledger.rule
        self._kept = kept
        self._plan: tuple[str, NetworkPlan] | None = None
        self._prepared: dict[str, tuple[list[Any], PreparedCase]] = {}
        self.trainings = training.trainings
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
        return self.ledger.start()

    def parse(self, answer: np.ndarray, picks: Sequence[np.ndarray], budget: int) -> np.ndarray:
        return self.ledger.parse(answer, picks, budget)

    def check(self, picks: np.ndarray, before: Sequence[np.ndarray], budget: int) -> None:
        self.ledger.check(picks, before, budget)

    def effort(self, picks: Sequence[np.ndarray]) -> Answers:
        return self.ledger.effort(picks)

    def train(self, loop: int, network: int, picks: Sequence[np.ndarray], report: Report) -> Weights:
        from harness.tracks.query.segmentation.folds import make_folds
        from harness.tracks.query.segmentation.trainer import Split, train_network

        plan = self._planned(picks)
        boxes = self.ledger.boxes(picks)
        folds = make_folds({name: self._classes(name, of) for name, of in boxes.items()}, self.trainings)
        prepared = {name: self._prepare(plan, name, of) for name, of in boxes.items()}
        held = {name: prepared[name] for name in folds[network]}
        split = Split({name: case for name, case in prepared.items() if name not in held}, held)
        seed = int(content_id([self._seed, loop, network])[:15], 16)
        return train_network(plan, self._training, split, seed, self._device, report)

    def evaluate(self, loop: int, weights: Sequence[Weights], picks: Sequence[np.ndarray]) -> Answers:
        import numpy as np

        from harness.metrics.segmentation import segmentation_counts
        from harness.tracks.query.segmentation.prediction import Window, ensemble_outputs
        from harness.tracks.query.segmentation.trainer import deterministic

        plan, training = self._planned(picks), self._training
        mirroring = training.mirroring and training.mirrored_predictions
        counts = []
        with deterministic(0, self._device):
            window = Window(plan, self._device, training.validation_window_step, mirroring=mirroring)
            for number, name in enumerate(self._cases.held_out):
                found = ensemble_outputs(window, plan.network_input(self._cases.image(name)), weights)
                segmentation = plan.segmentation(found)
                if self._kept is not None:
                    keep_segmentation(self._kept, number, segmentation)
                of = (segmentation, self._cases.labels(name), len(self._cases.classes))
                counts.append(segmentation_counts(*of, ignore=UNLABELLED, regions=scored_classes(self._cases)))
        return {"counts": np.stack(counts)}

    def offer(
        self, loop: int, weights: Sequence[Weights], picks: Sequence[np.ndarray], folder: Path, *, oracle: bool
    ) -> PoolOffer:
        import numpy as np

        from harness.tracks.query.segmentation.prediction import Window
        from harness.tracks.query.segmentation.trainer import deterministic

        plan = self._planned(picks)
        boxes = self.ledger.boxes(picks)
        images = []
        with deterministic(0, self._device):
            window = Window(plan, self._device, self._training.window_step)
            for number, (shown, name) in enumerate(self.ledger.shown.items()):
                case = plan.network_input(self._cases.image(name))
                write_offer(folder / str(number), window, plan, case, weights, self._needs)
                truth = self._cases.labels(name)
                labels = truth if oracle else self._known(name, boxes.get(name, []), UNLABELLED)
                np.save(folder / f"{number}.labels.npy", np.asarray(labels, dtype=np.int16), allow_pickle=False)
                if partly := self.ledger.partly_labelled(name):
                    np.save(folder / f"{number}.annotatable.npy", truth != UNLABELLED, allow_pickle=False)
                annotated = [[list(corner), list(size)] for corner, size in boxes.get(name, [])]
                described = {"shape": list(self._cases.shapes[name]), "partly_labelled": partly}
                source = {"source": name} if "names" in self._needs else {}
                images.append({"name": shown, "annotated": annotated, **described, **source})
        meta = {
            "task": "segmentation",
            "classes": len(self._cases.classes),
            "folder": str(folder),
            "images": images,
            "patch_size": list(self._rule.size),
            "stride": list(self._rule.stride),
            "max_per_image": self._rule.max_per_image,
        }
        return PoolOffer(meta, self.ledger.shown)

    def write_summary(self, folder: Path, picks: np.ndarray, loop: int, evaluation: Answers) -> None:
        self.ledger.write_summary(folder, picks, loop, evaluation)

    def _planned(self, picks: Sequence[np.ndarray]) -> NetworkPlan:
        """The plan of the campaign, which knows the start only and stays as it is."""
        from harness.tracks.query.segmentation.plans import make_plan

        key = array_id(picks[0])
        if self._plan is None or self._plan[0] != key:
            boxes = self.ledger.boxes(picks[:1])
            plan = make_plan(self._cases, lambda name: self._known(name, boxes.get(name, [])), self._training)
            self._plan = key, plan
            self._prepared.clear()
        return self._plan[1]

    def _prepare(self, plan: NetworkPlan, name: str, boxes: Sequence[tuple[Corner, Size]]) -> PreparedCase:
        """A case with these boxes annotated, on disk; what was prepared for the same boxes is not prepared again."""
        from harness.tracks.query.segmentation.trainer import prepare_case

        done = self._prepared.get(name)
        if done is None or done[0] != boxes:
            case = plan.network_input(self._cases.image(name), self._known(name, boxes))
            done = self._prepared[name] = list(boxes), prepare_case(case, self.ledger.folder / name)
        return done[1]

    def _known(self, name: str, boxes: Sequence[tuple[Corner, Size]], unknown: int | None = None) -> np.ndarray:
        """(*shape) int16 with `unknown`, by default nnU-Net's ignore label, where nothing was bought or is labelled."""
        import numpy as np

        labels, absent = self._cases.labels(name), len(self._cases.classes) if unknown is None else unknown
        known = np.full(labels.shape, absent, dtype=np.int16)
        for box in boxes:
            inside = labels[slices(box)]
            known[slices(box)] = np.where(inside == UNLABELLED, absent, inside)
        return known

    def _classes(self, name: str, boxes: Sequence[tuple[Corner, Size]]) -> set[int]:
        import numpy as np

        labels = self._cases.labels(name)
        return {int(label) for box in boxes for label in np.unique(labels[slices(box)]) if label != UNLABELLED}


def write_offer(
    path: Path,
    window: Window,
    plan: NetworkPlan,
    case: NetworkInput,
    networks: Sequence[Weights],
    needs: Collection[PoolPart],
) -> None:
    """`<path>.probabilities.npy`, and `.features.npy` and `.image.npy` where they are needed; see `PoolOffer`.

    One network at a time: no more than the probabilities of one are in memory.
    """
    import numpy as np

    probabilities = None
    features = []
    for number, weights in enumerate(networks):
        member = window.probabilities(case, weights)
        if probabilities is None:
            shape = (len(networks), *member.shape)
            probabilities = np.lib.format.open_memmap(
                f"{path}.probabilities.npy", mode="w+", dtype=np.float32, shape=shape
            )
        probabilities[number] = member
        if "features" in needs:
            features.append(window.features(case, weights))
    if probabilities is not None:
        probabilities.flush()
    if features:
        np.save(f"{path}.features.npy", np.concatenate(features), allow_pickle=False)
    if "inputs" in needs:
        np.save(f"{path}.image.npy", plan.in_image(case.image, case.properties), allow_pickle=False)


def require_nnunet() -> None:
    """Raise UsageError that names the extra, where a package is missing."""
    needed = ("nnunetv2", "SimpleITK")
    if missing := [name for name in needed if importlib.util.find_spec(name) is None]:
        raise UsageError(
            f"segmentation needs {missing[0]}, which is not installed: pip install 'reliabench[query]' or `make query`."
        )
