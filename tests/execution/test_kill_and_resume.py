"""SIGKILL at any instant loses at most the units under way: what is resumed ends as if nothing had been.

A sealed run is compared byte by byte without its field `timing` (when it started, seconds, how often it
was resumed), which is the only one that may differ.
"""

import json
import random
import signal
import time
from dataclasses import dataclass

import pytest

from harness.execution.evaluate import prepare
from harness.storage import Journal

from .support import HONEST, alive, descendants, request, soon, start_evaluation, stored, untimed

STUDIES = {"first": HONEST, "second": HONEST, "third": HONEST}
SLOW = dict.fromkeys(STUDIES, "time.sleep(0.03); " + HONEST)
MODELS = 3
KILLS_BEFORE_THE_END = 5


@dataclass(frozen=True)
class Campaign:
    """A kind of run, how often it is killed at least, and at how many stages of it.

    Where kills fall is a matter of the machine's speed, so a campaign goes on until it has seen its stages.
    """

    behaviours: dict
    method: str | None
    workers: int
    kills: int
    stages: int


CAMPAIGNS = {
    "one worker": Campaign(SLOW, None, 1, 10, 2),
    "two workers": Campaign(SLOW, None, 2, 5, 1),
    "units only": Campaign(STUDIES, "oracle", 1, 35, 3),  # no user code: most instants fall on storing and sealing
}


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_a_run_killed_at_random_instants_ends_as_if_uninterrupted(tmp_path, name):
    campaign = CAMPAIGNS[name]
    whole, seconds = uninterrupted(tmp_path / "whole", campaign)
    rng = random.Random(name)
    kills, attempt, states = 0, 0, set()
    while kills < campaign.kills or (len(states) < campaign.stages and kills < 3 * campaign.kills):
        asked = wanted(tmp_path / f"run{attempt}", campaign)
        folder = prepare(asked).plan.folder
        for _ in range(KILLS_BEFORE_THE_END):
            kills += killed(asked, rng.uniform(0, seconds))
            states.add(state(folder))
        finish(asked)
        resumed, reference = untimed(folder, whole)
        assert resumed == reference
        assert stored(folder) == stored(whole)
        assert (folder / "method.py").read_bytes() == (whole / "method.py").read_bytes()
        assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in whole.iterdir())
        assert not list((tmp_path / "temporary").iterdir()), "temporary folders are left"
        attempt += 1
    assert kills >= campaign.kills
    assert len(states) >= campaign.stages, "the kills should have found runs at different stages"


def test_the_campaigns_have_at_least_fifty_kills():
    assert sum(campaign.kills for campaign in CAMPAIGNS.values()) >= 50


def test_resuming_is_noted_in_timing_alone(tmp_path):
    asked = wanted(tmp_path / "run", CAMPAIGNS["units only"])
    finish(asked)
    folder = prepare(asked).plan.folder
    first = json.loads((folder / "run.json").read_bytes())
    finish(asked)
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
    return prepare(asked).plan.folder, finish(asked)


def finish(asked):
    process = start_evaluation(asked, asked.out.parent.parent / "temporary")
    started = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors.decode()
    return time.monotonic() - started


def killed(asked, delay):
    """Start, wait, kill. Whether it was still running; then nothing that it had started lives on."""
    process = start_evaluation(asked, asked.out.parent.parent / "temporary")
    time.sleep(delay)
    below = descendants(process.pid)
    process.kill()
    _, errors = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), errors.decode()
    assert soon(lambda: not alive(below), 10), "a process outlived the run"
    return process.returncode == -signal.SIGKILL


def state(folder):
    """How far a killed run had come: journaled units, and whether it was sealed."""
    if not (folder / "journal.log").exists():
        return None
    with Journal.open(folder / "journal.log") as journal:
        return sum("unit" in record for record in journal.records), (folder / "run.json").exists()
