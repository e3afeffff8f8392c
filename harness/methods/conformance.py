"""Does a method keep its contract? Found out in seconds, on a synthetic task, before anything is fetched."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.methods.answers import checked_confidence
from harness.methods.client import MethodClient, MethodError
from harness.spec.method import ConfidenceMethod
from harness.spec.result import UnitStatus

if TYPE_CHECKING:
    import numpy as np

    Arrays = Mapping[str, np.ndarray]

SAMPLES, CLASSES, FEATURES, MEMBERS = 16, 4, 12, 5
LARGEST_BATCH = 4096
"""Samples that a score is asked about at once, at most, in a run as in its check."""
_REFERENCE_SAMPLES = {"train": 200, "validation": 100}
_IMAGE = (1, 28, 28)
_TOLERANCE = 1e-5
_CROWDED = 1e-4  # sums of many rows go through other kernels than those of a few
WANTED = "wanted/"
"""Begins the name of an empty array by which a worker says that its method asks for a deferred part of the reference."""


@dataclass(frozen=True)
class Check:
    """One requirement: `problem` is empty where it is met, else one sentence, with the status it amounts to."""

    name: str
    problem: str = ""
    status: UnitStatus = "ok"

    @property
    def passed(self) -> bool:
        return not self.problem


def check_confidence_score(method: MethodClient) -> Iterator[Check]:
    """Yield the checks in order; the first failed one is the last.

    fit and score run; the answer is a finite, non-constant floating vector (n,); the same seed gives
    the same answer; neither batch size nor order of the samples changes a sample's confidence, also where it is alone, and
    where it is one of as many as a run ever asks about at once.
    """
    task = _SyntheticTask(method)
    return until_failure(
        {
            "runs, and answers with finite numbers of shape (n,)": task.answers,
            "gives the same answer twice under one seed": task.is_deterministic,
            "gives the same answer for two batch sizes": task.ignores_batches,
            "gives the same answer in any order of samples": task.ignores_order,
            "gives the same answer for a sample alone": task.ignores_company,
            f"gives the same answer for a sample among {LARGEST_BATCH:,}": task.ignores_crowds,
        }
    )


def rehearse_confidence_score(
    method: MethodClient, outputs: Collection[str] | None, parts: Collection[str], absent: Mapping[str, str]
) -> tuple[str, frozenset[str]]:
    """Why a method cannot be applied where it is offered only so much, or nothing; and the parts that it learns from.

    outputs: names of arrays, None for all. parts: of the reference. absent: why `inputs` or `model` are not offered.
    The method is tried on made-up numbers; how it fails in any other way is for `check_confidence_score` to say.
    """
    return _SyntheticTask(method).rehearse(outputs, parts, absent)


def until_failure(requirements: Mapping[str, Callable[[], str]]) -> Iterator[Check]:
    """Try requirements in order; each returns its problem, or nothing. The first failed one is the last."""
    for name, requirement in requirements.items():
        check = _attempt(name, requirement)
        yield check
        if not check.passed:
            return


def _attempt(name: str, requirement: Callable[[], str]) -> Check:
    try:
        problem = requirement()
    except MethodError as error:
        # Everything that can be declared is offered here: what a method misses, it has not declared.
        return Check(name, error.reason, "failed" if error.status == "not-applicable" else error.status)
    return Check(name, problem, "invalid" if problem else "ok")


class _SyntheticTask:
    """A made-up classifier on 16 samples, with everything that a real one may offer. No labels."""

    def __init__(self, method: MethodClient) -> None:
        import numpy as np

        self._method = method
        assert isinstance(method.spec, ConfidenceMethod)
        self._needs = method.spec.needs
        rng = np.random.default_rng(0)
        self._weight = rng.normal(size=(CLASSES, FEATURES)).astype(np.float32)
        self._centres = rng.normal(size=(CLASSES, FEATURES)) * 2
        self._samples = self._outputs(SAMPLES, rng)[0]
        self._reference = {part: self._outputs(count, rng) for part, count in _REFERENCE_SAMPLES.items()}
        self._answer: np.ndarray | None = None

    def answers(self) -> str:
        self._answer = self._score(self._samples)
        return ""

    def is_deterministic(self) -> str:
        return self._compare(self._score(self._samples), 0.0, "the second answer under the same seed")

    def ignores_batches(self) -> str:
        import numpy as np

        batches = np.split(np.arange(SAMPLES), 2)
        halves = [self._score(_rows(self._samples, batch), varied=False) for batch in batches]
        return self._compare(np.concatenate(halves), _TOLERANCE, "the answer in two batches instead of one")

    def ignores_order(self) -> str:
        import numpy as np

        order = np.random.default_rng(1).permutation(SAMPLES)
        answer = np.empty(SAMPLES)
        answer[order] = self._score(_rows(self._samples, order))
        return self._compare(answer, _TOLERANCE, "the answer for the samples in another order")

    def ignores_company(self) -> str:
        import numpy as np

        assert self._answer is not None
        alone = self._answer.copy()
        alone[:1] = self._score(_rows(self._samples, np.arange(1)), varied=False)
        return self._compare(alone, _TOLERANCE, "the answer for a sample alone")

    def ignores_crowds(self) -> str:
        import numpy as np

        rng = np.random.default_rng(2)
        others, _ = self._outputs(LARGEST_BATCH - SAMPLES, rng)
        joined = {
            name: np.concatenate([array, others[name]], axis=1 if name.startswith("mc_") else 0)
            for name, array in self._samples.items()
        }
        order = rng.permutation(LARGEST_BATCH)
        answer = self._score(_rows(joined, order))[np.argsort(order)]
        return self._compare(answer[:SAMPLES], _CROWDED, f"the answer for a sample among {LARGEST_BATCH:,}")

    def _score(self, samples: Arrays, *, varied: bool = True) -> np.ndarray:
        """Fit and score as a real unit would, with the same seeds each time."""
        arrays: dict[str, np.ndarray] = {"shared/weight": self._weight}
        arrays["shared/bias"] = self._weight[:, 0] * 0
        arrays["shared/reservation_weight"] = self._weight[:1] / 2
        arrays["shared/reservation_bias"] = self._weight[:1, 0] * 0
        for part, (given, labels) in self._reference.items():
            arrays |= {f"{part}/{name}": array for name, array in given.items()}
            arrays[f"{part}/labels"] = labels
        meta: dict[str, Any] = {"reference": list(self._reference), "network": None}
        if "model" in self._needs:
            meta["network"] = {"family": "plain", "classes": CLASSES}
        self._method.call("fit", arrays, seed=1, meta=meta)
        return checked_confidence(self._method.call("score", samples, seed=2), len(samples["logits"]), varied=varied)

    def rehearse(
        self, outputs: Collection[str] | None, parts: Collection[str], absent: Mapping[str, str]
    ) -> tuple[str, frozenset[str]]:
        """See `rehearse_confidence_score`. Every part is deferred until the method asks for it."""

        def offered(given: Arrays) -> dict[str, np.ndarray]:
            given = given if outputs is None else {**given, **_probabilities(given)}
            return {name: array for name, array in given.items() if name not in absent and _among(name, outputs)}

        wanted: frozenset[str] = frozenset()
        last: dict[str, np.ndarray] = {"": self._weight, "reservation_": self._weight[:1] / 2}
        shared = offered({f"{of}weight": weight for of, weight in last.items()})
        shared |= offered({f"{of}bias": weight[:, 0] * 0 for of, weight in last.items()})
        network = {"family": "plain", "classes": CLASSES} if "model" in self._needs and "model" not in absent else None
        try:
            while True:
                arrays = {f"shared/{name}": array for name, array in shared.items()}
                for part in wanted:
                    given, labels = self._reference[part]
                    arrays |= {f"{part}/{name}": array for name, array in offered(given).items()}
                    arrays[f"{part}/labels"] = labels
                meta = {
                    "reference": sorted(wanted),
                    "deferred": sorted({*parts} - wanted),
                    "network": network,
                    "absent": dict(absent),
                }
                answer = self._method.call("fit", arrays, seed=1, meta=meta)
                answer |= self._method.call("score", offered(self._samples), seed=2) if not answer else {}
                asked = {part for part in parts if WANTED + part in answer} - wanted
                if not asked:
                    break
                wanted |= asked
        except MethodError as error:
            return (error.reason if error.status == "not-applicable" else ""), wanted
        return "", wanted

    def _compare(self, answer: np.ndarray, tolerance: float, what: str) -> str:
        import numpy as np

        assert self._answer is not None
        spread = float(np.ptp(self._answer))
        differs = int(np.count_nonzero(np.abs(answer - self._answer) > tolerance * spread))
        if not differs:
            return ""
        advice = (
            "each sample must be scored by itself" if tolerance else "take randomness from torch, numpy or random only"
        )
        return f"{what} differs for {differs} of {SAMPLES} samples; {advice}"

    def _outputs(self, count: int, rng: np.random.Generator) -> tuple[dict[str, np.ndarray], np.ndarray]:
        import numpy as np

        labels = np.arange(count) % CLASSES
        features = np.abs(self._centres[labels] + rng.normal(size=(count, FEATURES))).astype(np.float32)
        logits = features @ self._weight.T
        noise = rng.normal(size=(MEMBERS, count, CLASSES)).astype(np.float32)
        arrays = {
            "logits": logits,
            "features": features,
            "mc_logits": logits[None] + noise,
            "head_confidence": rng.uniform(size=count).astype(np.float32),
            "mc_head_confidence": rng.uniform(size=(MEMBERS, count)).astype(np.float32),
        }
        if "inputs" in self._needs:
            arrays["inputs"] = rng.normal(size=(count, *_IMAGE)).astype(np.float32)
        return arrays, labels


def _among(name: str, outputs: Collection[str] | None) -> bool:
    return outputs is None or name in outputs or name == "inputs"


def _probabilities(given: Arrays) -> dict[str, np.ndarray]:
    """Of logits, for models that are known by their probabilities alone."""
    import numpy as np

    found = {}
    for name in [name for name in given if name.endswith("logits")]:
        exponentials = np.exp(given[name] - given[name].max(axis=-1, keepdims=True))
        found[name.replace("logits", "probabilities")] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return found


def _rows(samples: Arrays, rows: np.ndarray) -> dict[str, np.ndarray]:
    return {name: array[:, rows] if name.startswith("mc_") else array[rows] for name, array in samples.items()}
