"""Benchmarks of the query track: what agrees and what is refused."""

import copy

import pytest
from pydantic import ValidationError

from harness.spec.protocols import read_benchmark
from harness.spec.query import QueryBenchmark

IMAGES = {
    "schema_version": 1,
    "id": "images",
    "version": 1,
    "title": "Images",
    "task": "query",
    "performance": "accuracy",
    "seeds": [1, 2],
    "source": {"datasets": [{"kind": "digits", "id": "digits", "splits": {"path": "s.json", "sha256": "0" * 64}}]},
    "trainings": [
        {
            "kind": "classifier",
            "id": "cnn",
            "network": "small-cnn",
            "epochs": 1,
            "batch_size": 8,
            "optimiser": {"learning_rate": 0.1},
        }
    ],
    "studies": [
        {"id": "low", "group": "low", "dataset": "digits", "training": "cnn", "start": 5, "query": 5, "loops": 3}
    ],
}
PATCHES = {"size": [4, 4, 4], "stride": [2, 2, 2], "max_per_image": 3}
VOLUMES = copy.deepcopy(IMAGES) | {
    "performance": "dice",
    "source": {"datasets": [{"kind": "nnunet-raw", "id": "digits", "folder": "Dataset001"}]},
    "trainings": [{"kind": "nnunet", "id": "cnn", "epochs": 1}],
}
VOLUMES["studies"][0] |= {"patches": PATCHES, "start_rule": "all-classes"}


def changed(fields, path, value):
    fields = copy.deepcopy(fields)
    *outer, last = path
    place = fields
    for step in outer:
        place = place[step]
    place[last] = value
    return fields


def test_both_tasks_are_read():
    for fields in (IMAGES, VOLUMES):
        benchmark = read_benchmark(fields)
        assert isinstance(benchmark, QueryBenchmark)
        assert benchmark.canonical() == read_benchmark(benchmark.canonical()).canonical()


def test_only_pinned_files_are_locked():
    assert read_benchmark(IMAGES).source.locked
    assert not read_benchmark(changed(IMAGES, ("source", "datasets", 0, "splits"), {"path": "s.json"})).source.locked
    assert not read_benchmark(VOLUMES).source.locked
    assert read_benchmark(VOLUMES).source.folders == ("Dataset001",)


@pytest.mark.parametrize(
    ("fields", "path", "value", "sentence"),
    [
        (IMAGES, ("studies", 0, "dataset"), "other", "uses the data set 'other', but only these are defined: digits"),
        (IMAGES, ("studies", 0, "training"), "other", "study low uses 'other', but only these are defined: cnn"),
        (IMAGES, ("performance",), "dice", "digits is for classification, performance is not"),
        (IMAGES, ("studies", 0, "patches"), PATCHES, "digits is for classification, `patches` is not"),
        (IMAGES, ("studies", 0, "start_rule"), "all-classes", 'start_rule "all-classes" is for patches'),
        (IMAGES, ("studies", 0, "loops"), 1, "greater than or equal to 2"),
        (IMAGES, ("studies", 0, "query"), 0, "greater than or equal to 1"),
        (IMAGES, ("seeds",), [1, 1], "seed 1 is defined more than once"),
        (IMAGES, ("seeds",), [], "at least 1 item"),
        (IMAGES, ("seeds",), [-1], "greater than or equal to 0"),
        (IMAGES, ("trainings", 0, "optimiser", "learning_rate"), 1e300, "less than or equal to"),
        (IMAGES, ("trainings", 0, "samples_per_epoch"), 10**30, "less than or equal to 1000000000"),
        (IMAGES, ("trainings", 0, "augmentation"), "basci", "'none', 'basic' or 'randaugment'"),
        (IMAGES, ("trainings", 0, "augmentation"), [{"kind": "mixup"}], "'mixup'"),
        (IMAGES, ("trainings", 0, "augmentation"), [{"kind": "randaugment", "n": 1, "m": 1}], "so m is 2 or more"),
        (IMAGES, ("trainings", 0, "augmentation"), [{"kind": "affine", "scale": [2, 1]}], "the smaller number comes"),
        (VOLUMES, ("trainings",), IMAGES["trainings"], "digits is for segmentation, its training is not"),
        (VOLUMES, ("performance",), "accuracy", "digits is for segmentation, performance is not"),
        (VOLUMES, ("studies", 0, "patches"), None, "digits is for segmentation, `patches` is not"),
        (VOLUMES, ("studies", 0, "start_rule"), "balanced", 'the start of patches is start_rule = "all-classes"'),
        (VOLUMES, ("studies", 0, "patches", "stride"), [2, 2], "different numbers of axes"),
        (VOLUMES, ("trainings", 0, "folds"), 1, "greater than or equal to 2"),
    ],
)
def test_what_does_not_agree_is_refused(fields, path, value, sentence):
    with pytest.raises(ValidationError) as caught:
        read_benchmark(changed(fields, path, value))
    assert sentence in str(caught.value)


def test_things_defined_twice_are_refused():
    for part in ("studies", "trainings"):
        with pytest.raises(ValidationError, match="is defined more than once"):
            read_benchmark(changed(IMAGES, (part,), IMAGES[part] * 2))
