"""Benchmarks of users: what must not pass silently, and the corruption layout of FD-Shifts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.data.catalog import load_protocol
from harness.spec.errors import UsageError
from harness.storage import IntegrityError
from harness.tracks.confidence.sources import open_source
from tests.cli.support import harness, write_toy

pytestmark = pytest.mark.usefixtures("in_this_process")

FOLDER = """
id = "folder"
version = 1
title = "Folder"
task = "confidence"
metrics = ["augrc"]
studies = [
    { id = "iid", kind = "iid", samples = "iid", group = "iid" },
    { id = "noise-2", kind = "covariate-shift", samples = "noise-2", group = "noise" },
]
[source]
kind = "fd-shifts"
models = [{ id = "one", folder = "results" }]
sets = { iid = 1, noise-2 = { dataset_idx = 2, severity = 2 } }
"""


def write_folder(root: Path, noisy: int) -> Path:
    """Four iid samples, then `noisy` of a corruption study whose first logit counts the samples."""
    (root / "results").mkdir()
    index = np.repeat([1, 2], [4, noisy])
    logits = np.zeros((4 + noisy, 3))
    logits[4:, 0] = np.arange(noisy)
    np.savez(root / "results" / "raw_logits.npz", np.column_stack([logits, np.zeros(4 + noisy), index]))
    path = root / "folder.toml"
    path.write_text(FOLDER)
    return path


def test_one_severity_is_taken_from_every_corruption(tmp_path: Path) -> None:
    images = 3
    protocol = load_protocol(write_folder(tmp_path, 15 * 5 * images))
    samples = open_source(protocol, "cpu").samples(protocol.benchmark.source.models[0], "noise-2")
    expected = [c * 5 * images + 1 * images + i for c in range(15) for i in range(images)]
    assert samples.arrays["logits"][:, 0].tolist() == expected
    assert len(samples.labels) == len(expected)


def test_a_set_that_is_no_grid_of_corruptions_has_no_severities(tmp_path: Path) -> None:
    protocol = load_protocol(write_folder(tmp_path, 76))
    with pytest.raises(IntegrityError, match="76 samples are not 15 corruptions at 5 severities"):
        open_source(protocol, "cpu").samples(protocol.benchmark.source.models[0], "noise-2")


def test_reference_rows_that_are_tested_on_are_refused(tmp_path: Path) -> None:
    path = write_toy(tmp_path)
    path.write_text(path.read_text().replace("rows = [0, 100]", "rows = [0, 101]"))
    protocol = load_protocol(path)
    with pytest.raises(UsageError, match="validation and the tested set iid share 1 samples"):
        open_source(protocol, "cpu").samples(protocol.benchmark.source.models[0], "iid")


@pytest.mark.parametrize(("shift", "says"), [(1, "from 1 to 4"), (-1, "from -1 to 2")])
def test_labels_that_do_not_count_from_zero_are_refused(tmp_path: Path, shift: int, says: str) -> None:
    write_toy(tmp_path)
    with np.load(tmp_path / "table.npz", allow_pickle=False) as table:
        np.savez(tmp_path / "table.npz", logits=table["logits"], labels=table["labels"] + shift)
    done = harness("evaluate", "msr", "--benchmark", "toy.toml", folder=tmp_path)
    assert done.returncode == 2
    assert f"labels run {says}, but the 4 classes are numbered 0 to 3" in done.stderr
