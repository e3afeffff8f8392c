"""The protocol of FD-Shifts against public facts: its networks by name and number, its samples, its rows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from harness.data.catalog import LoadedBenchmark, find_protocol
from harness.data.manifests import find_dataset
from harness.methods.discovery import find_method
from harness.spec.errors import UsageError
from harness.tracks.confidence.leaderboard import ConfidenceLeaderboard
from harness.tracks.confidence.released import _rows
from harness.tracks.confidence.track import ConfidenceTrack
from tests.spec.test_released import spec

ICLR_2023 = {  # FD-Shifts' own list of experiments, `iclr2023`: 989, of which 518 are convolutional (`augrc2024`)
    "svhn": (60, 75),
    "cifar10": (60, 50),
    "cifar100": (90, 80),
    "super": (90, 80),
    "breeds": (28, 36),
    "animals": (70, 100),
    "camelyon": (120, 50),
}
NAMES = {  # some of that list
    "vit/breeds_modeldg_bbvit_lr0.001_bs128_run0_do0_rew15",
    "vit/breeds_modelvit_bbvit_lr0.01_bs128_run1_do1_rew0",
    "vit/cifar100_modeldg_bbvit_lr0.01_bs128_run4_do1_rew20",
    "vit/cifar10_modeldg_bbvit_lr0.0003_bs128_run0_do0_rew2.2",
    "vit/cifar10_modelvit_bbvit_lr0.01_bs128_run4_do1_rew0",
    "vit/super_cifar100_modeldg_bbvit_lr0.001_bs128_run2_do1_rew12",
    "vit/super_cifar100_modelvit_bbvit_lr0.003_bs128_run0_do0_rew0",
    "vit/svhn_modeldg_bbvit_lr0.03_bs128_run0_do1_rew2.2",
    "vit/svhn_modelvit_bbvit_lr0.01_bs128_run4_do0_rew0",
    "vit/wilds_animals_modeldg_bbvit_lr0.003_bs128_run3_do1_rew15",
    "vit/wilds_animals_modelvit_bbvit_lr0.01_bs128_run0_do0_rew0",
    "vit/wilds_camelyon_modeldg_bbvit_lr0.001_bs128_run4_do0_rew6",
}
NOT_TRAINED = {  # combinations that the list does not have
    "vit/wilds_animals_modeldg_bbvit_lr0.01_bs128_run0_do0_rew2.2",
    "vit/wilds_animals_modelvit_bbvit_lr0.001_bs128_run0_do1_rew0",
    "vit/svhn_modelvit_bbvit_lr0.03_bs128_run0_do0_rew0",
    "vit/cifar10_modelvit_bbvit_lr0.01_bs128_run0_do0_rew0",
    "vit/breeds_modelvit_bbvit_lr0.01_bs128_run2_do1_rew0",
}
TOTALS = {"svhn": 56_032, "cifar10": 131_032, "cifar100": 131_032, "super": 11_400, "breeds": 177_592, "animals": 50_945, "camelyon": 118_614}  # fmt: skip
"""Rows by training set as FD-Shifts' own validator counts them, with thinned corruptions (75,000 for 750,000)."""


@pytest.fixture(scope="module")
def benchmark():
    return find_protocol("confidence-fdshifts@3").benchmark


def experiments(benchmark):
    return {each.id: each for each in benchmark.source.experiments}


def test_all_networks_of_the_study_are_there_by_training_set(benchmark):
    counts = Counter(model.experiment for model in benchmark.source.models)
    assert {name: (counts[name], counts[f"{name}-vit"]) for name in ICLR_2023} == ICLR_2023
    assert sum(convolutional for convolutional, _ in ICLR_2023.values()) == 518
    assert sum(transformers for _, transformers in ICLR_2023.values()) == 471
    opened = {name: count for name, count in counts.items() if "-open" in name}
    assert opened == {"svhn-open": 60, "svhn-open-vit": 75, "animals-open": 70, "animals-open-vit": 90}


def test_checkpoints_have_the_names_of_the_study(benchmark):
    found = {"/".join(model.checkpoint.split("/")[2:4]) for model in benchmark.source.models}
    assert len(found) == len(benchmark.source.models)
    assert found >= NAMES
    assert not found & NOT_TRAINED
    assert all(model.checkpoint.endswith("/version_*/last.ckpt") for model in benchmark.source.models)


def test_the_first_518_networks_are_those_of_version_1(benchmark):
    before = [model.checkpoint for model in find_protocol("confidence-fdshifts@1").benchmark.source.models]
    assert [model.checkpoint for model in benchmark.source.models][: len(before)] == before


def test_methods_without_a_head_run_on_plain_classifiers(benchmark):
    by_default = Counter((m.family, m.head) for m in benchmark.source.models if benchmark.runs_by_default(m))
    assert set(by_default) == {("confidnet", "confidnet"), ("vit", None)}
    assert by_default["vit", None] == 15 + 10 + 10 + 10 + 6 + 25 + 10 + 15 + 15


@pytest.mark.parametrize("name", TOTALS)
@pytest.mark.parametrize("transformer", ["", "-vit"])
def test_sets_have_as_many_rows_as_the_study_counts(benchmark, name, transformer):
    experiment = experiments(benchmark)[name + transformer]
    sizes = {each.id: each.count for each in experiment.sets if each.id != experiment.reference.train}
    assert sum(sizes.values()) == TOTALS[name]
    assert sizes[f"{name}{transformer}-validation"] == 1000


def test_every_network_has_training_outputs_of_its_own_training_set(benchmark):
    for experiment in benchmark.source.experiments:
        train = next(each for each in experiment.sets if each.id == experiment.reference.train)
        assert train.part == ("super-train" if experiment.id.startswith("super") else "train")
        assert (train.rows, train.shuffle) == (None, None), "the whole set, in its order"
        assert experiment.images == (train.images or experiment.images)


def test_camelyons_validation_is_drawn_as_by_the_authors(benchmark):
    """They permute the indices of `id_val` by `numpy.random.default_rng(12345)`, then take the first 1000."""
    of_table = np.sort(np.random.default_rng(0).choice(400_000, size=33_560, replace=False))
    expected = np.random.default_rng(12345).permutation(of_table)
    for name in ("camelyon", "camelyon-vit"):
        sets = {each.id: each for each in experiments(benchmark)[name].sets}
        validation, test = (of_table[_rows(sets[f"{name}-{part}"], 33_560)] for part in ("validation", "test"))
        assert np.array_equal(np.concatenate([validation, test]), expected)


def test_superclasses_begin_with_the_test_file_and_take_the_choice_of_cifar_100(benchmark):
    parts = find_dataset("cifar-100").spec.parts
    assert parts["super-shift"].of == ("test", "train")
    assert parts["super-shift"].steps == parts["super-test"].steps
    for name in ("super", "super-vit"):
        assert {each.part for each in experiments(benchmark)[name].sets} == {"super-train", "super-shift"}
        assert experiments(benchmark)[name].choice == name.replace("super", "cifar100")
    assert "super-choice" not in {study.id for study in benchmark.studies}


def test_transformers_take_images_of_384_pixels_resized_as_tensors(benchmark):
    for name, experiment in experiments(benchmark).items():
        if name.endswith("-vit"):
            assert (experiment.network, experiment.image_size) == ("vit-b16", 384)
            for how in [experiment.images, *(each.images for each in experiment.sets if each.images)]:
                assert (how.resize, how.interpolation) == (384, "four-neighbours")
                assert how.crop == (384 if name.startswith(("breeds", "animals")) else None)


def test_a_typing_error_of_the_authors_is_part_of_their_outputs(benchmark):
    """A standard deviation of .384 for .224: in Camelyon17 of transformers, and in TinyImageNet of all networks."""
    odd = {
        each.id
        for experiment in benchmark.source.experiments
        for each in experiment.sets
        if (each.images or experiment.images).std[1] == 0.384
    }
    camelyon = {f"camelyon-vit-{part}" for part in ("train", "validation", "test", "shifted")}
    assert odd == camelyon | {
        f"{name}{vit}-tinyimagenet" for name in ("svhn", "cifar10", "cifar100") for vit in ("", "-vit")
    }


def test_transformers_meet_tiny_imagenet_at_its_own_size(benchmark):
    """Its validation images of 64 pixels; convolutional networks the set of 32 pixels that others had made of it."""
    sets = {each.id: each for experiment in benchmark.source.experiments for each in experiment.sets}
    assert (sets["svhn-vit-tinyimagenet"].dataset, sets["svhn-vit-tinyimagenet"].part) == ("tiny-imagenet", "valid")
    assert sets["svhn-tinyimagenet"].dataset == "tiny-imagenet-resize"


def test_open_sets_are_whole_test_sets_and_nothing_is_chosen(benchmark):
    for name, count in (("svhn-open", 26_032), ("animals-open", 8_154)):
        for transformer in ("", "-vit"):
            experiment = experiments(benchmark)[name + transformer]
            assert (experiment.open_set, experiment.choice) == (True, "none")
            assert [each.count for each in experiment.sets if each.id != experiment.reference.train] == [count]
            assert experiment.reference.validation is None


def test_rows_are_those_of_the_published_table_for_both_kinds_of_classifier(benchmark):
    """Columns of the table: iid, sub-class shift, corruptions, semantic and non-semantic new classes, open sets."""
    groups = {study.group for study in benchmark.compared}
    convolutional = {
        *(f"{name}-iid" for name in ICLR_2023 if name != "super"),
        *(f"{name}-shifted" for name in ("breeds", "animals", "camelyon")),
        "cifar100-subclass",
        *(f"{name}-corrupted" for name in ("cifar10", "cifar100")),
        *(f"{name}-semantic" for name in ("cifar10", "cifar100", "svhn", "animals")),
        *(f"{name}-non-semantic" for name in ("cifar10", "cifar100", "svhn")),
    }
    transformers = {f"{name.split('-')[0]}-vit-{name.partition('-')[2]}" for name in convolutional}
    assert groups == convolutional | {
        "cifar100-subclass-vit" if name == "cifar100-vit-subclass" else name for name in transformers
    }


class Left(NamedTuple):
    """A unit in which a method did not apply."""

    model: str
    study: str


def test_a_run_has_no_row_for_networks_that_have_not_the_head_of_the_method():
    protocol = find_protocol("confidence-fdshifts@3")
    names = {method: [each.name for each in track(protocol, method).scopes({})] for method in ("msr", "confidnet")}
    assert {name for name in names["msr"] if "vit" not in name} == set(names["confidnet"])
    assert "svhn-semantic" in names["confidnet"]


def test_only_what_a_method_could_not_learn_is_no_debt_of_it(benchmark):
    board = ConfidenceLeaderboard(find_protocol("confidence-fdshifts@3"))
    opened = Left("svhn-open-confidnet-do0-rew2.2-run1", "svhn-open-set")
    other = Left("svhn-confidnet-do0-rew2.2-run1", "svhn-iid")
    assert {opened.model, other.model} <= {model.id for model in benchmark.source.models}
    assert board.exempt([opened, other]) == [opened]


def track(protocol, method):
    return ConfidenceTrack(protocol, find_method(method).spec)


def test_members_of_networks_without_dropout_are_refused():
    def still(fields):
        fields["studies"].pop(0)
        fields["source"]["experiments"][0]["grids"] = [
            {"family": "plain", "rewards": [2.2], "runs": [1], "dropout": [False]}
        ]

    protocol = LoadedBenchmark(spec(still), "0" * 64, Path("study.toml"))
    assert len(track(protocol, "msr").models) == 1
    with pytest.raises(UsageError, match=r"mcd-msr looks at members .*, but no network of study@1 was trained with"):
        _ = track(protocol, "mcd-msr").models
