"""A run's place among the submissions, told apart by paired differences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import harness
from harness.boards.local import local_board
from harness.boards.place import place_of
from harness.boards.submissions import read_about
from harness.data.catalog import LoadedBenchmark
from harness.metrics import augrc
from harness.storage import file_id
from harness.tracks.leaderboard import MEAN
from tests.boards.support import MODELS, change_outputs, told, write_submission, wrong

pytestmark = pytest.mark.usefixtures("in_this_process")


@pytest.mark.usefixtures("protocol")
def test_a_run_takes_its_place(protocol: LoadedBenchmark, tmp_path: Path) -> None:
    for name, quality in {"hopeless": 0.0, "perfect": 50.0, "msr": 0.1}.items():
        write_submission(tmp_path, protocol, name, quality)
    result = harness.evaluate("msr", benchmark="toy@1", out=tmp_path / "runs", workers=1)
    places = place_of(result)
    assert not isinstance(places, str)
    overall = places[-1]
    assert overall.column == MEAN
    assert (overall.rank, overall.of, overall.metric) == (2, 4, "augrc")
    assert overall.tied_with == (), "neither the perfect nor the hopeless ones are as good"
    iid = next(place for place in places if place.column == "iid")
    expected = []
    for model in MODELS:
        with np.load(protocol.path.parent / f"{model}.npz", allow_pickle=False) as table:
            logits = table["logits"][table["set"] == "iid"]
        soft = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        expected.append(augrc(soft.max(axis=1).astype(np.float32), wrong(protocol, model, "iid")))
    assert iid.value == pytest.approx(np.mean(expected), rel=1e-6)


@pytest.mark.usefixtures("protocol")
def test_an_earlier_state_of_the_same_method_is_left_out(protocol: LoadedBenchmark, tmp_path: Path) -> None:
    write_submission(tmp_path, protocol, "other", 1.0)
    write_submission(tmp_path, protocol, "mine", 1.0)
    (tmp_path / "mine.py").write_text(
        "from harness import confidence_score\n\n\n"
        "@confidence_score(version='2')\ndef mine(outputs):\n    return outputs.logits.amax(dim=1)\n"
    )
    result = harness.evaluate(tmp_path / "mine.py", benchmark="toy@1", out=tmp_path / "runs", workers=1)
    places = place_of(result)
    assert not isinstance(places, str)
    assert {place.of for place in places} == {2}


@pytest.mark.usefixtures("protocol")
def test_a_rehearsal_takes_no_place(tmp_path: Path) -> None:
    result = harness.evaluate("msr", benchmark="toy@1", out=tmp_path / "runs", workers=1, limit=50)
    assert place_of(result) == "a limited run is a rehearsal and takes no place"


@pytest.mark.usefixtures("protocol")
def test_the_namesake_of_a_users_method_is_named_as_what_it_is(protocol: LoadedBenchmark, tmp_path: Path) -> None:
    baseline = write_submission(tmp_path, protocol, "mine", 1.0)
    told(baseline, method=read_about(baseline).method.model_copy(update={"origin": "baseline"}))
    (tmp_path / "mine.py").write_text(
        "from harness import confidence_score\n\n\n"
        "@confidence_score(version='1')\ndef mine(outputs):\n    return outputs.logits.amax(dim=1)\n"
    )
    result = harness.evaluate(tmp_path / "mine.py", benchmark="toy@1", out=tmp_path / "runs", workers=1)
    units = result.document.units
    own = {f"{unit.model}--{unit.study}--confidence": result.outputs()[unit.unit]["confidence"] for unit in units}

    def answer_alike(arrays: dict[str, np.ndarray]) -> None:
        assert arrays.keys() == own.keys()
        arrays |= own

    change_outputs(baseline, answer_alike)
    told(baseline, outputs={"outputs.npz": file_id(baseline / "outputs.npz")})
    places = place_of(result)
    assert not isinstance(places, str)
    assert {place.tied_with for place in places} == {("the baseline mine",)}


@pytest.mark.usefixtures("protocol")
def test_the_place_of_a_reference_is_said_to_be_none_of_a_board(protocol: LoadedBenchmark, tmp_path: Path) -> None:
    write_submission(tmp_path, protocol, "other", 1.0)
    (tmp_path / "runs").mkdir()
    result = harness.evaluate("random", benchmark="toy@1", out=tmp_path / "runs", workers=1)
    assert result.document.spec.method.reference
    places = place_of(result)
    assert not isinstance(places, str)
    assert {place.remark for place in places} == {"random is a reference: boards show it without a rank."}
    (row,) = (row for row in local_board(protocol, tmp_path / "runs").board.rows if row.method == "random")
    assert {cell.rank for cell in row.cells.values()} == {None}
