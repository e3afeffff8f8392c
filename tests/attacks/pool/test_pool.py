"""Every other file is a query strategy that asks by position alone; it must buy classes as chance has them.

A file's docstring says what it is after, `SORTED` what it would buy of a pool that is sorted by class.
"""

from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import chi2

from harness.data.catalog import find_protocol
from harness.methods.discovery import find_method
from harness.tracks.query.learners import open_learner
from harness.tracks.query.track import QueryTrack

FOLDER = Path(__file__).parent
ATTACKS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in ("__init__", Path(__file__).stem))
BUDGET, LOOPS = 50, 4
UNLIKELY = 1e-4


@pytest.fixture(scope="module")
def learners():
    """Of each campaign of query-mnist in the regime of 50 labels."""
    track = QueryTrack(find_protocol("query-mnist@2"), find_method("random-sampling").spec)
    return [open_learner(track.settings["medium"], seed, (), "cpu") for seed in track.benchmark.seeds]


@pytest.mark.parametrize("name", ATTACKS)
def test_positions_buy_classes_as_chance_has_them(learners, name):
    attack = import_module(f"tests.attacks.pool.{name}")
    asked, of_sorted, rng = [], [], np.random.default_rng(0)
    for learner in learners:
        targets, picks = learner._images.pool_targets, [learner.start()]
        for _ in range(LOOPS):
            left = np.setdiff1d(np.arange(len(targets)), np.concatenate(picks)[:, 0])
            answer = attack.Attack().query(SimpleNamespace(size=len(left)), BUDGET, rng)
            of_sorted.append(imbalance(targets[left][np.argsort(targets[left], kind="stable")][answer]))
            picks.append(learner.parse(answer[:, None], picks, BUDGET))
            asked.append(imbalance(targets[picks[-1][:, 0]]))
    # Each is about chi-square with 9 degrees of freedom where picks know nothing of classes, and so is their sum.
    expected = chi2(9 * len(asked))
    assert expected.ppf(UNLIKELY) < sum(asked) < expected.isf(UNLIKELY)
    if attack.SORTED == "balanced":
        assert sum(of_sorted) < expected.ppf(UNLIKELY)
    else:
        assert sum(of_sorted) > expected.isf(UNLIKELY)


def imbalance(classes):
    counts = np.bincount(classes, minlength=10)
    return float(((counts - BUDGET / 10) ** 2 / (BUDGET / 10)).sum())
