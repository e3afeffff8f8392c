"""The order of rows says nothing: in no set of a bundled benchmark, of classes, corruptions or failures."""

from __future__ import annotations

from functools import cache
from itertools import combinations

import numpy as np
import pytest

from harness.data.catalog import LoadedBenchmark, benchmark_files, find_protocol, load_protocol
from harness.spec.benchmark import ConfidenceBenchmark
from harness.spec.sources import ImageSource
from harness.storage import read_arrays
from harness.tracks.confidence.images import BenchmarkImages, SetImages
from harness.tracks.confidence.outcomes import LABELS
from tests.tracks.confidence.orders import SURPRISING, surprise

CURRENT, TELLING = "confidence-mnist@2", "confidence-mnist@1"


@cache
def facts_of(name: str) -> dict[str, dict[str, np.ndarray]]:
    """Set -> labels, and whether each network is right, by each of its predictions: from the pinned outcomes."""
    protocol = find_protocol(name)
    assert protocol.benchmark.outcomes is not None
    pinned = read_arrays(protocol.verified(protocol.benchmark.outcomes)[0])
    facts: dict[str, dict[str, np.ndarray]] = {}
    for chosen in (each.id for each in source_of(protocol).sets):
        if LABELS.format(set=chosen) in pinned:
            labels = pinned[LABELS.format(set=chosen)]
            predicted = {key: values for key, values in pinned.items() if f"--{chosen}--" in f"--{key}"}
            assert len(predicted) == 1 + 2 * 9
            right = {key: values == labels for key, values in predicted.items() if key != LABELS.format(set=chosen)}
            facts[chosen] = {"label": labels, **right}
    return facts


def source_of(protocol: LoadedBenchmark) -> ImageSource:
    assert isinstance(protocol.benchmark.source, ImageSource)
    return protocol.benchmark.source


def ordered_by_itself() -> list[str]:
    """Bundled benchmarks that stand, and whose sets are put in order by the protocol and not by somebody's file."""
    found = {name: load_protocol(path).benchmark for name, path in benchmark_files().items()}
    return [
        name
        for name, each in found.items()
        if isinstance(each, ConfidenceBenchmark) and isinstance(each.source, ImageSource) and each.status == "open"
    ]


STANDING = [(name, chosen) for name in ordered_by_itself() for chosen in facts_of(name)]


@pytest.fixture(scope="module")
def images() -> dict[str, dict[str, SetImages]]:
    """Of both versions of confidence-mnist."""
    found: dict[str, dict[str, SetImages]] = {}
    for name in (TELLING, CURRENT):
        protocol = find_protocol(name)
        source = source_of(protocol)
        opened, splits = BenchmarkImages(protocol, source), protocol.locate(source.splits.path)
        found[name] = {each.id: opened.load(each, splits) for each in source.sets}
    return found


def told_by(chosen: SetImages) -> dict[str, np.ndarray]:
    corruption = {} if chosen.corruption is None else {"corruption": chosen.corruption}
    return {"label": chosen.labels, "from the first half": chosen.positions < np.median(chosen.positions), **corruption}


def test_every_benchmark_that_orders_its_sets_is_looked_at() -> None:
    assert {name for name, _ in STANDING} == {CURRENT, "confidence-pneumonia@1"}
    assert len(STANDING) == 9 + 8
    for name in ordered_by_itself():
        seeds = [each.shuffle for each in source_of(find_protocol(name)).sets]
        assert None not in seeds
        assert len(set(seeds)) == len(seeds), "two sets of one order tell which samples belong together"


@pytest.mark.parametrize(("name", "chosen"), STANDING)
def test_order_says_nothing_of_classes_and_failures(name: str, chosen: str) -> None:
    assert surprise(facts_of(name)[chosen]) < SURPRISING


def test_order_says_nothing_of_classes_and_corruptions_in_reference_sets_too(
    images: dict[str, dict[str, SetImages]],
) -> None:
    assert len(images[CURRENT]) == 11
    found = {name: surprise(told_by(chosen)) for name, chosen in images[CURRENT].items()}
    assert {name: value for name, value in found.items() if value >= SURPRISING} == {}


def test_the_order_of_version_1_is_found_out(images: dict[str, dict[str, SetImages]]) -> None:
    first = images[TELLING]
    for name in ("iid", *(f"corruption-{severity}" for severity in range(1, 6))):
        assert first[name].labels.tolist() == [row % 8 for row in range(len(first[name].labels))]
    found = {name: surprise(told_by(chosen)) for name, chosen in first.items()}
    assert min(found.values()) > 2 * SURPRISING, found


def test_failures_in_the_order_of_version_1_are_found_out() -> None:
    """Networks fail more often on some classes than on others, so that place tells it there, even without labels."""
    for chosen in ("iid", "scanner", *(f"corruption-{severity}" for severity in range(1, 6))):
        order = np.argsort(permutation(CURRENT, chosen))
        right = {key: values[order] for key, values in facts_of(CURRENT)[chosen].items() if key != "label"}
        assert surprise(right) > SURPRISING


def permutation(name: str, chosen: str) -> np.ndarray:
    (shuffle,) = (each.shuffle for each in source_of(find_protocol(name)).sets if each.id == chosen)
    return np.random.default_rng(shuffle).permutation(len(facts_of(name)[chosen]["label"]))


@pytest.mark.parametrize(
    "order",
    {
        "sorted": np.sort,
        "in turn": lambda labels: np.arange(len(labels)) % 8,
        "in turn, later": lambda labels: (np.arange(len(labels)) + 5) % 8,
        "pairs": lambda labels: np.repeat(labels[::2], 2)[: len(labels)],
        "each 20th repeats": lambda labels: np.resize(labels[:20], len(labels)),
        "one class first": lambda labels: np.concatenate([labels[labels == 3], labels[labels != 3]]),
        "one class rarer at the end": lambda labels: np.concatenate([labels[: len(labels) // 2], labels[-400:] % 4]),
    }.items(),
    ids=lambda item: item[0],
)
def test_orders_that_tell_are_found_out(order: tuple[str, object]) -> None:
    labels = np.random.default_rng(1).integers(0, 8, 800)
    assert surprise({"label": labels}) < SURPRISING
    assert callable(order[1])
    assert surprise({"label": order[1](labels)}) > SURPRISING


def test_version_2_has_the_images_of_version_1_in_the_order_of_its_seeds(
    images: dict[str, dict[str, SetImages]],
) -> None:
    seeds = {each.id: each.shuffle for each in source_of(find_protocol(CURRENT)).sets}
    for name, first in images[TELLING].items():
        order = np.random.default_rng(seeds[name]).permutation(len(first.labels))
        second = images[CURRENT][name]
        np.testing.assert_array_equal(second.images, first.images[order])
        np.testing.assert_array_equal(second.labels, first.labels[order])
        assert second.names == tuple(first.names[row] for row in order)


def test_sets_with_the_same_images_have_orders_that_say_nothing_of_each_other(
    images: dict[str, dict[str, SetImages]],
) -> None:
    names = [f"corruption-{severity}" for severity in range(1, 6)]
    for one, other in combinations(names, 2):
        first, second = images[CURRENT][one].names, images[CURRENT][other].names
        assert sorted(first) == sorted(second)
        place = {name: row for row, name in enumerate(second)}
        found = np.array([place[name] for name in first])
        assert abs(np.corrcoef(np.arange(len(found)), found)[0, 1]) < 4 / np.sqrt(len(found))
        assert np.count_nonzero(found == np.arange(len(found))) < 10, "by chance one, Poisson"
