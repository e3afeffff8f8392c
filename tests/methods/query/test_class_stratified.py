"""ClaSP PE and its family: quotas, schedules, and queries among all that the rule allows."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from harness.methods.baselines.query import _class_stratified as family
from harness.methods.baselines.query import class_stratified
from harness.tracks.query.geometry import Patch, check_patches

from .support import RULES, asked, by_position, committee, greedy, mean_scores, volume_pool

PATCH = (2, 3, 3)
NAMES = [
    *("class-pe-33", "class-pe-66", "class-power-pe-33", "class-power-pe-66", "clasp-pe", "clasp-pe-33"),
    *("clasp-pe-33-smooth", "clasp-pe-33-sharp", "clasp-pe-66-smooth", "clasp-pe-66-sharp"),
]


@pytest.mark.parametrize(("budget", "on_classes"), [(40, 26), (200, 132), (500, 330)])
@pytest.mark.parametrize("foreground_classes", [2, 3, 15])
def test_quotas_at_66_percent(budget, on_classes, foreground_classes):
    shares = family.quotas(budget, 1 + foreground_classes, 0.66, np.random.default_rng(0))
    assert shares[0] == budget - on_classes
    assert sum(shares[1:]) == on_classes
    assert set(shares[1:]) <= {on_classes // foreground_classes, on_classes // foreground_classes + 1}


def test_what_cannot_be_divided_goes_to_random_classes():
    found = [family.quotas(40, 16, 0.66, np.random.default_rng(k))[1:] for k in range(200)]
    assert {sum(share == 2 for share in shares) for shares in found} == {11}
    assert (np.mean(found, axis=0) > 1.5).all(), "each class has its turn"


def test_exponential_schedule_of_five_loops():
    betas = [family.exponential_schedule(loop, 5) for loop in range(5)]
    assert betas == pytest.approx([1, 10**0.5, 10, 10**1.5, 100])


@pytest.mark.parametrize(
    ("temperature", "betas"), [(2.0, [1, 15.77, 50.5, 85.23, 100]), (0.5, [1, 1.24, 50.5, 99.76, 100])]
)
def test_sigmoid_schedules_of_five_loops(temperature, betas):
    found = [family.sigmoid_schedule(loop, 5, temperature) for loop in range(5)]
    assert found == pytest.approx(betas, abs=0.005)


@pytest.mark.parametrize(
    ("name", "foreground", "betas"),
    [
        ("class-pe-33", 0.33, [None] * 4),
        ("class-pe-66", 0.66, [None] * 4),
        ("class-power-pe-33", 0.33, [1] * 4),
        ("class-power-pe-66", 0.66, [1] * 4),
        ("clasp-pe", 0.66, [1, 3.1623, 10, 31.623]),
        ("clasp-pe-33", 0.33, [1, 3.1623, 10, 31.623]),
        ("clasp-pe-33-smooth", 0.33, [1, 15.77, 50.5, 85.23]),
        ("clasp-pe-66-smooth", 0.66, [1, 15.77, 50.5, 85.23]),
        ("clasp-pe-33-sharp", 0.33, [1, 1.24, 50.5, 99.76]),
        ("clasp-pe-66-sharp", 0.66, [1, 1.24, 50.5, 99.76]),
    ],
)
def test_shares_and_noise_of_each_member_of_the_family(monkeypatch, tmp_path, name, foreground, betas):
    used = []

    def recorded(foreground, beta):
        used.append((foreground, beta))
        return family.ClassStratified(foreground, beta)

    monkeypatch.setattr(class_stratified, "ClassStratified", recorded)
    meta = volume_pool(tmp_path, {"case": committee((6, 8, 8))}, max_per_image=9, budget=4)
    for loop in range(4):
        asked(name, meta, loop=loop)
    assert [share for share, _ in used] == [foreground] * 4
    assert [beta for _, beta in used] == [None if beta is None else pytest.approx(beta, abs=0.005) for beta in betas]


def outcomes(pool, budget, foreground, most):
    """Every query that the rule without noise allows: slots in any order in each image, remainders to any class."""
    classes = next(iter(pool.values())).shape[1]
    of_images = []
    for case, probabilities in pool.items():
        entropy = by_position(RULES["predictive_entropy"], probabilities)
        maps = [entropy] + [entropy * probabilities[:, c].mean(axis=0, dtype=float) for c in range(1, classes)]
        limits = [max(1, int(most * (1 - foreground)))] + [max(1, int(most * foreground / classes))] * (classes - 1)
        scores = [mean_scores(values, PATCH) for values in maps]
        given = []
        for order in permutations(range(classes)):
            slots, taken = {}, []
            for slot in order:
                corners = greedy(scores[slot], PATCH, limits[slot], taken)
                taken += corners
                slots[slot] = [(scores[slot][corner], case, corner) for corner in corners]
            given.append(slots)
        of_images.append(given)
    on_classes = int(budget * foreground)
    each, more = divmod(on_classes, classes - 1)
    for choice in product(*of_images):
        slots = {slot: sorted((p for image in choice for p in image[slot]), reverse=True) for slot in range(classes)}
        for lucky in permutations(range(1, classes), more):
            shares = {0: budget - on_classes} | {c: each + (c in lucky) for c in range(1, classes)}
            yield frozenset((case, corner) for slot in slots for _, case, corner in slots[slot][: shares[slot]])


@pytest.mark.parametrize(("name", "foreground"), [("class-pe-66", 0.66), ("class-pe-33", 0.33)])
def test_queries_are_among_those_that_the_rule_allows(tmp_path, name, foreground):
    pool = {f"case {k}": committee((6, 8, 8), seed=k, sharpness=0.3) for k in range(2)}
    allowed = set(outcomes(pool, 5, foreground, most=9))
    assert {len(query) for query in allowed} == {5}, "no slot runs out"
    meta = volume_pool(tmp_path, pool, max_per_image=9, budget=5)
    found = {frozenset(asked(name, meta, entropy=[0, 1, k])) for k in range(30)}
    assert found <= allowed
    assert len(found) > 1, "classes are visited in random order"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("budget", [1, 7, 12, 20])
def test_the_budget_is_met_even_where_slots_run_out(tmp_path, name, budget):
    """Of two images a slot gives one patch each: 6 of 3 slots. All above comes from what still fits."""
    pool = {f"case {k}": committee((6, 9, 9), seed=k) for k in range(2)}
    known = {"case 0": [((0, 0, 0), (2, 3, 3))]}
    meta = volume_pool(tmp_path, pool, annotated=known, max_per_image=1, budget=budget)
    found = asked(name, meta)
    patches = [Patch(case, corner, PATCH) for case, corner in found]
    check_patches(patches, dict.fromkeys(pool, (6, 9, 9)), known, count=budget)


def test_a_class_that_is_nowhere_costs_nobody_a_patch(tmp_path):
    """Its slot is full of ties at zero: the query is whole, and valid."""
    probabilities = committee((6, 9, 9))
    absent = np.concatenate([probabilities, np.zeros_like(probabilities[:, :1])], axis=1)
    for name in ("class-pe-66", "clasp-pe"):
        found = asked(name, volume_pool(tmp_path, {"case": absent}, max_per_image=20, budget=8))
        check_patches([Patch(case, corner, PATCH) for case, corner in found], {"case": (6, 9, 9)}, count=8)
