"""SIGKILL just before named events loses at most the units under way: what is resumed ends as if nothing had been.

A sealed run is compared byte by byte without its field `timing` (when it started, seconds, how often it was resumed),
which is the only one that may differ. Kills at random instants are those of `test_random_kills`.
"""

import json
from dataclasses import replace

import pytest

from harness.execution.evaluate import prepare
from harness.storage import Journal

from .kills import assert_same_run, finish, kill_before
from .support import HONEST, request

STUDIES = {"first": HONEST, "second": HONEST, "third": HONEST}
MODELS = 3
UNITS = MODELS * len(STUDIES)
# In the order in which they come, each with how many units are journaled then; numbers count from the last start.
EVENTS = {
    "the method is stored": (("os.rename", "/method.py", 1), 0),
    "the first answers are stored": (("os.rename", "/outputs/", 1), 0),
    "the fourth answers are stored": (("os.rename", "/outputs/", 4), 3),
    "the last answers but one are stored": (("os.rename", "/outputs/", 5), 7),
    "the run is sealed": (("os.rename", "/run.json", 1), UNITS),
}


@pytest.mark.parametrize("method", [None, "oracle"], ids=["worker", "units only"])
def test_a_run_killed_at_named_events_ends_as_if_uninterrupted(tmp_path, method):
    undisturbed, asked = wanted(tmp_path / "whole", method), wanted(tmp_path / "killed", method)
    finish(undisturbed, tmp_path / "temporary")
    folder = prepare(asked).plan.folder
    for name, (moment, journaled) in EVENTS.items():
        kill_before(asked, tmp_path / "temporary", moment)
        assert units_of(folder) == journaled, name
        assert not (folder / "run.json").exists()
    finish(asked, tmp_path / "temporary")
    assert_same_run(folder, prepare(undisturbed).plan.folder, tmp_path / "temporary")


def test_resuming_is_noted_in_timing_alone(tmp_path):
    asked = wanted(tmp_path / "run", "oracle")
    finish(asked, tmp_path / "temporary")
    folder = prepare(asked).plan.folder
    first = json.loads((folder / "run.json").read_bytes())
    finish(asked, tmp_path / "temporary")
    second = json.loads((folder / "run.json").read_bytes())
    assert {key for key in first if first[key] != second[key]} == {"timing"}
    assert first["timing"]["resumed"] == 0
    assert second["timing"]["resumed"] == 1
    assert first["timing"]["unit_seconds"] == second["timing"]["unit_seconds"]


def wanted(folder, method):
    """A request to run the method of a file or, without a worker, one of the harness."""
    asked = request(folder, STUDIES, models=MODELS)
    return asked if method is None else replace(asked, method=method)


def units_of(folder):
    """How many units the journal of a killed run has."""
    with Journal.open(folder / "journal.log") as journal:
        return sum("unit" in record for record in journal)
