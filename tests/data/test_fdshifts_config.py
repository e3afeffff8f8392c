"""Configurations of FD-Shifts' experiments, as Hydra leaves them beside the checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.data.fdshifts_config import MAX_BYTES, read_experiment
from harness.spec.errors import UsageError
from harness.storage import IntegrityError, UnsafeArtefactError

CHOICE = "${fd_shifts.ifeq_else:${eval.ext_confid_name},devries,devries_and_enc,${fd_shifts.ifeq_else:${eval.ext_confid_name},tcp,confidnet_and_enc,vgg13}}"
BACKBONE = "${fd_shifts.ifeq_else:${eval.ext_confid_name},devries,vgg13,${fd_shifts.ifeq_else:${eval.ext_confid_name},tcp,vgg13,null}}"
CONFIG = """
exp: {{group_name: cifar10_paper_sweep, global_seed: '${{fd_shifts.random_seed:}}', dir: '${{oc.env:ROOT}}/x'}}
data:
  dataset: cifar10
  img_size: [32, 32, 3]
  num_classes: 10
  augmentations:
    train: {{random_crop: [32, 4], hflip: true, to_tensor: null, cutout: 16}}
    test: {{to_tensor: null, normalize: [[0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]]}}
  kwargs: {kwargs}
model:
  name: {model}
  dropout_rate: {dropout}
  dg_reward: 2.2
  network: {{name: '{name}', backbone: '{backbone}'}}
eval: {{ext_confid_name: {head}, query_studies: {{iid_study: '${{data.dataset}}'}}}}
"""


def written(folder: Path, **changes: object) -> Path:
    fields = {
        "kwargs": "null",
        "model": "confidnet_model",
        "dropout": 1,
        "name": CHOICE,
        "backbone": BACKBONE,
        "head": "tcp",
    }
    path = folder / "config.yaml"
    path.write_text(CONFIG.format(**fields | changes))
    return path


@pytest.mark.parametrize(
    ("head", "expected", "reward"),
    [("tcp", "confidnet", None), ("devries", "devries", None), ("dg", "deep-gamblers", 2.2)],
)
def test_choices_are_followed(tmp_path, head, expected, reward):
    found = read_experiment(written(tmp_path, head=head))
    assert (found.network, found.head, found.reward) == ("vgg13", expected, reward)
    assert (found.data_set, found.classes, found.image_size, found.dropout) == ("cifar10", 10, 32, True)
    assert found.mean == (0.4914, 0.4822, 0.4465)
    assert found.std == (0.2023, 0.1994, 0.2010)
    assert (found.held_out_classes, found.seed) == ((), None)


def test_plain_values(tmp_path):
    path = written(tmp_path, name="svhn_small_conv", head="dg", dropout=0, kwargs="{out_classes: [6, 7, 8, 9]}")
    path.write_text(path.read_text().replace("'${fd_shifts.random_seed:}'", "421337"))
    found = read_experiment(path)
    assert (found.network, found.dropout, found.held_out_classes, found.seed) == (
        "svhn-small-conv",
        False,
        (6, 7, 8, 9),
        421337,
    )


def test_vision_transformers_without_a_head(tmp_path):
    found = read_experiment(written(tmp_path, name="vit", head="null", model="vit_model"))
    assert (found.network, found.head, found.reward) == ("vit-b16", None, None)


def test_references_to_references(tmp_path):
    path = written(tmp_path)
    path.write_text(
        path.read_text().replace("num_classes: 10", "num_classes: '${a.b}'") + "\na: {b: '${a.c}', c: 10}\n"
    )
    assert read_experiment(path).classes == 10


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("num_classes: 10", "num_classes: '${oc.env:CLASSES}'", "data.num_classes is .*known only when"),
        ("num_classes: 10", "num_classes: '${a.b}'\na: {b: '${a.b}'}", "known only when"),
        ("num_classes: 10", "num_classes: '${data.{x'", "known only when"),
        ("num_classes: 10", "num_classes: '1${data.dataset}'", "known only when"),
        ("num_classes: 10", "num_classes: 10.5", "not a whole number"),
        ("num_classes: 10", "classes: 10", "says nothing of data.num_classes"),
        ("img_size: [32, 32, 3]", "img_size: []", "not a list of numbers"),
        ("img_size: [32, 32, 3]", "img_size: {}", "not a list of numbers"),
        ("dataset: cifar10", "dataset: [1]", "not a name"),
        ("[[0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]]", "[0.5, 0.5]", "not means and standard deviations"),
    ],
)  # fmt: skip
def test_what_is_missing_or_unknown_has_a_sentence(tmp_path, old, new, said):
    path = written(tmp_path)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    if "\na:" in new:
        path.write_text(
            written(tmp_path).read_text().replace(old, new.split("\n")[0]) + "\n" + new.split("\n")[1] + "\n"
        )
    with pytest.raises(UsageError, match=said):
        read_experiment(path)


def test_unknown_networks_have_a_sentence(tmp_path):
    with pytest.raises(UsageError, match="the network 'vgg16' is none of vgg13"):
        read_experiment(written(tmp_path, name="vgg16", backbone="vgg16"))


def test_no_file(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        read_experiment(tmp_path / "config.yaml")


def test_tags_of_python_are_refused_and_not_run(tmp_path):
    path, marker = tmp_path / "config.yaml", tmp_path / "ran"
    path.write_text(f"data: !!python/object/apply:os.system ['touch {marker}']\n")
    with pytest.raises(UnsafeArtefactError, match="wants to make an object"):
        read_experiment(path)
    path.write_text("data: !omegaconf {a: 1}\n")
    with pytest.raises(UnsafeArtefactError, match="omegaconf"):
        read_experiment(path)
    assert not marker.exists()


def test_endless_and_damaged_files_are_refused(tmp_path):
    path = tmp_path / "config.yaml"
    laughs = "\n".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60))
    path.write_text(f"a0: &a0 [ha]\n{laughs}\n")
    with pytest.raises(IntegrityError, match="aliases"):
        read_experiment(path)
    for content in ("a: [1, 2", "- 1\n- 2", "\t\tx: {", ""):
        path.write_text(content)
        with pytest.raises(IntegrityError, match=r"not YAML|no configuration"):
            read_experiment(path)
    path.write_bytes(b"a: '" + b"x" * MAX_BYTES + b"'")
    with pytest.raises(IntegrityError, match="far more than a configuration"):
        read_experiment(path)
    path.write_text("[" * 100_000)
    with pytest.raises(IntegrityError, match="nested too deeply"):
        read_experiment(path)
