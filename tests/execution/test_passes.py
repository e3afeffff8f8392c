"""From the network in the worker to the cost of a submission: nothing lost, nothing counted twice, nothing made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.boards.submissions import cost_of
from harness.execution.channel import Message
from harness.execution.evaluate import Request, prepare, run
from harness.execution.executor import UnitEnd
from harness.execution.method_process import _counted
from harness.execution.plan import unit_result
from harness.execution.run_files import JOURNAL, SEALED
from harness.execution.run_result import RunResult
from harness.execution.runner import _all_passes
from harness.spec.result import Passes
from harness.storage import Journal
from tests.execution.support import request_one
from tests.tracks.attribution.support import BENCHMARK, GRADIENT, SAMPLES, write_benchmark

MODELS = ("small", "second")
SPARSE = BENCHMARK.replace('overall = ["faithfulness", "complexity"]', 'overall = ["complexity"]').replace(
    'metrics = ["faithfulness_estimate", "sparseness", "relevance_mass", "local_lipschitz"]', 'metrics = ["sparseness"]'
)


@pytest.fixture
def wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Request:
    """Two units in which a method makes one forward and one backward pass a map, and no metric asks again."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    head, model, rest = SPARSE.partition('[[source.models]]\nid = "small"')
    first, sets, end = rest.partition("[[source.sets]]")
    text = head + model + first + model.replace("small", "second") + first + sets + end
    path = write_benchmark(tmp_path, text.replace('models = ["small"]', 'models = ["small", "second"]'))
    method = tmp_path / "mine.py"
    method.write_text("from harness import explainer\n" + GRADIENT)
    return Request(str(method), str(path), out=tmp_path / "runs", device="cpu", workers=1)


def test_a_run_counts_what_its_method_passes_and_a_resumed_one_the_same(wanted: Request) -> None:
    each = SAMPLES  # those that are asked for again, to see whether the maps are the same, do not count
    prepared = prepare(wanted)
    result = run(prepared)
    assert result.complete, result.failed
    timing = result.document.timing
    assert timing.unit_passes == dict.fromkeys(prepared.plan.units, Passes(forward=each, backward=each))
    assert timing.passes == Passes(forward=2 * each, backward=2 * each)
    cost = cost_of(result, prepared.track, prepared.plan.units)
    assert (cost.forwards, cost.backwards, cost.trainings) == (2 * each, 2 * each, None)
    # A run that lost a unit does it again, and has spent no more on it than before.
    lost = next(iter(prepared.plan.units))
    (result.folder / "outputs" / f"{lost[:16]}.npz").unlink()
    again = run(prepare(wanted))
    assert again.document.timing.resumed == 1
    assert again.document.timing.passes == timing.passes
    assert again.document.seal == result.document.seal, "outside of the seal"


def test_a_run_of_an_earlier_harness_counts_nothing_also_if_it_is_taken_up_again(wanted: Request) -> None:
    prepared = prepare(wanted)
    result = run(prepared)
    path = result.folder / JOURNAL
    with Journal.open(path) as journal:
        records = list(journal)
    path.unlink()
    with Journal.open(path) as journal:
        first = True
        for record in records:
            if "unit" in record and first:
                record, first = {name: value for name, value in record.items() if name != "passes"}, False
            journal.append(record)
    again = run(prepare(wanted))
    assert again.document.timing.passes is None, "a part would look like the whole"
    assert len(again.document.timing.unit_passes) == 1
    assert cost_of(again, prepared.track, prepared.plan.units).forwards is None
    text = (result.folder / SEALED).read_text()
    assert '"passes"' in text
    assert RunResult.open(result.folder).document.seal == result.document.seal


def test_methods_that_get_no_network_have_no_count(tmp_path: Path) -> None:
    result = run(prepare(request_one(tmp_path, "return outputs.probabilities.amax(1)", workers=1)))
    assert result.complete
    assert result.document.timing.passes is None
    assert result.document.timing.unit_passes == {}


def test_units_that_do_not_apply_or_failed_add_nothing(wanted: Request) -> None:
    unit = next(iter(prepare(wanted).plan.units.values()))
    counted = Passes(forward=3, backward=1)

    def ended(status: Any, passes: Passes | None) -> UnitEnd:
        return UnitEnd(unit_result(unit, status), 1.0, passes)

    others = [ended("failed", Passes(forward=100, backward=100)), ended("not-applicable", None)]
    assert _all_passes([ended("ok", counted), *others, ended("ok", counted)]) == Passes(forward=6, backward=2)
    assert _all_passes([ended("ok", counted), ended("ok", None)]) is None
    assert _all_passes(others) is None


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"passes": None},
        {"passes": 3},
        {"passes": {"forward": 1}},
        {"passes": {"forward": -1, "backward": 0}},
        {"passes": {"forward": 1.5, "backward": 0}},
        {"passes": {"forward": "3", "backward": 0}},
        {"passes": {"forward": True, "backward": 0}},
        {"passes": {"forward": 10**18, "backward": 0}},
        {"passes": {"forward": 1, "backward": 0, "more": 1}},
    ],
)
def test_what_a_worker_says_that_makes_no_sense_is_no_count(said: dict[str, Any]) -> None:
    assert _counted(Message("answer", said)) is None
    good = {"passes": {"forward": 3, "backward": 0}}
    assert _counted(Message("answer", good)) == Passes(forward=3, backward=0)
