"""A submission runs again: the honest one comes out the same, of a forged one every unit that differs is named."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner

import harness
from harness.boards import repetition
from harness.boards import reproduce as boards
from harness.boards.repetition import OutputComparison, compare_values
from harness.boards.reproduce import Conditions, find_submission
from harness.boards.sources import share_source, shared_source
from harness.boards.submissions import read_about
from harness.boards.tiers import record_path, tier_of
from harness.cli import reproduce as verb
from harness.data.catalog import LoadedBenchmark, find_protocol
from harness.execution.evaluate import Listener
from harness.execution.fence import landlock_problem
from harness.execution.plan import open_track
from harness.execution.run_result import RunResult
from harness.execution.sandbox import sandbox_available
from harness.methods.discovery import find_method
from harness.spec.errors import UsageError
from harness.spec.result import UnitResult
from harness.spec.run import Unit
from harness.spec.submission import Cost, Reproduction
from harness.storage import IntegrityError, bytes_id, file_id, read_json
from harness.tracks.base import Answers, Measurement, Score, Track
from tests.boards.support import SAMPLES, change_outputs, reproduced, told, write_submission, wrong
from tests.boards.workshop import GAP, TODAY, forged, store, write_workshop

pytestmark = pytest.mark.usefixtures("in_this_process")


def _place() -> str:
    if sandbox_available() is None:
        return "bubblewrap"
    return "landlock" if landlock_problem() is None else "worker"


UNITS = ("iid · one", "shift · one", "iid · two", "shift · two")
DRAWS = {"seeded": "torch.rand(1)", "unseeded": "torch.tensor([int.from_bytes(os.urandom(4), 'big') / 2**32])"}
CHANCE = """
import os
import torch
from harness import confidence_score


@confidence_score(version="1.0", citation="Nobody, of no year")
class Gap:
    \"\"\"Draws when it begins with a model, and says the same of a sample however often it is asked.\"\"\"

    def fit(self, reference):
        self.weight = {draw}

    def score(self, outputs):
        return outputs.probabilities.amax(dim=1) + self.weight * outputs.logits[:, 0]
"""
app = Typer()
app.command()(verb.reproduce)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template")
    write_workshop(root)
    store(root, GAP)
    return root


@pytest.fixture
def submission(checkout: Path) -> Path:
    return checkout / "submissions" / "toy@1" / "gap"


def reproduce(folder: Path, **conditions: Any) -> Reproduction:
    return boards.reproduce(folder, Conditions(device="cpu", workers=1, **conditions), Listener(), TODAY)


def test_an_honest_submission_comes_out_the_same(submission: Path, checkout: Path) -> None:
    assert tier_of(read_about(submission)) == "recomputed"
    before = (submission / "outputs.npz").read_bytes()
    found = reproduce(submission, tolerance=0.0)
    assert found.same
    assert found.differences == ()
    assert found.sandbox == _place()
    assert (found.run, found.outputs, found.on) == (
        RunResult.open(submission).document.id,
        {"outputs.npz": file_id(submission / "outputs.npz")},
        TODAY,
    )
    assert Reproduction.model_validate(read_json(record_path(read_about(submission)))) == found
    assert (submission / "outputs.npz").read_bytes() == before
    assert tier_of(read_about(submission)) == "reproduced"
    # Nothing of an earlier run is used: it could have been made in another way.
    (again,) = (checkout / "runs" / "reproductions").iterdir()
    marks = {path: path.stat().st_mtime_ns for path in (again / "outputs").iterdir()}
    assert reproduce(submission).same
    assert all(path.stat().st_mtime_ns > then for path, then in marks.items())


def test_every_unit_of_a_forged_submission_is_named(submission: Path) -> None:
    def forge(arrays: dict[str, np.ndarray]) -> None:
        arrays["two--shift--confidence"][:7] += 0.25 * np.abs(arrays["two--shift--confidence"]).max()
        del arrays["one--iid--confidence"]

    change_outputs(submission, forge)
    done = CliRunner().invoke(app, [str(submission), "--device", "cpu", "--workers", "1"])
    assert done.exit_code == 1
    found = Reproduction.model_validate(read_json(record_path(read_about(submission))))
    assert not found.same
    said = dict(sentence.split(": ", 1) for sentence in found.differences)
    assert list(said) == ["iid · one", "shift · two"]
    assert said["iid · one"] == "it has scores now, and had none."
    assert said["shift · two"].startswith("confidence differs in 7 of 300 values, by up to 0.")
    assert all(sentence in done.output for sentence in found.differences)
    assert "gap differs in 2 places (confidence by at most 0." in done.output
    assert ", where 0.0001 is allowed, " in done.output
    assert tier_of(read_about(submission)) == "recomputed"


OFFSET = GAP.replace("    return ", "    return 1e6 + ", 1)


def test_an_offset_hides_no_forgery(checkout: Path) -> None:
    """Confidences above which 1e6 stands agree within the rounding of that; what they are worth does not."""
    folder = store(checkout, OFFSET)
    assert reproduce(folder).same

    def forge(arrays: dict[str, np.ndarray]) -> None:
        for name, model, study in (("one--iid--confidence", "one", "iid"), ("two--iid--confidence", "two", "iid")):
            arrays[name] -= 5.0 * wrong(find_protocol("toy@1"), model, study)

    change_outputs(folder, forge)
    found = reproduce(folder)
    assert not found.same
    assert {sentence.split(": ")[0] for sentence in found.differences} == {"iid · one", "iid · two"}
    assert "augrc is now" in found.differences[0]
    assert "from outputs that agree within their rounding" in found.differences[0]


@pytest.mark.parametrize("resamples", [0, 200])
def test_a_mean_of_signed_scores_that_is_nearly_zero_is_measured_against_its_standard_error(
    submission: Path, monkeypatch: pytest.MonkeyPatch, resamples: int
) -> None:
    """Relative to itself it differs without bound. Without resamples there is nothing else to measure it against."""
    means: list[float] = []
    rows = np.random.default_rng(0).integers(0, SAMPLES, (resamples, SAMPLES))

    def balanced(track: Track, unit: Unit, outputs: Answers) -> Measurement:
        scores = outputs["confidence"].astype(np.float64) - means[0]
        return Measurement({"signed": Score(np.array([scores.mean(), *scores[rows].mean(axis=1)]), SAMPLES)})

    def nudge(arrays: dict[str, np.ndarray]) -> None:
        means.append(float(arrays["one--iid--confidence"].mean(dtype=np.float64)))
        arrays["one--iid--confidence"] *= np.float32(1 + 1e-5)

    change_outputs(submission, nudge)
    monkeypatch.setattr(repetition, "measured", balanced)
    found = reproduce(submission)
    assert [sentence.split(": ")[0] for sentence in found.differences] == ([] if resamples else ["iid · one"])


def test_answers_of_the_last_digits_are_the_same_within_the_tolerance_only(submission: Path) -> None:
    def nudge(arrays: dict[str, np.ndarray]) -> None:
        arrays["one--iid--confidence"] *= np.float32(1 + 2e-5)
        arrays["two--iid--confidence"] *= np.float32(1 + 5e-7)

    change_outputs(submission, nudge)
    found = reproduce(submission, tolerance=1e-5)
    assert [sentence.split(":")[0] for sentence in found.differences] == ["iid · one"]
    assert found.tolerance == 1e-5
    used = found.tolerances["confidence"]
    assert (used.allowed, used.reason) == (1e-5, "asked for")
    assert used.found == pytest.approx(2e-5, rel=0.01)
    # What the track allows confidences is recorded with its reason, and stands behind the verdict.
    found = reproduce(submission)
    assert found.same
    assert found.tolerance is None
    assert (found.tolerances["confidence"].allowed, found.tolerances["confidence"].reason) == (1e-4, "single precision")


@pytest.mark.parametrize("kind", DRAWS)
def test_chance_comes_out_the_same_where_it_is_seeded(checkout: Path, kind: str) -> None:
    found = reproduce(store(checkout, CHANCE.format(draw=DRAWS[kind])))
    differing = [sentence.split(":")[0] for sentence in found.differences]
    assert differing == ([] if kind == "seeded" else list(UNITS))


def test_a_method_that_fails_now_is_different(submission: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boards, "sandbox_available", lambda: "bubblewrap is not installed")
    broken = GAP.replace("return top", "raise ValueError('not again')\n    return top").encode()
    (submission / "method.py").write_bytes(broken)
    told(submission, method=read_about(submission).method.model_copy(update={"source_sha256": bytes_id(broken)}))
    found = reproduce(submission)
    assert found.sandbox == ("landlock" if landlock_problem() is None else "worker")
    assert len(found.differences) == len(UNITS)
    assert "it had scores, and now ended as failed: ValueError: not again" in found.differences[0]


def test_a_baseline_runs_by_its_name(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = store(checkout, "", "msr")
    share_source(folder)
    done = CliRunner().invoke(app, ["toy@1/msr", "--device", "cpu", "--workers", "1"])
    assert done.exit_code == 0, done.output
    assert "msr came out the same (confidence by at most 0, where 0.0001 is allowed, " in done.output
    # Written anew since, in the same version: whether it is the same is for its outputs to say.
    older = forget_source(folder, b"older", "1.0")
    assert reproduce(folder).same
    older.write_bytes(b"other")
    with pytest.raises(IntegrityError, match=rf"{older.name} is not the file that the submission was made with"):
        reproduce(folder)
    forget_source(folder, b"older", "0.9")
    with pytest.raises(UsageError, match="is not the submitted one any more"):
        reproduce(folder)


def forget_source(folder: Path, source: bytes, version: str) -> Path:
    """Let the submission be made with another shared source, which is returned."""
    changes = {"source_sha256": bytes_id(source), "version": version}
    told(folder, method=read_about(folder).method.model_copy(update=changes))
    shared = shared_source(folder, bytes_id(source))
    shared.write_bytes(source)
    return shared


def test_what_cannot_be_reproduced_is_refused(submission: Path, checkout: Path) -> None:
    with pytest.raises(UsageError, match="no submission lies in nowhere"):
        find_submission("nowhere")
    assert find_submission("toy@1/gap") == submission
    with pytest.raises(UsageError, match="--tolerance must be"):
        reproduce(submission, tolerance=-1.0)
    (submission / "method.py").write_text("other")
    with pytest.raises(IntegrityError, match=r"method\.py is not the file"):
        reproduce(submission)
    told(submission, benchmark_hash="1" * 64)
    with pytest.raises(UsageError, match="another state of toy@1"):
        reproduce(submission)
    forged(RunResult(RunResult.open(submission).document, submission), lambda document: document.update(id="2" * 64))
    with pytest.raises(IntegrityError, match="another run than"):
        reproduce(submission)


def test_only_a_fitting_record_raises_the_tier(protocol: LoadedBenchmark, tmp_path: Path) -> None:
    folder = write_submission(tmp_path, protocol, "gap", 1.0)
    about = read_about(folder)
    path = record_path(about)
    assert path == protocol.path.parent / "reproductions" / "gap.json"
    path.parent.mkdir()
    good = reproduced(folder)

    def tier(record: Reproduction) -> str:
        path.write_text(record.model_dump_json())
        return tier_of(about)

    assert tier(good) == "reproduced"
    assert tier(good.model_copy(update={"same": False})) == "recomputed"
    assert tier(good.model_copy(update={"run": "1" * 64})) == "recomputed"
    assert tier(good.model_copy(update={"outputs": {"outputs.npz": "1" * 64}})) == "recomputed"
    for damaged in ("{", "[]", "{}"):
        path.write_text(damaged)
        assert tier_of(about) == "recomputed"


UNIT = UnitResult(unit="0" * 64, model="one", seed=0, study="iid", status="ok")


def track_of(benchmark: str, method: str) -> Track:
    return open_track(find_protocol(benchmark), find_method(method).spec, "cpu")


@pytest.mark.parametrize(
    ("benchmark", "method", "name", "relative"),
    [
        ("confidence-mnist", "msr", "confidence", 1e-4),
        ("attribution-mnist", "saliency", "maps", 1e-4),
        ("attribution-mnist", "saliency", "score.local_lipschitz", 1e-3),
        ("attribution-mnist", "kernel-shap", "maps", 1e-3),
        ("attribution-mnist", "kernel-shap", "score.local_lipschitz", 1e-2),
        ("query-mnist", "bald", "evaluation.predictions", 0.0),
        ("query-mnist", "bald", "picks.1", 0.0),
    ],
)
def test_how_far_an_output_may_differ_is_a_matter_of_the_track(
    benchmark: str, method: str, name: str, relative: float
) -> None:
    track = track_of(benchmark, method)
    assert track.tolerance(name).relative == pytest.approx(relative)
    assert track.tolerance(name).reason
    just, beyond = (np.array([1.0, 1.0 - factor * relative]) for factor in (0.9, 1.1))
    old = np.ones(2)
    for new, differs in ((just, False), (beyond, relative > 0)):
        comparison = OutputComparison(track, None)
        assert bool(list(comparison.differences({name: old}, {name: new}, UNIT))) == differs
        assert comparison.allowances[name].allowed == pytest.approx(relative)


MAPS_SCORES = np.linspace(0.0, 1.0, 30)


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        pytest.param({3: 0.01}, True, id="one of thirty"),
        pytest.param({place: 0.01 * (-1) ** place for place in range(2, 8)}, True, id="a fifth"),
        pytest.param({place: 0.01 * (-1) ** place for place in range(2, 9)}, False, id="more than a fifth"),
        pytest.param({3: 0.04}, False, id="the mean moves"),
        pytest.param({14: 0.01, 15: 0.01, 3: -0.02}, False, id="the median moves"),
        pytest.param({3: np.nan}, False, id="no number"),
    ],
)
def test_few_scores_may_go_the_other_way_at_a_fork(changed: dict[int, float], same: bool) -> None:
    comparison = OutputComparison(track_of("attribution-mnist", "saliency"), None)
    new = MAPS_SCORES.copy()
    for place, change in changed.items():
        new[place] += change
    found = list(comparison.differences({"score.deletion": MAPS_SCORES}, {"score.deletion": new}, UNIT))
    assert (found == []) == same
    assert comparison.allowances["score.deletion"].forked == (len(changed) if same else 0)
    maps = OutputComparison(track_of("attribution-mnist", "saliency"), None)
    assert list(maps.differences({"maps": MAPS_SCORES}, {"maps": new}, UNIT)), "maps themselves have no forks"


def test_a_query_that_differs_by_one_image_is_another_query() -> None:
    comparison = OutputComparison(track_of("query-mnist", "bald"), None)
    old, new = {"picks.1": np.array([[1], [2], [3]])}, {"picks.1": np.array([[1], [2], [4]])}
    assert list(comparison.differences(old, new, UNIT)) == [
        "picks.1 differs in 1 of 3 values, by up to 0.25 of its magnitude."
    ]


def test_a_difference_that_is_no_number_is_recorded_as_none() -> None:
    comparison = OutputComparison(track_of("confidence-mnist", "msr"), None)
    old, new = {"confidence": np.array([np.nan, 1.0])}, {"confidence": np.ones(2)}
    assert len(list(comparison.differences(old, new, UNIT))) == 1
    assert comparison.allowances["confidence"].found is None


COMPARED: dict[str, tuple[Any, Any, float, int, float]] = {
    "equal": ([1.0, 2.0], [1.0, 2.0], 0.0, 0, 0.0),
    "within": ([1.0, 100.0], [1.005, 100.0], 1e-4, 0, 0.005 / 50.5025),
    "beyond": ([1.0, 100.0], [1.02, 100.0], 1e-4, 1, 0.02 / 50.51),
    "a huge number hides nothing": ([1.0, 1.0, 1e9], [1.0, 1.5, 1e9], 1e-4, 1, 0.5 / 1.5),
    "nor one that is claimed": ([1.0, 1.0, 1e9], [1.0, 1.5, 1.0], 1e-4, 2, 1.0),
    "numbers of a sample share a scale": ([[1e-9, 1.0]] * 3, [[2e-9, 1.0]] * 3, 1e-4, 0, 1e-9),
    "nan is nan": ([np.nan, 1.0], [np.nan, 1.0], 0.0, 0, 0.0),
    "nan is no number": ([np.nan, 1.0], [1.0, 1.0], 0.5, 1, np.inf),
    "infinity is infinity": ([np.inf, 1.0], [np.inf, 1.0], 0.0, 0, 0.0),
    "infinity is no number": ([np.inf, 1.0], [-np.inf, 1.0], 0.5, 1, np.inf),
    "all zero": ([0.0, 0.0], [0.0, 1e-3], 1e-4, 1, 1.0),
    "whole numbers are exact": ([1000, 5], [1001, 5], 0.5, 1, 1 / 1001),
    "beyond what floats can tell": ([2**60], [2**60 + 1], 0.5, 1, 0.0),
    "empty": (np.zeros(0), np.zeros(0), 0.0, 0, 0.0),
}


@pytest.mark.parametrize("case", COMPARED)
def test_values_are_compared_relative_to_their_magnitude(case: str) -> None:
    old, new, tolerance, count, largest = COMPARED[case]
    found, distance = compare_values(np.array(old), np.array(new), tolerance)
    assert found == count
    assert distance == pytest.approx(largest)


def test_shapes_and_types_must_be_those_stored() -> None:
    old = {"confidence": np.zeros(3, np.float32)}
    for new in (np.zeros(4, np.float32), np.zeros(3, np.int64)):
        comparison = OutputComparison(track_of("confidence-mnist", "msr"), 0.5)
        (sentence,) = comparison.differences(old, {"confidence": new}, UNIT)
        assert comparison.allowances == {}, "nothing could be compared"
        assert sentence.startswith(f"confidence is now {new.dtype} of shape {new.shape}, and was float32 of shape (3,)")


def test_a_method_that_speaks_where_it_did_not_apply_is_different() -> None:
    ended = UNIT.model_copy(update={"status": "not-applicable"})
    comparison = OutputComparison(track_of("confidence-mnist", "msr"), 0.0)
    failed = ended.model_copy(update={"status": "failed", "reason": "no"})
    assert list(comparison.differences(None, None, ended)) == []
    assert list(comparison.differences(None, None, failed)) == ["it was not applicable, and now ended as failed: no."]
    outputs = {"confidence": np.zeros(3)}
    other = {"else": np.zeros(3)}
    assert list(comparison.differences(outputs, other, UNIT)) == ["its outputs are now else, and were confidence."]


def test_a_record_says_how_it_was_made_and_is_small(submission: Path, checkout: Path) -> None:
    told(submission, cost=Cost(seconds=1.0, forwards=5))
    orders = set()
    for _ in range(2):
        found = reproduce(submission)
        orders.add(found.shuffle)
        assert found.environment.harness == harness.__version__
        assert found.environment.fence
        (again,) = (checkout / "runs" / "reproductions").iterdir()
        assert found.cost.seconds == round(RunResult.open(again).document.timing.seconds, 1)
        assert found.tolerances["confidence"].found == 0.0
        assert found.counted == (), "the method gets no network, so nothing is counted that could differ"
    assert len(orders) == 2, "each has an order of its own"
    assert record_path(read_about(submission)).stat().st_size < 4000


def test_counts_that_differ_are_said() -> None:
    said, found = Cost(seconds=1.0, trainings=2, forwards=10), Cost(seconds=3.0, trainings=2, forwards=1500)
    assert list(boards._counted(said, found)) == ["with 1,500 forwards where its submission says 10"]
    assert list(boards._counted(None, found)) == []
    assert list(boards._counted(said, Cost(seconds=3.0))) == []


def test_a_record_names_few_of_many_differences(submission: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boards, "_MOST_SENTENCES", 1)

    def spoil(arrays: dict[str, np.ndarray]) -> None:
        for array in arrays.values():
            array += 1

    change_outputs(submission, spoil)
    found = reproduce(submission)
    assert (found.same, found.differing, len(found.differences)) == (False, len(UNITS), 1)


@pytest.fixture
def three(checkout: Path) -> dict[str, Path]:
    """Rows of a board: the second is forged, and the third cannot be run any more."""
    folders = {"gap": checkout / "submissions" / "toy@1" / "gap"}
    for name in ("gap-forged", "gap-lost"):
        folders[name] = Path(shutil.copytree(folders["gap"], folders["gap"].with_name(name)))
        told(folders[name], method=read_about(folders["gap"]).method.model_copy(update={"name": name}))
    change_outputs(folders["gap-forged"], lambda arrays: arrays["one--iid--confidence"].__iadd__(1))
    (folders["gap-lost"] / "method.py").unlink()
    return folders


def invoke(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, [*arguments, "--device", "cpu", "--workers", "1"], env={"COLUMNS": "120"})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def test_all_rows_of_a_board_one_after_the_other(three: dict[str, Path]) -> None:
    code, output = invoke("toy@1")
    assert code == 1
    lines = output.splitlines()
    assert any(line.startswith("gap came out the same (confidence by at most 0, where") for line in lines)
    assert any(line.startswith("gap-forged differs in 1 places (") for line in lines)
    assert any(line.startswith("gap-lost cannot be run again: ") for line in lines), "the others are run all the same"
    table = [" ".join(line.split()) for line in lines[-6:]]
    assert any(line.startswith("gap the same confidence 0 (0.0001) ") for line in table), table
    assert any(line.startswith("gap-forged differs in 1 places confidence ") for line in table), table
    assert "gap-lost cannot be run – –" in table
    tiers = {name: tier_of(read_about(folder)) for name, folder in three.items()}
    assert tiers == {"gap": "reproduced", "gap-forged": "recomputed", "gap-lost": "recomputed"}


def test_what_has_a_current_record_is_left_alone(three: dict[str, Path]) -> None:
    del three["gap-lost"]
    names = [f"toy@1/{name}" for name in three]
    assert invoke(*names)[0] == 1
    paths = [record_path(read_about(folder)) for folder in three.values()]
    before = [path.read_bytes() for path in paths]
    code, output = invoke(*names, names[0])
    assert code == 1, "what differed then differs still"
    assert output.count("and --again runs it again).") == 2, "each is named once"
    assert "gap-forged differs in 1 places (" in output
    assert [path.read_bytes() for path in paths] == before
    invoke(names[0], "--again")
    assert paths[0].read_bytes() != before[0], "of another order"
    # A submission that changed since has no current record.
    change_outputs(three["gap"], lambda arrays: arrays["one--iid--confidence"].__iadd__(1))
    assert "so says its record" not in invoke(names[0])[1]


def test_a_kill_loses_the_row_that_was_under_way_alone(three: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    made = boards.run
    del three["gap-lost"]
    folders = list(three.values())

    def killed(prepared: Any, observer: Any) -> RunResult:
        result = made(prepared, observer)
        if started.append(prepared) or len(started) == 2:
            raise KeyboardInterrupt
        return result

    started: list[Any] = []
    monkeypatch.setattr(boards, "run", killed)
    conditions = Conditions(device="cpu", workers=1)
    with pytest.raises(KeyboardInterrupt):
        list(boards.reproduce_all(folders, conditions, Listener(), TODAY))
    monkeypatch.setattr(boards, "run", made)
    again = list(boards.reproduce_all(folders, conditions, Listener(), TODAY))
    assert [(each.name, each.stands) for each in again] == [("gap", True), ("gap-forged", False)]


def test_which_submissions_are_meant(three: dict[str, Path], checkout: Path) -> None:
    assert boards.find_submissions(["toy@1"]) == list(three.values())
    assert boards.find_submissions(["toy@1/gap-lost", "toy@1"])[0] == three["gap-lost"]
    shutil.rmtree(checkout / "submissions" / "toy@1")
    with pytest.raises(UsageError, match="toy@1 has no submission yet"):
        boards.find_submissions(["toy@1"])
