"""Parts of a data set are disjoint, and any leading part of a list has the classes in equal shares."""

import numpy as np
import pytest

from harness.data.class_splits import class_splits

LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(4), 10))


@pytest.mark.parametrize("ascending", [False, True])
def test_parts_are_disjoint_and_mixed(ascending):
    splits = class_splits(LABELS, 4, {"train": 6, "test": 4}, seed=3, ascending=ascending)
    assert sorted(splits["train"] + splits["test"]) == list(range(40))
    for name, size in (("train", 6), ("test", 4)):
        assert LABELS[splits[name]].tolist() == list(range(4)) * size
        of_first = splits[name][::4]
        assert (of_first == sorted(of_first)) is ascending


def test_order_changes_no_part():
    drawn, ascending = (class_splits(LABELS, 4, {"a": 5, "b": 5}, ascending=each) for each in (False, True))
    assert {name: set(part) for name, part in drawn.items()} == {name: set(part) for name, part in ascending.items()}
    assert class_splits(LABELS, 4, {"a": 5, "b": 5}, seed=1) != drawn
