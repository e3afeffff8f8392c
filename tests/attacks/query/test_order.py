"""Every other file beside this one is a strategy that reads the order of a pool, or the names in it. What must come of it: nothing.

On query-mnist, a strategy that is `WHERE_SORTED` "balanced" or "lopsided" is so where the pool is offered in ascending
order of its rows, as in version 1, and no more so than chance in the order in which it is offered. On query-mni152, one asks
for volumes from the back of the brain to its front where they are offered in the order of their own names, and in no order as
they are offered.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from harness.data.catalog import find_protocol
from harness.tracks.query.classification import learner as classification
from harness.tracks.query.classification.learner import ClassificationLearner
from harness.tracks.query.host import QueryHost
from harness.tracks.query.sources import Setting
from tests.tracks.query.classification.support import unheard
from tests.tracks.query.segmentation.support import needs

FILES = sorted(
    path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in ("__init__", Path(__file__).stem)
)
ATTACKS = {name: import_module(f"tests.attacks.query.{name}") for name in FILES}
IMAGES = [name for name, attack in ATTACKS.items() if attack.TASK == "classification"]
VOLUMES = [name for name, attack in ATTACKS.items() if attack.TASK == "segmentation"]
BUDGET, SEEDS, LOOPS = 20, (12345, 12346), 3
TOLD = {"loops": 5, "oracle": False, "needs": ["inputs", "features"], "budget": BUDGET}


def asked(attack, meta):
    host = QueryHost(attack.Attack, "cpu")
    host.begin({}, {})
    return host.query(meta, {})["picks"]


class Offers:
    """Pools of several seeds and loops as they are offered, with other images labelled before each."""

    def __init__(self, folder, sort):
        setting = Setting(protocol := find_protocol("query-mnist@2"), protocol.benchmark.studies[0])
        setting.training = setting.training.model_copy(update={"epochs": 2})
        self.offers, weights = [], None
        for seed in SEEDS:
            learner, picks = ClassificationLearner(setting, seed, ("inputs", "features"), "cpu"), []
            for loop in range(LOOPS):
                rows = np.random.default_rng([seed, loop]).permutation(np.setdiff1d(np.arange(3000), picks))[:BUDGET]
                picks = [*picks, rows[:, None]] if loop else [learner.start()]
                weights = weights or learner.train(0, 0, picks, unheard)
                (place := folder / f"{seed}-{loop}").mkdir()
                with pytest.MonkeyPatch.context() as patch:
                    if sort:
                        patch.setattr(classification, "shown_order", in_turn)
                    meta = learner.offer(loop, [weights], picks, place, oracle=False).meta
                entropy = [0, seed, loop]
                self.offers.append((learner, picks, {**TOLD, **meta, "loop": loop, "entropy": entropy}))
        self.sort = sort

    def unevenness(self, attack):
        """Mean over queries of the sum over classes of the squared distance from an equal share."""
        found = []
        for learner, picks, meta in self.offers:
            answer = asked(attack, meta)
            with pytest.MonkeyPatch.context() as patch:
                if self.sort:
                    patch.setattr(classification, "shown_order", in_turn)
                found.append(uneven(learner._images.pool_targets[learner.parse(answer, picks, BUDGET)[:, 0]]))
        return float(np.mean(found))


def in_turn(count, *drawn_from):
    return np.arange(count)


def uneven(targets):
    return float(((np.bincount(targets, minlength=10) - BUDGET / 10) ** 2).sum())


@pytest.fixture(scope="module")
def chance():
    """Where the unevenness of random queries lies, but for once in a thousand on either side."""
    rng, targets = np.random.default_rng(0), np.repeat(np.arange(10), 298)
    draws = [
        np.mean([uneven(rng.permutation(targets)[:BUDGET]) for _ in range(len(SEEDS) * LOOPS)]) for _ in range(2000)
    ]
    return np.quantile(draws, [0.001, 0.999])


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    return Offers(tmp_path_factory.mktemp("shown"), sort=False)


@pytest.fixture(scope="module")
def in_rows(tmp_path_factory):
    return Offers(tmp_path_factory.mktemp("sorted"), sort=True)


@pytest.mark.parametrize("name", IMAGES)
def test_positions_in_the_pool_tell_no_class(name, shown, in_rows, chance):
    attack, (low, high) = ATTACKS[name], chance
    assert attack.__doc__
    if attack.WHERE_SORTED == "balanced":
        assert in_rows.unevenness(attack) < low, "it is no attack"
        assert shown.unevenness(attack) > low
    elif attack.WHERE_SORTED == "lopsided":
        assert in_rows.unevenness(attack) > high, "it is no attack"
        assert shown.unevenness(attack) < high
    else:
        assert low < shown.unevenness(attack) < high


@pytest.mark.parametrize("name", VOLUMES)
def test_nothing_beside_an_image_tells_where_it_lies(name, tmp_path):
    needs("nnunetv2", "SimpleITK")
    from harness.tracks.query.segmentation.learner import SegmentationLearner

    protocol = find_protocol("query-mni152@2")
    setting = Setting(protocol, protocol.benchmark.studies[0])
    assert ATTACKS[name].__doc__
    start, found = [SegmentationLearner(setting, 12345, (), "cpu").start()], []
    for seed in range(7):
        learner = SegmentationLearner(setting, seed, (), "cpu")
        if seed == 6:
            pool = learner.ledger.cases.pool
            vars(learner.ledger)["shown"] = dict(zip(learner.ledger.shown, pool, strict=True))
        (folder := tmp_path / str(seed)).mkdir()
        offer = learner.offer(0, [], start, folder, oracle=False)
        meta = {**TOLD, **offer.meta, "loop": 0, "entropy": [0, seed, 0], "budget": 16}
        numbers = asked(ATTACKS[name], meta)[:, 0]
        places = [learner.ledger.cases.pool.index(offer.names[f"image-{number:04d}"]) for number in numbers]
        assert sorted(places) == list(range(16))
        found.append(stats.spearmanr(places, np.arange(16)).statistic)
    assert found.pop() == pytest.approx(1), "it is no attack"
    # Of 16 volumes in a random order the coefficient has the variance 1 / 15; sorted ones have 1.
    assert abs(np.mean(found)) < 3 / np.sqrt(15 * len(found))
