"""`harness data import` and `harness data pack`, as users type them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from tests.cli.support import harness, write_toy
from tests.data.importers.latec_files import CONFIG, score_arrays

pytestmark = pytest.mark.usefixtures("in_this_process")


def test_scores_become_a_table_or_a_sentence(tmp_path: Path) -> None:
    np.savez(tmp_path / "eval_scores_oct.npz", *score_arrays())
    unnamed = harness("data", "import", "latec-scores", "eval_scores_oct.npz", folder=tmp_path)
    assert unnamed.returncode == 2
    assert "name one: --order published" in unnamed.stderr
    call = ("data", "import", "latec-scores", "eval_scores_oct.npz", "--order", "published")
    shown = harness(*call, folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "the first 20 of 4500 rows" in shown.stdout
    assert "oct-resnet50" in shown.stdout
    for name in ("scores.parquet", "scores.csv"):
        written = harness(*call, "--out", name, folder=tmp_path)
        assert written.returncode == 0, written.stderr
        assert "LATEC scores: 4500 rows, 0 of them without a value" in written.stdout
    table = parquet.read_table(tmp_path / "scores.parquet")
    assert table.schema.field("value").metadata[b"meaning"].startswith(b"score")
    with (tmp_path / "scores.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["value"]) for row in rows] == table.column("value").to_pylist()


def test_a_wrong_order_is_damage_and_leaves_no_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "eval_scores_oct.npz", *score_arrays(order=CONFIG))
    call = ("data", "import", "latec-scores", "eval_scores_oct.npz", "--order", "published", "--out", "scores.csv")
    done = harness(*call, folder=tmp_path)
    assert done.returncode == 3
    assert "all values fit --order config." in done.stderr
    assert not (tmp_path / "scores.csv").exists()


@pytest.mark.parametrize("out", ["scores.txt", "nowhere/scores.csv"])
def test_a_table_that_could_not_be_written_is_refused_first(out: str, tmp_path: Path) -> None:
    done = harness("data", "import", "openood", "x.csv", "--out", out, folder=tmp_path)
    assert done.returncode == 2
    assert f"--out {out} must end in .parquet or .csv and lie in a folder that exists." in done.stderr


def test_pack_evaluate_check(tmp_path: Path) -> None:
    write_toy(tmp_path)
    made = harness("data", "pack", "toy.toml", "--out", "pack", folder=tmp_path)
    assert made.returncode == 0, made.stderr
    assert "1 models, outputs of 400 samples" in made.stdout
    assert "Next: harness evaluate my_method.py --benchmark pack/benchmark.toml" in made.stdout
    checked = harness("data", "pack", "pack", "--check", folder=tmp_path)
    assert checked.returncode == 0
    assert "all as pack.json lists them." in checked.stdout
    run = harness("evaluate", "margin.py", "--benchmark", "pack/benchmark.toml", folder=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "toy-pack@1" in run.stdout
    (tmp_path / "pack" / "outputs" / "one" / "iid.safetensors").write_bytes(b"changed")
    damaged = harness("data", "pack", "pack", "--check", folder=tmp_path)
    assert damaged.returncode == 3
    assert "is not the file that pack.json lists" in damaged.stderr


def test_a_run_that_is_no_run_and_a_benchmark_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert "holds no sealed run" in harness("data", "pack", "folder", folder=tmp_path).stderr
    assert "no benchmark is called" in harness("data", "pack", "nothing@1", folder=tmp_path).stderr
