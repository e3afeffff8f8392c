import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.spec.errors import UsageError
from harness.tracks.query.segmentation.folds import make_folds


def spread(classes, folds, fold_of):
    """Whether every class is in two folds, and every fold has an image."""
    where = {}
    for name, of in classes.items():
        for label in of:
            where.setdefault(label, set()).add(fold_of[name])
    return len(set(fold_of.values())) == folds and all(len(found) >= 2 for found in where.values())


def exists(classes, folds):
    """All divisions of the images, one by one."""
    names = sorted(classes)
    return any(
        spread(classes, folds, dict(zip(names, each, strict=True)))
        for each in itertools.product(range(folds), repeat=len(names))
    )


images = st.dictionaries(
    st.sampled_from("abcdefg"), st.frozensets(st.integers(0, 4), min_size=1, max_size=3), min_size=2, max_size=7
)


@given(images, st.integers(2, 3))
@settings(max_examples=200)
def test_a_division_is_found_exactly_if_there_is_one(classes, folds):
    if not exists(classes, folds):
        with pytest.raises(UsageError):
            make_folds(classes, folds)
        return
    found = make_folds(classes, folds)
    assert sorted(name for fold in found for name in fold) == sorted(classes)
    assert spread(classes, folds, {name: number for number, fold in enumerate(found) for name in fold})


def test_a_greedy_choice_that_fails_is_taken_back():
    # A chain of classes in two images each: only the two-colouring of the chain is a division.
    chain = {str(n): {n, n + 1} for n in range(1, 9)}
    chain["0"], chain["9"] = {1}, {9}
    found = make_folds(chain, 2)
    assert {frozenset(fold) for fold in found} == {frozenset("02468"), frozenset("13579")}


def test_folds_are_as_even_as_they_can_be():
    classes = {f"case_{n:02d}": {0, n % 3} for n in range(17)}
    assert sorted(map(len, make_folds(classes, 5))) == [3, 3, 3, 4, 4]


def test_the_order_of_images_does_not_matter():
    classes = {f"case_{n}": {0, n % 2, 2 if n % 5 else 1} for n in range(12)}
    assert make_folds(classes, 3) == make_folds(dict(reversed(classes.items())), 3)


@pytest.mark.parametrize(
    ("classes", "folds", "sentence"),
    [
        ({"a": {0, 1}, "b": {0, 1}}, 3, "2 annotated images do not fill 3 folds"),
        ({"a": {0, 1}, "b": {0}, "c": {0}}, 2, "class 1 is annotated in one image only"),
        ({"a": {0, 1}, "b": {0, 2}, "c": {1, 2}}, 2, "no division of the 3 annotated images into 2 folds"),
    ],
)
def test_what_cannot_be_divided_is_said(classes, folds, sentence):
    with pytest.raises(UsageError, match=sentence):
        make_folds(classes, folds)


def test_a_hopeless_search_ends():
    # Twenty pairs that leave open which image goes where, before a triangle that no two folds can spread.
    pairs = {f"p{n}{side}": {n} for n in range(20) for side in "ab"}
    triangle = {"t1": {20, 21}, "t2": {21, 22}, "t3": {20, 22}}
    with pytest.raises(UsageError, match="was found"):
        make_folds({**pairs, **triangle}, 2)
