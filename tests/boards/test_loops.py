"""Queries as loop files: what is read back is what the arrays say, of runs and submissions, images and volumes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner

from harness.boards.loops import write_loops
from harness.boards.members import unit_key
from harness.boards.submissions import read_submission, submissions_folder
from harness.cli import replay as verb
from harness.data.catalog import find_protocol
from harness.execution.answers import outputs_path
from harness.execution.plan import PlanRequest, open_track, plan_units
from harness.execution.run_result import RunResult
from harness.spec.errors import UsageError
from harness.spec.run import Unit
from harness.storage import IntegrityError, write_arrays
from harness.tracks.base import Answers
from harness.tracks.query.learners import open_ledger
from harness.tracks.query.loop_files import read_images, read_loops
from harness.tracks.query.published import read_runs, run_scores
from harness.tracks.query.segmentation.ledger import PatchLedger
from harness.tracks.query.track import QueryTrack
from tests.boards.support import change_outputs

IMAGES, VOLUMES = submissions_folder("query-mnist@2") / "bald", submissions_folder("query-mni152@2") / "bald"
app = Typer()
app.command()(verb.replay)


def opened(folder: Path) -> tuple[QueryTrack, Mapping[str, Unit], dict[Unit, Answers]]:
    """A submission's track, its units by id, and its answers."""
    submission = read_submission(folder)
    protocol = find_protocol(submission.about.benchmark)
    track = open_track(protocol, submission.about.method, "cpu")
    assert isinstance(track, QueryTrack)
    units = plan_units(protocol, track, submission.about.method, PlanRequest(folder))
    return track, units, submission.answers(units)


def picks_of(outputs: Answers) -> list[np.ndarray]:
    return [outputs[f"picks.{loop}"] for loop in range(sum(name.startswith("picks.") for name in outputs))]


def test_rows_of_images_are_those_of_the_arrays_and_summaries_those_of_the_scores(tmp_path: Path) -> None:
    track, _, answers = opened(IMAGES)
    folders = write_loops(IMAGES, tmp_path / "loops")
    assert [path.name for path in folders] == [unit_key(unit) for unit in answers]
    for unit, outputs in answers.items():
        folder = tmp_path / "loops" / unit_key(unit)
        loops = read_images(folder)
        assert [np.array(rows)[:, None].tolist() for rows in loops] == [each.tolist() for each in picks_of(outputs)]
        summaries = [json.loads(path.read_text()) for path in sorted(folder.glob("loop_*/summary.json"))]
        targets = track.settings[unit.study].targets()
        right = [(predicted == targets).mean() for predicted in outputs["evaluation.predictions"]]
        assert [each["accuracy"] for each in summaries] == pytest.approx(right, abs=1e-12)


def test_patches_are_those_of_the_arrays_and_the_whole_is_read_like_nnactives(tmp_path: Path) -> None:
    track, _, answers = opened(VOLUMES)
    write_loops(VOLUMES, tmp_path / "loops")
    run = {(unit.study, unit.seed): unit for unit in RunResult.open(VOLUMES).document.units}
    for unit, outputs in answers.items():
        ledger = open_ledger(track.settings[unit.study], unit.model_seed)
        assert isinstance(ledger, PatchLedger)
        for patches, picks in zip(read_loops(tmp_path / "loops" / unit_key(unit)), picks_of(outputs), strict=True):
            rows = [[ledger.cases.pool.index(image), *corner, *size] for image, corner, size in patches]
            assert rows == picks.tolist()
    scores = run_scores(read_runs(tmp_path / "loops"))
    assert len(scores) == len(answers)
    for row in scores.itertuples():
        sealed = {record.metric: record.value for record in run["low", row.seed].records}
        assert (row.method, row.aubc, row.final) == (
            "bald",
            pytest.approx(sealed["aubc"], abs=1e-9),
            pytest.approx(sealed["final_performance"], abs=1e-9),
        )


def test_a_run_gives_the_files_of_its_submission(tmp_path: Path) -> None:
    _, units, answers = opened(VOLUMES)
    run = tmp_path / "run"
    (run / "outputs").mkdir(parents=True)
    shutil.copyfile(VOLUMES / "run.json", run / "run.json")
    for key, unit in units.items():
        write_arrays(outputs_path(run, key), answers[unit])
    done = CliRunner().invoke(app, [str(run), "--loops", str(tmp_path / "of-run")])
    assert done.exit_code == 0, done.output
    write_loops(VOLUMES, tmp_path / "of-submission")
    files = {
        name: {
            path.relative_to(tmp_path / name): path.read_bytes() for path in sorted((tmp_path / name).rglob("*.json"))
        }
        for name in ("of-run", "of-submission")
    }
    assert files["of-run"] == files["of-submission"]
    assert files["of-run"]


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "loops").mkdir()
    write_loops(IMAGES, tmp_path / "loops")
    with pytest.raises(UsageError, match="is not an empty folder; name another"):
        write_loops(IMAGES, tmp_path / "loops")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="is not an empty folder; name another"):
        write_loops(IMAGES, tmp_path / "file")


def test_only_query_strategies_have_loops(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="only query strategies have loops"):
        write_loops(submissions_folder("confidence-mnist@1") / "msr", tmp_path / "loops")
    with pytest.raises(UsageError, match="holds no sealed run"):
        write_loops(tmp_path, tmp_path / "loops")


def test_a_submission_is_scored_again_by_another_verb() -> None:
    done = CliRunner().invoke(app, [str(IMAGES)])
    assert isinstance(done.exception, UsageError)
    assert "harness validate" in str(done.exception)


@pytest.mark.parametrize("row", [10**9, -1])
def test_queries_that_no_run_has_are_not_written(tmp_path: Path, row: int) -> None:
    folder = tmp_path / "bald"
    shutil.copytree(VOLUMES, folder)

    def change(arrays: dict[str, np.ndarray]) -> None:
        arrays[next(each for each in arrays if each.endswith("picks.1"))][0, 0] = row

    change_outputs(folder, change)
    with pytest.raises(IntegrityError, match="cannot be written as loop files: the picks of loop 1 are no valid query"):
        write_loops(folder, tmp_path / "loops")
    assert not (tmp_path / "loops").exists()
