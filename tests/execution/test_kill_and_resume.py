"""SIGKILL at any instant loses at most the units under way: what is resumed ends as if nothing had been.

A sealed run is compared byte by byte without its field `timing` (when it started, seconds, how often it
was resumed), which is the only one that may differ. Kills at named events find every stage of a run; where those at
random instants fall is chance, and nothing rests on it.
"""

import json
import random
from dataclasses import dataclass

import pytest

from harness.execution.evaluate import prepare
from harness.storage import Journal

from .kills import assert_same_run, finish, kill_after, kill_before
from .support import HONEST, request

STUDIES = {"first": HONEST, "second": HONEST, "third": HONEST}
SLOW = dict.fromkeys(STUDIES, "time.sleep(0.03); " + HONEST)
MODELS = 3
UNITS = MODELS * len(STUDIES)
KILLS_BEFORE_THE_END = 5


@dataclass(frozen=True)
class Campaign:
    """A kind of run, and how often it is killed at random instants."""

    behaviours: dict
    method: str | None
    workers: int
    kills: int


A_FEW = Campaign(STUDIES, "oracle", 2, 3)
CAMPAIGNS = {
    "one worker": Campaign(SLOW, None, 1, 10),
    "two workers": Campaign(SLOW, None, 2, 5),
    "units only": Campaign(STUDIES, "oracle", 1, 35),  # no user code: most instants fall on storing and sealing
}
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
    campaign = Campaign(STUDIES, method, 1, len(EVENTS))
    whole, _ = uninterrupted(tmp_path / "whole", campaign)
    asked = wanted(tmp_path / "killed", campaign)
    folder = prepare(asked).plan.folder
    for name, (moment, journaled) in EVENTS.items():
        kill_before(asked, tmp_path / "temporary", moment)
        assert units_of(folder) == journaled, name
        assert not (folder / "run.json").exists()
    finish(asked, tmp_path / "temporary")
    assert_same_run(folder, whole, tmp_path / "temporary")


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "campaign",
    [
        pytest.param(A_FEW, id="a few"),
        *(pytest.param(each, id=name, marks=pytest.mark.slow) for name, each in CAMPAIGNS.items()),
    ],
)
def test_a_run_killed_at_random_instants_ends_as_if_uninterrupted(tmp_path, campaign):
    whole, seconds = uninterrupted(tmp_path / "whole", campaign)
    rng = random.Random(repr(campaign))
    left, attempts = campaign.kills, 0
    while left > 0 and attempts < 3 * campaign.kills:
        asked = wanted(tmp_path / f"run{attempts}", campaign)
        for _ in range(min(left, KILLS_BEFORE_THE_END)):
            left -= kill_after(asked, tmp_path / "temporary", rng.uniform(0, seconds))
            attempts += 1
        finish(asked, tmp_path / "temporary")
        assert_same_run(prepare(asked).plan.folder, whole, tmp_path / "temporary")


def test_the_campaigns_have_at_least_fifty_kills():
    assert sum(campaign.kills for campaign in CAMPAIGNS.values()) >= 50


def test_resuming_is_noted_in_timing_alone(tmp_path):
    asked = wanted(tmp_path / "run", CAMPAIGNS["units only"])
    finish(asked, tmp_path / "temporary")
    folder = prepare(asked).plan.folder
    first = json.loads((folder / "run.json").read_bytes())
    finish(asked, tmp_path / "temporary")
    second = json.loads((folder / "run.json").read_bytes())
    assert {key for key in first if first[key] != second[key]} == {"timing"}
    assert first["timing"]["resumed"] == 0
    assert second["timing"]["resumed"] == 1
    assert first["timing"]["unit_seconds"] == second["timing"]["unit_seconds"]


def wanted(folder, campaign):
    asked = request(folder, campaign.behaviours, models=MODELS, workers=campaign.workers)
    return asked if campaign.method is None else type(asked)(**{**vars(asked), "method": campaign.method})


def uninterrupted(folder, campaign):
    """The run's folder, and how long it took from the plan to the seal."""
    asked = wanted(folder, campaign)
    return prepare(asked).plan.folder, finish(asked, folder.parent / "temporary")


def units_of(folder):
    """How many units the journal of a killed run has."""
    with Journal.open(folder / "journal.log") as journal:
        return sum("unit" in record for record in journal.records)
