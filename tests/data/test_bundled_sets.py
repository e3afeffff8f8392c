"""Every bundled data set: a manifest that says what it must, and a card that a reader can use."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.data.catalog import bundled_folder
from harness.data.manifests import dataset_manifests, find_dataset

NAMES = sorted(dataset_manifests())
PUBLISHED = [
    "cifar-10",
    "cifar-100",
    "cifar-10-c",
    "cifar-100-c",
    "svhn",
    "tiny-imagenet",
    "tiny-imagenet-resize",
    "breeds-entity13",
    "iwildcam",
    "camelyon17",
    "dermoscopy",
    "chest-xray",
    "rxrx1",
    "lidc-idri",
    "hippocampus",
    "acdc",
    "kits21",
    "amos22",
    "lits",
    "word",
    "mama-mia",
    "toothfairy2",
    "cifar-10-lt",
    "isic-2019",
    "mio-tcd",
    "imagenet-val",
    "oct2017",
    "resisc45",
    "adrenalmnist3d",
    "organmnist3d",
    "vesselmnist3d",
    "coma",
    "modelnet40",
    "shapenet",
    "latec-weights",
    "latec-scores",
    "latec-maps",
    "nnactive-results",
    "fdshifts-weights",
]


def test_the_sets_of_the_published_systems_are_there() -> None:
    assert set(PUBLISHED) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_manifest_and_card(name: str) -> None:
    spec = find_dataset(name).spec
    card = (bundled_folder("datasets") / name / "README.md").read_text()
    assert card.startswith(f"# {name}\n")
    assert "Licence" in card
    assert spec.licence
    assert all(len(each) > 20 and each.endswith(".") for each in spec.citation)
    assert spec.access == "open" or spec.terms
    assert spec.homepage.startswith("http")
    if not find_dataset(name).locked:
        assert "sha256" in card or "not recorded here" in spec.licence, "an unlocked set must say so on its card"


@pytest.mark.parametrize("name", [name for name in NAMES if find_dataset(name).spec.reader is not None])
def test_parts_are_made_of_parts_that_exist(name: str) -> None:
    parts = find_dataset(name).spec.parts
    assert parts

    def depth(part: str, above: tuple[str, ...] = ()) -> int:
        assert part not in above
        return 1 + max((depth(each, (*above, part)) for each in parts[part].of), default=0)

    assert all(depth(part) < 5 for part in parts)


def test_a_product_is_made_of_one_data_set_only() -> None:
    paths = [product.path for name in NAMES for product in find_dataset(name).spec.products]
    assert len(paths) == len(set(paths))


def test_no_card_names_a_path_of_a_machine() -> None:
    for path in Path(bundled_folder("datasets")).rglob("*"):
        if path.suffix in (".md", ".toml"):
            assert "/home/" not in path.read_text()
            assert "/tmp/" not in path.read_text()
