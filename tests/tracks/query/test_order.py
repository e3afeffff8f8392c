"""The order in which strategies are shown what they may ask for, and the names of volumes in sentences."""

from __future__ import annotations

from collections import Counter
from itertools import permutations

import pytest
from scipy import stats

from harness.tracks.query.order import neutral_names, shown_order, with_own_names


def test_an_order_follows_from_what_it_is_drawn_from():
    assert sorted(shown_order(100, "data", 1, 0)) == list(range(100))
    assert shown_order(100, "data", 1, 0).tolist() == shown_order(100, "data", 1, 0).tolist()
    orders = {
        tuple(shown_order(100, *each)) for each in (("data", 1, 0), ("data", 1, 1), ("data", 2, 0), ("more", 1, 0))
    }
    assert len(orders) == 4
    assert shown_order(0, "data").tolist() == []
    assert shown_order(1, "data").tolist() == [0]


def test_every_order_is_as_likely():
    seen = Counter(tuple(shown_order(3, "data", seed).tolist()) for seed in range(600))
    assert stats.chisquare([seen[order] for order in permutations(range(3))]).pvalue > 0.01


@pytest.mark.parametrize("count", [1, 16, 10_000, 10_001, 123_456])
def test_names_are_sorted_like_their_numbers(count):
    names = neutral_names(count)
    assert len(set(names)) == count
    assert sorted(names) == names
    assert names[0] == ("image-0000" if count <= 10_000 else "image-" + "0" * len(str(count - 1)))


@pytest.mark.parametrize(
    ("sentence", "told"),
    [
        ("image 'image-0001': a patch leaves it", "image 'image-0001' (liver): a patch leaves it"),
        ("ValueError: image-0002 is dark", "ValueError: image-0002 (image-0001) is dark"),
        ("'image-0001' and 'image-0002'", "'image-0001' (liver) and 'image-0002' (image-0001)"),
        ("image-00010, image-0003, my-image-0001x and image 7", "image-00010, image-0003, my-image-0001x and image 7"),
    ],
)
def test_sentences_to_the_user_give_the_own_name_too(sentence, told):
    assert with_own_names(sentence, {"image-0001": "liver", "image-0002": "image-0001"}) == told
