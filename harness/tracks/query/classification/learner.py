"""Campaigns on pools of images: the learner of a classification setting and seed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.catalog import cache_folder
from harness.spec.errors import UsageError
from harness.spec.query import ClassifierTraining, QueryBenchmark
from harness.storage import array_id, content_id, write_json
from harness.tracks.base import Answers
from harness.tracks.cache import cached_arrays
from harness.tracks.query.campaign import PoolOffer
from harness.tracks.query.classification.data import open_images
from harness.tracks.query.classification.performance import accuracy, balanced_accuracy
from harness.tracks.query.classification.starts import first_images
from harness.tracks.query.loop_files import write_images
from harness.tracks.query.order import shown_order

if TYPE_CHECKING:
    import numpy as np

    from harness.spec.method import PoolPart
    from harness.tracks.query.campaign import Report, Weights
    from harness.tracks.query.classification.training import Trainer
    from harness.tracks.query.sources import Setting


_MOST_BYTES = 1 << 36  # of an encoder
_ENOUGH = 1000  # images that stand for a pool where its contents are hashed
TRAINING_VERSION = 2
"""Raised with every change after which a training, of networks or encoders, gives other weights."""


class ClassificationLearner:
    """See `harness.tracks.query.campaign.Learner`. Picks are rows (n, 1) of the pool, which is in ascending order.

    One network is trained in a loop. It is evaluated without dropout; its committee, which strategies see, are
    sub-networks under dropout masks that are the same for all images of a pool and other ones in each loop.
    """

    trainings = 1

    def __init__(self, setting: Setting, seed: int, needs: Collection[PoolPart], device: str) -> None:
        training, study = setting.training, setting.study
        if not isinstance(training, ClassifierTraining):
            raise TypeError(f"{training.id} is no training of classifiers")
        if training.batch_size < 2:
            raise UsageError(
                f"training {training.id}: networks with batch normalisation need a batch_size of 2 or more."
            )
        self._images = open_images(setting, seed)
        bought, size = study.start + study.query * (study.loops - 1), len(self._images.pool_targets)
        if bought > size:
            raise UsageError(
                f"study {study.id} asks for {bought} labels in {study.loops} loops, but the pool of {setting.dataset.id} has "
                f"{size} images; make start, query or loops smaller."
            )
        self._setting, self._training, self._seed, self._device = setting, training, seed, device
        self._needs = frozenset(needs)
        self._performance = setting.protocol.of(QueryBenchmark).performance
        asked = training.committee == "always" or "members" in self._needs
        self._dropout = training.dropout if asked else 0.0
        self._members = training.members if asked else 1

    @cached_property
    def identity(self) -> str:
        constants = self._training.model_dump(mode="json", exclude={"id"})
        return self._key([constants, self._dropout, self._performance, self._setting.study.validation])

    def start(self) -> np.ndarray:
        return first_images(self._setting, self._seed, self._images.pool_targets, self._images.classes)[:, None]

    def train(self, loop: int, network: int, picks: Sequence[np.ndarray], report: Report) -> Weights:
        if self._training.pretraining is None:
            return self._trainer.train(_rows(picks), (self._seed, loop, network), None, report)
        encoder = self._encoder(lambda what, share: report(what, share / 2))
        return self._trainer.train(
            _rows(picks), (self._seed, loop, network), encoder, lambda what, share: report(what, (1 + share) / 2)
        )

    def evaluate(self, loop: int, weights: Sequence[Weights], picks: Sequence[np.ndarray]) -> Answers:
        import numpy as np

        from harness.tracks.query.classification.optimisation import reproducible
        from harness.tracks.query.classification.training import predictions

        with reproducible(self._device):
            found = predictions(self._trainer.rebuild(weights[0]), self._images.test_inputs, self._device)
        return {"predictions": found.astype(np.min_scalar_type(self._images.classes - 1))}

    def effort(self, picks: Sequence[np.ndarray]) -> Answers:
        """`labels` (classes,) and `images` () that are labelled, of `pool_images` ()."""
        import numpy as np

        targets = self._images.pool_targets[_rows(picks)]
        return {
            "labels": np.bincount(targets, minlength=self._images.classes).astype(np.int64),
            "images": np.asarray(len(targets), dtype=np.int64),
            "pool_images": np.asarray(len(self._images.pool_targets), dtype=np.int64),
        }

    def offer(
        self, loop: int, weights: Sequence[Weights], picks: Sequence[np.ndarray], folder: Path, *, oracle: bool
    ) -> PoolOffer:
        """Unlabelled images, and labelled ones, each in an order of this loop's own.

        No strategy for images reads labels of the pool, so an oracle finds what the others find.
        """
        import numpy as np

        known, open_ = _rows(picks), self._unlabelled(picks)
        places = {"": self._order(picks, "", len(open_)), "labelled_": self._order(picks, "labelled_", len(known))}
        files = {"labelled_targets": self._images.pool_targets[known[places["labelled_"]]]}
        # In the data's own order, because what is computed of an image may depend on its place in a batch.
        for name, array in self._seen_by_network(loop, weights[0], known, open_).items():
            shown = places["labelled_" if name.startswith("labelled_") else ""]
            files[name] = array.take(shown, axis=-1 if name == "probabilities" else 0)
        for part, rows in (("", open_), ("labelled_", known)):
            if "inputs" in self._needs:
                files[f"{part}inputs"] = self._images.pool_inputs[rows[places[part]]]
            if "names" in self._needs:
                files[f"{part}rows"] = rows[places[part]]
        for name, array in files.items():
            np.save(folder / f"{name}.npy", array, allow_pickle=False)
        return PoolOffer({"task": "classification", "classes": self._images.classes, "folder": str(folder)})

    def parse(self, answer: np.ndarray, picks: Sequence[np.ndarray], budget: int) -> np.ndarray:
        import numpy as np

        unlabelled = self._unlabelled(picks)
        rows = unlabelled[self._order(picks, "", len(unlabelled))]
        if answer.shape != (budget, 1):
            raise ValueError(f"it asks for {len(answer)} images in the shape {answer.shape}, not for {budget}")
        places = answer[:, 0]
        outside = places[(places < 0) | (places >= len(rows))]
        if len(outside):
            raise ValueError(f"it asks for image {outside[0]}; the pool has images 0 to {len(rows) - 1}")
        values, counts = np.unique(places, return_counts=True)
        if len(values) < budget:
            twice = values[counts > 1][0]
            raise ValueError(f"it asks for image {twice} more than once (row {rows[twice]} of the data set's pool)")
        chosen: np.ndarray = rows[places]
        return chosen[:, None]

    def check(self, picks: np.ndarray, before: Sequence[np.ndarray], budget: int) -> None:
        import numpy as np

        if picks.shape != (budget, 1):
            raise ValueError(f"it holds {len(picks)} images in the shape {picks.shape}, not {budget}")
        if not np.isin(picks, self._unlabelled(before)).all():
            raise ValueError("it holds images that are not in the pool or were labelled before")
        if len(np.unique(picks)) < budget:
            raise ValueError("it holds an image more than once")

    def write_summary(self, folder: Path, picks: np.ndarray, loop: int, evaluation: Answers) -> None:
        """`loop_000.json` with the rows of the pool that the loop added, `loop_000/summary.json` with accuracies."""
        predicted, targets, classes = evaluation["predictions"], self._images.test_targets, self._images.classes
        summary = {
            "accuracy": accuracy(predicted, targets, classes),
            "balanced_accuracy": balanced_accuracy(predicted, targets, classes),
        }
        (folder / f"loop_{loop:03d}").mkdir(parents=True, exist_ok=True)
        write_images(folder, loop, picks[:, 0].tolist())
        write_json(folder / f"loop_{loop:03d}" / "summary.json", summary)

    def _seen_by_network(
        self, loop: int, weights: Weights, labelled: np.ndarray, unlabelled: np.ndarray
    ) -> dict[str, np.ndarray]:
        """What the network makes of the pool, by the names that `PoolOffer` gives it."""
        from harness.tracks.query.classification.networks import dropout_masks
        from harness.tracks.query.classification.optimisation import reproducible
        from harness.tracks.query.classification.training import encoded

        inputs = self._images.pool_inputs
        with reproducible(self._device):
            network = self._trainer.rebuild(weights)
            features = encoded(network, inputs[unlabelled], self._device)
            masks = dropout_masks(self._members, network.width, self._dropout, [self._seed, loop])
            found = {"probabilities": network.committee(features, masks)}
            if "features" in self._needs:
                found["features"] = features
                found["labelled_features"] = encoded(network, inputs[labelled], self._device)
        return {name: tensor.cpu().numpy() for name, tensor in found.items()}

    def _unlabelled(self, picks: Sequence[np.ndarray]) -> np.ndarray:
        import numpy as np

        return np.setdiff1d(np.arange(len(self._images.pool_targets)), _rows(picks))

    def _order(self, picks: Sequence[np.ndarray], part: str, count: int) -> np.ndarray:
        """Places (count,) of the unlabelled images in ascending order of their rows, or of the labelled ones in the
        order in which they were picked: in the order in which a strategy sees them after these picks."""
        return shown_order(count, self._contents, self._seed, len(picks), part)

    @cached_property
    def _contents(self) -> str:
        return array_id(self._images.pool_inputs[:_ENOUGH])

    @cached_property
    def _trainer(self) -> Trainer:
        from harness.tracks.query.classification.training import Trainer

        return Trainer(self._images, self._training, self._performance, self._dropout, self._device)

    def _encoder(self, report: Report) -> Weights:
        """Pre-trained once for the data, the constants, the seed and the device; then from the cache."""
        from harness.tracks.query.classification.pretraining import pretrain

        spec = self._training.pretraining
        assert spec is not None
        path = cache_folder() / "encoders" / f"{self._key([self._training.network, spec.canonical()])}.npz"
        return cached_arrays(
            path, lambda: pretrain(self._images, self._training, self._seed, self._device, report), _MOST_BYTES
        )

    def _key(self, constants: list[object]) -> str:
        """Hash of the data, the seed, the device, the code, and these constants."""
        from importlib.metadata import version

        code = [TRAINING_VERSION, version("torch"), version("numpy")]
        return content_id([self._data, self._seed, self._device, code, constants])

    @cached_property
    def _data(self) -> list[object]:
        """What the data set is, and what is in its files, which may be large."""
        protocol, dataset = self._setting.protocol, self._setting.dataset
        files = {file.path: protocol.verified(file)[1] for file in dataset.files}
        return [dataset.model_dump(mode="json", exclude={"id"}), files]


def _rows(picks: Sequence[np.ndarray]) -> np.ndarray:
    import numpy as np

    return np.concatenate([each[:, 0] for each in picks])
