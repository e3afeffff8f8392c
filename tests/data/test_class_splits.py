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


def test_shares_keep_the_classes_of_a_set_in_their_proportion():
    labels = np.random.default_rng(1).permutation(np.repeat([0, 1], [135, 389]))
    splits = class_splits(labels, 2, {"validation": 0.5, "iid": 0.5})
    assert sorted(splits["validation"] + splits["iid"]) == list(range(524))
    for part in splits.values():
        share = labels[part].mean()
        assert len(part) == 262
        assert abs(share - 389 / 524) < 1 / 262
        leading = np.cumsum(labels[part]) / np.arange(1, 263)
        assert np.abs(leading - share)[20:].max() < 1 / 20, "any leading part has the classes in these shares"
