"""A run scored again from what it stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import harness
from harness.boards.replay import replay
from harness.data.catalog import LoadedBenchmark
from harness.execution.run_result import RunResult
from harness.spec.errors import UsageError

pytestmark = pytest.mark.usefixtures("in_this_process")


@pytest.fixture
def run(protocol: LoadedBenchmark, tmp_path: Path) -> RunResult:
    return harness.evaluate("msr", benchmark="toy@1", out=tmp_path / "runs", workers=1)


def test_a_run_is_what_it_was_under_its_own_benchmark_only(run: RunResult, protocol: LoadedBenchmark) -> None:
    for each in (run, RunResult.open(run.folder)):
        again = replay(each, protocol)
        assert again.changed == ()
        assert again.summary == run.document.summary
        assert again.records == {unit.unit: unit.records for unit in run.document.units}
        with pytest.raises(UsageError, match="another state of toy@1"):
            replay(each, replace(protocol, hash="1" * 64))


def test_another_score_is_named(run: RunResult, protocol: LoadedBenchmark) -> None:
    document = run.document
    row = document.summary[-1].model_copy(update={"value": 0.25})
    unit = document.units[0]
    record = unit.records[-1].model_copy(update={"value": 0.75})
    forged = document.model_copy(
        update={
            "summary": (*document.summary[:-1], row),
            "units": (unit.model_copy(update={"records": (*unit.records[:-1], record)}), *document.units[1:]),
        }
    )
    first, second = replay(replace(run, document=forged), protocol).changed
    assert first == f"{unit.study} {unit.model} {record.metric}: 0.75 became {unit.records[-1].value}"
    assert second == f"{row.study} {row.metric}: 0.25 became {document.summary[-1].value}"


def test_other_files_are_refused(run: RunResult, protocol: LoadedBenchmark) -> None:
    path = protocol.path.parent / "one.npz"
    with np.load(path, allow_pickle=False) as table:
        arrays = dict(table)
    arrays["logits"] = arrays["logits"] + 1.0
    np.savez(path, **arrays)
    with pytest.raises(UsageError, match="other files or other versions of the metrics"):
        replay(RunResult.open(run.folder), protocol)
