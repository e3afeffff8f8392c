"""What `evaluate` refuses of a benchmark of one's own before anything is run, `plan` refuses with the same sentence."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from harness.data.catalog import bundled_folder
from tests.cli.own_benchmarks import KINDS
from tests.cli.support import harness, write_toy

pytestmark = pytest.mark.usefixtures("in_this_process")

SETS = "validation = {{ named = 'val' }}\niid = {{ named = '{}' }}\n"
ROWS = "validation = { rows = [0, 100] }\niid = { rows = [100, 400] }\n"


def refused(folder: Path, method: str, sentence: str, benchmark: str = "my.toml") -> None:
    """Every way to plan says what evaluate says, and nothing is run."""
    words = ("--benchmark", benchmark)
    evaluated = harness("evaluate", method, *words, "--workers", "1", folder=folder)
    assert sentence in evaluated.stderr
    assert not list(folder.glob("runs/*/journal.log"))
    for verb in (("plan",), ("plan", "--estimate"), ("plan", "--json"), ("evaluate", "--dry-run")):
        planned = harness(*verb, method, *words, folder=folder)
        assert planned.returncode == 2, planned.stdout
        assert planned.stderr == f"error: {evaluated.stderr.rpartition('error: ')[2]}"


def table_of_sets(folder: Path, named: str) -> None:
    toy = write_toy(folder)
    toy.write_text(toy.read_text().replace(ROWS, SETS.format(named)))
    with np.load(folder / "table.npz") as stored:
        np.savez(folder / "table.npz", **stored, set=np.repeat(["val", "test"], [100, 300]))


def test_a_set_that_the_table_does_not_name(tmp_path: Path) -> None:
    table_of_sets(tmp_path, "tset")
    refused(
        tmp_path, "msr", "no set of samples in table.npz is called 'tset'; did you mean test?", benchmark="toy.toml"
    )


def test_a_set_that_a_method_learns_from(tmp_path: Path) -> None:
    table_of_sets(tmp_path, "test")
    toy = tmp_path / "toy.toml"
    toy.write_text(toy.read_text().replace("'val'", "'vla'"))
    method = (tmp_path / "margin.py").read_text() + "\n@confidence_score(version='1')\nclass Learnt:\n"
    method += "    def fit(self, validation):\n        pass\n\n    def score(self, outputs):\n"
    (tmp_path / "learnt.py").write_text(method + "        return outputs.logits[:, 0]\n")
    refused(
        tmp_path, "learnt.py:Learnt", "no set of samples in table.npz is called 'vla'; did you mean val?", "toy.toml"
    )


def test_rows_that_the_table_does_not_have(tmp_path: Path) -> None:
    toy = write_toy(tmp_path)
    toy.write_text(toy.read_text().replace("[100, 400]", "[100, 401]"))
    refused(tmp_path, "msr", "has 400 rows", benchmark="toy.toml")


@pytest.mark.parametrize(
    ("kind", "right", "wrong", "sentence"),
    [
        ("attribution", 'inputs = "images"', 'inputs = "imgaes"', "is called 'imgaes'; did you mean images?"),
        ("classification", "classes = 3,", 'classes = 3, labels = "label",', "is called 'label'; did you mean labels?"),
    ],
)
def test_an_array_that_the_file_does_not_have(kind: str, right: str, wrong: str, sentence: str, tmp_path: Path) -> None:
    own = KINDS[kind]
    own.write(tmp_path)
    text = (tmp_path / "my.toml").read_text()
    assert right in text
    (tmp_path / "my.toml").write_text(text.replace(right, wrong, 1))
    refused(tmp_path, own.methods[0], sentence)


def test_a_split_that_is_not_listed(tmp_path: Path) -> None:
    text = (bundled_folder("leaderboards") / "confidence-mnist" / "1" / "benchmark.toml").read_text()
    assert 'split = "test"' in text
    text = re.sub(r"^(status|successor|reason) = .*\n", "", text, flags=re.MULTILINE)  # as it was before its end
    (tmp_path / "my.toml").write_text(text.replace('split = "test"', 'split = "tset"'))
    refused(tmp_path, "msr", "is called 'tset'; did you mean test?")


def test_files_that_are_not_here_yet_are_listed(tmp_path: Path) -> None:
    """Such a plan says what is to be fetched."""
    KINDS["classification"].write(tmp_path)
    (tmp_path / "test.npz").unlink()
    done = harness("plan", "random-sampling", "--benchmark", "my.toml", "--json", folder=tmp_path)
    assert json.loads(done.stdout)["files_absent"] == ["test.npz"]
