"""query-realistic-al@2 is what the authors' launchers say: expected values are those of realistic-al (1a653ae)."""

from __future__ import annotations

import pytest

from harness.data.catalog import find_protocol

FLIP, UP = {"kind": "flip", "direction": "horizontal"}, {"kind": "flip", "direction": "vertical"}
STRONG = {"kind": "randaugment", "n": 2, "m": 10, "probability": 1.0, "operations": "fixmatch"}
WEAK = {"kind": "randaugment", "n": 1, "m": 2, "probability": 0.5, "operations": "fixmatch"}
EXTENDED = {**WEAK, "operations": "extended"}
SHIFT = {"kind": "shift", "share": 4 / 32, "outside": "mirrored"}
CROP = {"kind": "resized-crop", "area": [0.08, 1.0], "ratio": [0.75, pytest.approx(4 / 3)]}
ROTATION = {"kind": "rotation", "degrees": 180.0}
AFFINE = {"kind": "affine", "degrees": 180.0, "translate": 0.1, "scale": [0.7, 1.3]}
BLUR = {"kind": "blur", "sigma": [0.1, 2.0], "width": 0.1, "probability": 0.5}


def jitter(brightness, hue, probability=1.0):
    colours = dict.fromkeys(("brightness", "contrast", "saturation"), brightness)
    return {"kind": "jitter", **colours, "hue": hue, "probability": probability}


def cutout(side):
    return {"kind": "cutout", "side": side}


ISIC = [FLIP, UP, jitter(0.02, 0.01), ROTATION, AFFINE]
AUGMENTATIONS = {
    "cifar10-st": [FLIP, SHIFT, STRONG, cutout(0.5)],
    "cifar100-st": [FLIP, SHIFT, STRONG, cutout(0.5)],
    "cifar10-lt-st": [FLIP, SHIFT, STRONG, cutout(0.5)],
    "isic2019-st": [FLIP, UP, AFFINE, jitter(0.02, 0.01), STRONG],
    "miotcd-st": [CROP, FLIP, STRONG],
    "cifar10-self-sl": [FLIP, SHIFT, WEAK],
    "cifar100-self-sl": [FLIP, SHIFT, WEAK],
    "cifar10-lt-self-sl": [FLIP, SHIFT, WEAK],
    "isic2019-self-sl": {"low": ISIC, "medium": [*ISIC, WEAK], "high": [*ISIC, WEAK]},
    "miotcd-self-sl": {"low": [CROP, FLIP, EXTENDED, cutout(0.0)], "medium": [CROP, FLIP], "high": [CROP, FLIP]},
    "cifar10-semi-sl": [FLIP, {**SHIFT, "outside": "black"}],
    "cifar100-semi-sl": [FLIP, {**SHIFT, "outside": "black"}],
    "cifar10-lt-semi-sl": [FLIP, {**SHIFT, "outside": "black"}],
}


@pytest.fixture(scope="module")
def benchmark():
    return find_protocol("query-realistic-al@2").benchmark


def studies(benchmark):
    trainings = {each.id: each for each in benchmark.trainings}
    return [(study, trainings[study.training]) for study in benchmark.studies]


def test_augmentations(benchmark):
    found = studies(benchmark)
    assert len(found) == 36
    assert {study.group for study, _ in found} == set(AUGMENTATIONS)
    for study, training in found:
        expected = AUGMENTATIONS[study.group]
        if isinstance(expected, dict):
            (expected,) = (steps for regime, steps in expected.items() if f"-{regime}-" in study.id)
        assert training.canonical()["augmentation"] == expected, study.id


def test_images_are_normalised_by_their_own_mean(benchmark):
    found = {each.id: (each.mean, each.std) for each in benchmark.source.datasets}
    cifar_10 = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
    imagenet = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert found == {
        "cifar10": cifar_10,
        "cifar10-lt": cifar_10,
        "cifar100": ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
        "isic2019": imagenet,
        "miotcd": imagenet,
    }


def test_contrastive_training(benchmark):
    seen = set()
    for study, training in studies(benchmark):
        assert (training.pretraining is not None) == study.group.endswith("-self-sl")
        if training.pretraining is None:
            continue
        seen.add(study.dataset)
        large = study.dataset in ("isic2019", "miotcd")
        spec = training.pretraining.canonical()
        colour = jitter(0.8, 0.2, 0.8) if large else jitter(0.4, 0.1, 0.8)
        view = [CROP, FLIP, colour, {"kind": "grey", "probability": 0.2}, *([BLUR] if large else [])]
        assert spec["view"] == view, study.id
        assert spec["optimiser"]["weight_decay"] == (1e-6 if large else 1e-4)
        assert spec["epochs"] == (200 if study.dataset == "miotcd" else 1000)
        assert (spec["batch_size"], spec["temperature"]) == ((256, 0.1) if large else (512, 0.5))
        assert spec["optimiser"]["learning_rate"] == (4.8 if large else 1.0)
    assert len(seen) == 5


def test_nothing_but_what_its_changes_say_differs_from_version_1(benchmark):
    first = find_protocol("query-realistic-al@1").benchmark
    assert first.status == "withdrawn"
    assert benchmark.studies == first.studies
    assert (benchmark.seeds, benchmark.performance) == (first.seeds, first.performance)
    for old, new in zip(first.trainings, benchmark.trainings, strict=True):
        changed = {"augmentation": old.augmentation, "samples_per_epoch": old.samples_per_epoch}
        if old.pretraining is not None:
            decay = new.pretraining.optimiser.model_copy(update={"weight_decay": 1e-4})
            changed["pretraining"] = new.pretraining.model_copy(update={"view": None, "optimiser": decay})
        assert new.model_copy(update=changed) == old
        assert new.samples_per_epoch == (6400 if new.fixmatch else 5500)
