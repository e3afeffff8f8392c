"""A learner small enough to be followed by hand: nearest class means of points in the plane."""

import json

import numpy as np

from harness.tracks.query.campaign import PoolOffer


class NearestMean:
    """Images are points (2,), of three classes. A network is the mean of each class over what is labelled, moved a
    little by the network's number, so that the networks of a loop differ."""

    trainings = 2

    def __init__(self, seed=0, size=60):
        rng = np.random.default_rng(seed)
        self.targets = rng.integers(3, size=size)
        self.inputs = rng.normal(size=(size, 2)) + 2.0 * np.eye(3)[self.targets][:, :2]
        self.test_targets = rng.integers(3, size=40)
        self.test_inputs = rng.normal(size=(40, 2)) + 2.0 * np.eye(3)[self.test_targets][:, :2]
        self.identity = f"{seed:064x}"
        self.trained = []

    def start(self):
        return np.array([[int(np.flatnonzero(self.targets == c)[0])] for c in range(3)])

    def train(self, loop, network, picks, report):
        report("half way", 0.5)
        self.trained.append((loop, network))
        known = np.concatenate(picks)[:, 0]
        means = [self.inputs[known][self.targets[known] == c].mean(axis=0) for c in range(3)]
        return {"means": np.array(means) + 0.05 * network, "known": known}

    def evaluate(self, loop, weights, picks):
        return {"predictions": self._probabilities(weights, self.test_inputs).mean(axis=0).argmax(axis=0)}

    def effort(self, picks):
        known = np.concatenate(picks)[:, 0]
        return {"labels": np.bincount(self.targets[known], minlength=3), "images": np.array(len(known))}

    def offer(self, loop, weights, picks, folder, *, oracle):
        np.save(folder / "probabilities.npy", self._probabilities(weights, self.inputs[self._left(picks)]))
        return PoolOffer({"task": "classification", "classes": 3, "folder": str(folder)})

    def parse(self, answer, picks, budget):
        if len(np.unique(answer)) != budget:
            raise ValueError(f"{len(np.unique(answer))} different images, the budget is {budget}.")
        return self._left(picks)[answer[:, 0]][:, None]

    def write_summary(self, folder, picks, loop, evaluation):
        (folder / f"loop_{loop:03d}").mkdir(exist_ok=True)
        (folder / f"loop_{loop:03d}.json").write_text(json.dumps({"images": picks[:, 0].tolist()}))

    def _left(self, picks):
        return np.setdiff1d(np.arange(len(self.inputs)), np.concatenate(picks))

    def _probabilities(self, weights, inputs):
        distance = np.stack([((inputs[None] - each["means"][:, None]) ** 2).sum(-1) for each in weights])
        scaled = np.exp(-distance)
        return (scaled / scaled.sum(axis=1, keepdims=True)).astype(np.float32)


def least_confident(loop, offer):
    """Four images whose mean probability of the likeliest class is lowest."""
    from pathlib import Path

    probabilities = np.load(Path(offer.meta["folder"]) / "probabilities.npy")
    return np.argsort(probabilities.mean(axis=0).max(axis=0), kind="stable")[:4, None]
