"""`harness data convert` as a user runs it."""

from __future__ import annotations

import hashlib
import json
import pickle

import pytest
import torch
from safetensors.torch import load_file

from tests.cli.support import harness


@pytest.fixture
def checkpoint(tmp_path):
    torch.save({"state_dict": {"a": torch.arange(6.0).reshape(2, 3)}, "epoch": 3}, tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt"


def test_weights_become_safetensors(tmp_path, checkpoint):
    done = harness("data", "convert", checkpoint.name, "out.safetensors", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1 tensors, 6 numbers" in done.stdout
    assert hashlib.sha256((tmp_path / "out.safetensors").read_bytes()).hexdigest() in done.stdout
    assert torch.equal(load_file(tmp_path / "out.safetensors")["a"], torch.arange(6.0).reshape(2, 3))
    again = harness("data", "convert", checkpoint.name, "out.safetensors", folder=tmp_path)
    assert (again.returncode, "--force" in again.stderr) == (2, True)
    forced = harness("data", "convert", checkpoint.name, "out.safetensors", "--force", "--json", folder=tmp_path)
    assert json.loads(forced.stdout)["tensors"] == {"a": [2, 3]}


def test_a_hostile_checkpoint_is_refused_with_a_code_of_its_own(tmp_path):
    (tmp_path / "bad.ckpt").write_bytes(pickle.dumps({"a": 1}))
    done = harness("data", "convert", "bad.ckpt", "out.safetensors", folder=tmp_path)
    assert done.returncode == 3
    assert "bare pickle" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("none.ckpt", "out.safetensors"), "none.ckpt does not exist"),
        (("last.ckpt", "out.pt"), "must end in .safetensors"),
        (("last.ckpt", "nowhere/out.safetensors"), "nowhere does not exist"),
    ],
)
def test_mistakes_have_sentences(tmp_path, checkpoint, arguments, sentence):
    done = harness("data", "convert", *arguments, folder=tmp_path)
    assert done.returncode == 2
    assert sentence in done.stderr
