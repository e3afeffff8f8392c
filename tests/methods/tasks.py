"""Made-up classifiers whose outputs are known, and a baseline's confidence on them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from harness.methods.discovery import find_method, load_baseline
from harness.methods.outputs import LabelledOutputs, Outputs, Reference

CLASSES, FEATURES, MEMBERS = 4, 10, 7


@dataclass
class Task:
    """A linear classifier on clustered, non-negative features; all that a method may be given."""

    rng: np.random.Generator
    test: dict = field(init=False)
    train: dict | None = field(init=False)
    validation: dict | None = field(init=False)
    shared: dict = field(init=False)

    def __post_init__(self):
        self.centres = self.rng.uniform(0, 4, size=(CLASSES, FEATURES))
        weight = (self.centres - self.centres.mean(0)) / 2 + 0.1 * self.rng.normal(size=self.centres.shape)
        bias = -(weight * self.centres.mean(0)).sum(1) + 0.3 * self.rng.normal(size=CLASSES)
        self.shared = {"weight": weight.astype(np.float32), "bias": bias.astype(np.float32)}
        self.shared |= {"reservation_weight": -self.shared["weight"].sum(0, keepdims=True) / 9}
        self.shared |= {"reservation_bias": self.shared["bias"][:1] * 0}
        self.train, self.validation = (self.samples(count) for count in (1200, 300))
        self.test = self.samples(80)

    @classmethod
    def of(cls, test, shared=None, train=None, validation=None):
        """Exactly these arrays."""
        task = cls.__new__(cls)
        task.test, task.shared, task.train, task.validation = test, shared or {}, train, validation
        return task

    @classmethod
    def easy_and_hard(cls, rng):
        """Two test sets of one classifier: samples near their class mean, and samples between all of them."""
        task = cls(rng)
        centre = task.centres.mean(0)
        easy = task.samples(60, spread=0.3, unrest=0.1)
        hard = task.outputs(np.abs(centre + rng.normal(size=(60, FEATURES)) * 0.7), unrest=1.0)
        for part, (low, high) in ((easy, (0.8, 1)), (hard, (0, 0.5))):
            part["head_confidence"] = rng.uniform(low, high, 60)
            part["mc_head_confidence"] = rng.uniform(low, high, (MEMBERS, 60))
        return tuple(cls.of(part, task.shared, task.train, task.validation) for part in (easy, hard))

    def samples(self, count, spread=1.0, unrest=1.0):
        labels = self.rng.permutation(np.arange(count) % CLASSES)
        features = np.abs(self.centres[labels] + spread * self.rng.normal(size=(count, FEATURES)))
        return {**self.outputs(features, unrest), "labels": labels}

    def outputs(self, features, unrest):
        features = features.astype(np.float32)
        logits = features @ self.shared["weight"].T + self.shared["bias"]
        noise = unrest * self.rng.normal(size=(MEMBERS, *logits.shape))
        head = self.rng.uniform(size=len(features))
        return {
            "features": features,
            "logits": logits,
            "mc_logits": (logits + noise).astype(np.float32),
            "head_confidence": head.astype(np.float32),
        }


def confidence(name, task):
    """What a baseline, or a decorated method, says about the test samples of a task, after it has learnt from the rest."""
    method = load_baseline(find_method(name).spec) if isinstance(name, str) else name
    if isinstance(method, type):
        method = method()
    parts = {"train": task.train, "validation": task.validation}
    reference = {key: LabelledOutputs(part, task.shared) for key, part in parts.items() if part is not None}
    if hasattr(method, "fit"):
        method.fit(Reference(reference))
    outputs = Outputs({key: array for key, array in task.test.items() if key != "labels"}, task.shared)
    return (method.score if hasattr(method, "score") else method)(outputs).numpy()
