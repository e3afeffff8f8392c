"""The campaign: train, evaluate, ask what to annotate, reveal its labels, and again.

One engine for both tasks. It is resumable by construction: every training, every evaluation and every query is a file
in the campaign's folder before the next thing begins, and what is there is not done again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from harness.data.catalog import cache_folder
from harness.data.scratch import offered_folder, private_folder
from harness.storage import (
    IntegrityError,
    array_id,
    content_id,
    make_folder,
    read_arrays,
    read_json,
    write_arrays,
    write_json,
)
from harness.tracks.base import Answers
from harness.tracks.query.order import with_own_names

if TYPE_CHECKING:
    import numpy as np

    Weights = Mapping[str, np.ndarray]
    """What a trained network is rebuilt from."""
    Report = Callable[[str, float], None]
    """What is being done, and the share of it that is done."""

PICKS, EVALUATION, EFFORT = "picks.", "evaluation.", "effort."
"""Answers of a campaign: `picks.<loop>` (budget, k) int64 as `Ledger` says; `evaluation.<name>` and `effort.<name>`
(loops, ...), one entry a loop."""


@dataclass(frozen=True)
class PoolOffer:
    """A pool as the method's process opens it: a description, and a folder of `.npy` files that it maps into memory.

    All of it is in the order of `harness.tracks.query.order`, and so are the times at which files are written.
    segmentation: `meta` has `images` (a list of name, shape, annotated boxes [corner, size], where it was needed the
    `source`), `patch_size`, `stride`, `max_per_image`; files are `<i>.probabilities.npy` (members, classes, *shape) float32, `<i>.labels.npy` (*shape)
    int16 with -1 for unknown, of images with `partly_labelled` also `<i>.annotatable.npy` (*shape) bool, which is False
    where no label can be bought, and where they were needed `<i>.image.npy` (channels, *shape) float32 and
    `<i>.features.npy` (d, *coarse) float32, which covers the image evenly.
    classification: files are `probabilities.npy` (members, classes, n) float32, `labelled_targets.npy` (labelled,)
    int64, and where they were needed `features.npy` (n, d), `labelled_features.npy` (labelled, d), `inputs.npy`
    (n, c, h, w), `labelled_inputs.npy`, all float32, and `rows.npy` (n,), `labelled_rows.npy` int64. Both have `task`,
    `classes` and `folder` in `meta`.
    """

    meta: Mapping[str, Any]
    names: Mapping[str, str] = field(default_factory=dict)
    """Neutral names of volumes -> the data set's: for sentences to the user; the method's process is not told."""


class Ledger(Protocol):
    """What of the data of one setting and seed can be bought, what was bought, and what it reveals.

    Picks are what was asked for, (n, k) int64: of images (n, 1), rows of the pool; of patches (n, 1 + 2 axes), the
    index of the image in the sorted pool, the low corner, and the size. Everything is a function of the arguments, the
    setting and the seed: the same call gives the same answer.
    """

    def start(self) -> np.ndarray:
        """The first picks, which are the same for every strategy. Raises UsageError where they cannot be made."""
        ...

    def parse(self, answer: np.ndarray, picks: Sequence[np.ndarray], budget: int) -> np.ndarray:
        """A strategy's answer as picks: (budget, 1) numbers of the pool as it was offered after these picks, or
        (budget, 1 + axes) number of the offered image and low corner. Raises ValueError with a sentence, by the names
        that were offered, for one that is no valid query."""
        ...

    def check(self, picks: np.ndarray, before: Sequence[np.ndarray], budget: int) -> None:
        """Raise ValueError with a sentence unless stored picks are a query that `parse` could have given."""
        ...

    def effort(self, picks: Sequence[np.ndarray]) -> Answers:
        """How much is annotated, and of how much, by name."""
        ...

    def write_summary(self, folder: Path, picks: np.ndarray, loop: int, evaluation: Answers) -> None:
        """A loop in the formats of the field, for other tools: `loop_000.json` with the picks that it added (see
        `loop_files`), and `loop_000/summary.json` with what the networks of this loop were worth."""
        ...


class Learner(Ledger, Protocol):
    """The networks of one setting and seed beside its ledger."""

    trainings: int
    """Networks that are trained in a loop."""

    @property
    def identity(self) -> str:
        """Hash of all that a training depends on but the picks: data, constants, seed, device, code."""
        ...

    def train(self, loop: int, network: int, picks: Sequence[np.ndarray], report: Report) -> Weights:
        """Network number `network` of a loop, trained on what the picks reveal."""
        ...

    def evaluate(self, loop: int, weights: Sequence[Weights], picks: Sequence[np.ndarray]) -> Answers:
        """What the ensemble does on held-out data: `predictions` (n,) of images, or `counts` (cases, classes, 4)."""
        ...

    def offer(
        self, loop: int, weights: Sequence[Weights], picks: Sequence[np.ndarray], folder: Path, *, oracle: bool
    ) -> PoolOffer:
        """Write what a strategy may see into a folder. Only an oracle finds the labels of unlabelled data there."""
        ...


Ask = Callable[[int, PoolOffer], "np.ndarray"]
"""A strategy: the loop and the pool in, its answer out as `Ledger.parse` takes it. Raises MethodError."""


@dataclass(frozen=True)
class Campaign:
    """What is bought when: `start` picks, then `query` more after every training but the last of `loops`."""

    loops: int
    query: int
    oracle: bool = False


def run_campaign(campaign: Campaign, learner: Learner, ask: Ask, folder: Path, report: Report) -> Answers:
    """Take a campaign to its end, from wherever it was left in `folder`.

    A kill at any instant loses at most the network that was being trained, or an evaluation. Raises MethodError as
    `ask` does, UsageError, IntegrityError, StorageError; what was done before stays.
    """
    import numpy as np

    state = _State(folder)
    picks: list[np.ndarray] = []
    evaluations: list[Answers] = []
    for loop in range(campaign.loops):
        stage = _Stage(campaign, learner, state, loop, report)
        picks.append(stage.picks(picks, ask))
        evaluations.append(stage.evaluation(picks))
    efforts = [learner.effort(picks[: loop + 1]) for loop in range(campaign.loops)]
    return {
        **{f"{PICKS}{loop}": each for loop, each in enumerate(picks)},
        **{EVALUATION + name: np.stack([each[name] for each in evaluations]) for name in evaluations[0]},
        **{EFFORT + name: np.stack([each[name] for each in efforts]) for name in efforts[0]},
    }


class _Stage:
    """One loop: first its picks are there, then its networks, then their evaluation."""

    def __init__(self, campaign: Campaign, learner: Learner, state: _State, loop: int, report: Report) -> None:
        self._campaign, self._learner, self._state, self._loop = campaign, learner, state, loop
        self._tell = report

    def picks(self, before: Sequence[np.ndarray], ask: Ask) -> np.ndarray:
        """What is annotated for this loop's training, asked for with the networks of the loop before."""
        picks = self._state.picks(self._loop)
        if picks is None:
            picks = self._asked(before, ask) if self._loop else self._learner.start()
            self._state.write_picks(self._loop, picks)
        if self._loop:
            self._state.forget_networks(self._loop - 1)
        return picks

    def _asked(self, before: Sequence[np.ndarray], ask: Ask) -> np.ndarray:
        from harness.methods.client import MethodError

        weights = self._networks(self._loop - 1, before)
        self._report("asking the strategy", self._loop)
        # What an oracle reads tells all labels; it is asked in this process.
        with private_folder() if self._campaign.oracle else offered_folder() as folder:
            offer = self._learner.offer(self._loop - 1, weights, before, folder, oracle=self._campaign.oracle)
            which = f"query {self._loop} of {self._campaign.loops - 1}"
            try:
                answer = ask(self._loop - 1, offer)
                return self._learner.parse(answer, before, self._campaign.query)
            except MethodError as error:
                raise MethodError(error.status, f"{which}: {with_own_names(error.reason, offer.names)}") from error
            except ValueError as error:
                raise MethodError("invalid", f"{which}: {with_own_names(str(error), offer.names)}") from error

    def evaluation(self, picks: Sequence[np.ndarray]) -> Answers:
        """How good the networks of this loop are on held-out data."""
        evaluation = self._state.evaluation(self._loop)
        if evaluation is None:
            weights = self._networks(self._loop, picks)
            self._report("evaluating", self._loop + 0.95)
            evaluation = self._learner.evaluate(self._loop, weights, picks)
            self._learner.write_summary(self._state.folder, picks[self._loop], self._loop, evaluation)
            self._state.write_evaluation(self._loop, evaluation)
        if self._loop == self._campaign.loops - 1:
            self._state.forget_networks(self._loop)
        return evaluation

    def _networks(self, loop: int, picks: Sequence[np.ndarray]) -> list[Weights]:
        return [self._network(loop, number, picks) for number in range(self._learner.trainings)]

    def _network(self, loop: int, number: int, picks: Sequence[np.ndarray]) -> Weights:
        """A trained network: from the campaign's folder, for the common start from the cache, or trained now."""
        path = self._path(loop, number, picks)
        with contextlib.suppress(IntegrityError):  # a damaged network is trained again
            if path.is_file():
                return read_arrays(path)
        count = self._learner.trainings

        def report(what: str, share: float) -> None:
            of = f", network {number + 1} of {count}" if count > 1 else ""
            self._report(f"training{of}{what and ', '}{what}", loop + 0.9 * (number + share) / count)

        report("", 0.0)
        weights = self._learner.train(loop, number, picks, report)
        make_folder(path.parent)
        write_arrays(path, weights, compressed=False)
        return weights

    def _path(self, loop: int, number: int, picks: Sequence[np.ndarray]) -> Path:
        if loop > 0:
            return self._state.network(loop, number)
        # Every strategy begins alike: the first networks of a seed are trained once.
        key = content_id([self._learner.identity, number, [array_id(each) for each in picks]])
        return cache_folder() / "networks" / f"{key}.npz"

    def _report(self, what: str, done: float) -> None:
        self._tell(f"loop {int(done) + 1} of {self._campaign.loops}: {what}", done / self._campaign.loops)


class _State:
    """The files of a campaign. `picks_000.json`, `loop_000/evaluation.npz`, `loop_000/network_0.npz`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def picks(self, loop: int) -> np.ndarray | None:
        import numpy as np

        path = self.folder / f"picks_{loop:03d}.json"
        return np.asarray(read_json(path)["picks"], dtype=np.int64) if path.is_file() else None

    def write_picks(self, loop: int, picks: np.ndarray) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / f"picks_{loop:03d}.json", {"picks": picks.tolist()})

    def evaluation(self, loop: int) -> Answers | None:
        path = self._loop(loop) / "evaluation.npz"
        return read_arrays(path) if path.is_file() else None

    def write_evaluation(self, loop: int, evaluation: Answers) -> None:
        self._loop(loop).mkdir(parents=True, exist_ok=True)
        write_arrays(self._loop(loop) / "evaluation.npz", evaluation)

    def network(self, loop: int, number: int) -> Path:
        return self._loop(loop) / f"network_{number}.npz"

    def forget_networks(self, loop: int) -> None:
        """They have said all that they were trained for."""
        for path in self._loop(loop).glob("network_*.npz"):
            path.unlink()

    def _loop(self, loop: int) -> Path:
        return self.folder / f"loop_{loop:03d}"
