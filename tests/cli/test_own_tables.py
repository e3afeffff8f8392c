"""A table of one's own that cannot be read: one sentence, exit code 2, before anything is said or made."""

from __future__ import annotations

import codecs
from pathlib import Path

import numpy as np
import pytest

from tests.cli.support import MARGIN, harness, write_toy

pytestmark = pytest.mark.usefixtures("in_this_process")

BENCHMARK = """
schema_version = 1
id = "mine"
version = 1
title = "Mine"
task = "confidence"
metrics = ["augrc"]
studies = [{ id = "iid", kind = "iid", samples = "all", group = "iid" }]
bootstrap = { replicates = 20 }
[source]
kind = "results"
models = [{ id = "one", table = { path = "results.csv" } }]
sets = { all = { rows = "all" } }
"""
RESULTS = "label,prediction,confidence\n" + "".join(f"{n % 3},{n % 2},0.{n}\n" for n in range(10, 40))


def evaluated(folder: Path, results: bytes, benchmark: bytes = BENCHMARK.encode(), *words: str):
    (folder / "mine.toml").write_bytes(benchmark)
    (folder / "results.csv").write_bytes(results)
    return harness("evaluate", "head-confidence", "--benchmark", "mine.toml", *words, folder=folder)


BAD = {
    "semicolons": (RESULTS.replace(",", ";"), "separates its columns by semicolons; save it with commas"),
    "semicolons and decimal commas": (
        RESULTS.replace(",", ";").replace(".", ","),
        "separates its columns by semicolons; save it with commas between columns and points in numbers.",
    ),
    "tabs": (RESULTS.replace(",", "\t"), "separates its columns by tabs"),
    "text for a number": (
        RESULTS.replace("0.17", "high"),
        "confidence holds 'high' in row 7 (counted from 0), not a number",
    ),
    "an empty cell": (
        RESULTS.replace("0.17", ""),
        "confidence holds NaN or infinite values, first in row 7 (counted from 0)",
    ),
    "a broken class": (RESULTS.replace("\n2,", "\n2.5,", 1), "label must hold class indices"),
    "no rows": ("label,prediction,confidence\n", "has no rows."),
    "another column": (RESULTS.replace("confidence", "score"), "has no column confidence"),
    "a short row": (f"{RESULTS}1,1\n", "is not a readable csv file"),
}


@pytest.mark.parametrize(("results", "sentence"), BAD.values(), ids=BAD)
def test_a_bad_table_is_a_mistake_to_mend(results: str, sentence: str, tmp_path: Path) -> None:
    done = evaluated(tmp_path, results.encode())
    assert done.returncode == 2
    assert done.stderr.startswith("error: "), "no check of the method comes before"
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_a_byte_order_mark_is_read_over(tmp_path: Path) -> None:
    plain = evaluated(tmp_path, RESULTS.encode(), BENCHMARK.encode(), "--out", "plain")
    marked = evaluated(
        tmp_path, codecs.BOM_UTF8 + RESULTS.encode(), codecs.BOM_UTF8 + BENCHMARK.encode(), "--out", "marked"
    )
    assert (plain.returncode, marked.returncode) == (0, 0), marked.stderr
    assert plain.stdout.split("Run:")[0].replace("plain", "marked") == marked.stdout.split("Run:")[0]


def test_a_byte_order_mark_in_a_methods_file(tmp_path: Path) -> None:
    write_toy(tmp_path)
    (tmp_path / "margin.py").write_bytes(codecs.BOM_UTF8 + MARGIN.encode())
    done = harness("evaluate", "margin.py", "--benchmark", "toy.toml", folder=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_table_of_outputs_with_nan_is_a_mistake_too(tmp_path: Path) -> None:
    write_toy(tmp_path)
    with np.load(tmp_path / "table.npz") as stored:
        logits, labels = stored["logits"], stored["labels"]
    logits[7, 1] = np.nan
    np.savez(tmp_path / "table.npz", logits=logits, labels=labels)
    done = harness("evaluate", "msr", "--benchmark", "toy.toml", folder=tmp_path)
    assert done.returncode == 2
    assert "logits holds NaN or infinite values, first in row 7 (counted from 0)" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_results_are_planned_with_the_method_that_reads_them(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(BENCHMARK)
    (tmp_path / "results.csv").write_text(RESULTS)
    done = harness("plan", "--benchmark", "mine.toml", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("head-confidence on mine@1")


def test_a_changed_table_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    for table in (RESULTS, RESULTS, RESULTS.replace("0.17", "0.99")):
        assert evaluated(tmp_path, table.encode()).returncode == 0
    assert len(list((tmp_path / "runs").iterdir())) == 2
