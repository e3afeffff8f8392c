"""SIGKILL while campaigns of active learning are under way: what is taken up again ends as if nothing had been.

The campaigns are the real ones, on images small enough that a whole run takes seconds, most of them for imports. So
kills at named events find every stage; where those at random instants fall is chance, and nothing rests on it.
"""

import random

import pytest

from harness.execution.evaluate import prepare

from .dots import wanted, write_dots
from .kills import assert_same_run, finish, kill_after, kill_before

# In the order in which they come, numbered from the last start.
EVENTS = {
    "a network of the start is kept for other strategies": ("os.rename", "/networks/", 1),
    "the strategy has answered": ("os.rename", "/picks_001.json", 1),
    "a network of a later loop is kept": ("os.rename", "/loop_001/network_0.npz", 1),
    "a loop's evaluation is kept": ("os.rename", "/loop_002/evaluation.npz", 1),
    "a network is cleared away": ("os.remove", "/loop_002/network_0.npz", 1),
    "the first campaign is stored": ("os.rename", "/outputs/", 1),
    "the second campaign is stored": ("os.rename", "/outputs/", 2),
    "the run is sealed": ("os.rename", "/run.json", 1),
}
QUICK = ("a network of a later loop is kept", "the second campaign is stored")
KILLS_BEFORE_THE_END = 4


@pytest.fixture(scope="module")
def campaigns(tmp_path_factory):
    """A function from a name to a request with a cache of its own: networks of the start are trained, and killed, anew."""
    files = write_dots(tmp_path_factory.mktemp("dots"))
    out = tmp_path_factory.mktemp("runs")

    def asked(name, monkeypatch, workers=1):
        monkeypatch.setenv("HARNESS_CACHE", str(out / name / "cache"))
        return wanted(files, out / name, workers=workers)

    return asked


@pytest.fixture(scope="module")
def whole(campaigns, tmp_path_factory):
    """The folder of a run that nobody disturbed, and how many seconds it took."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        asked = campaigns("whole", monkeypatch)
        seconds = finish(asked, tmp_path_factory.mktemp("temporary"))
        return prepare(asked).plan.folder, seconds


@pytest.mark.parametrize("names", [QUICK, pytest.param(tuple(EVENTS), marks=pytest.mark.slow)], ids=["few", "all"])
def test_campaigns_killed_at_named_events_end_as_if_uninterrupted(campaigns, whole, tmp_path, monkeypatch, names):
    asked = campaigns(f"named-{len(names)}", monkeypatch)
    for name in names:
        kill_before(asked, tmp_path / "temporary", EVENTS[name])
    finish(asked, tmp_path / "temporary")
    assert_same_run(prepare(asked).plan.folder, whole[0], tmp_path / "temporary")


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kills", [1, pytest.param(12, marks=pytest.mark.slow)])
def test_campaigns_killed_at_random_instants_end_as_if_uninterrupted(campaigns, whole, tmp_path, monkeypatch, kills):
    rng = random.Random(kills)
    left, attempts = kills, 0
    while left > 0 and attempts < 3 * kills:
        asked = campaigns(f"random-{kills}-{attempts}", monkeypatch, workers=2)
        for _ in range(min(left, KILLS_BEFORE_THE_END)):
            left -= kill_after(asked, tmp_path / "temporary", rng.uniform(0, whole[1]))
            attempts += 1
        finish(asked, tmp_path / "temporary")
        assert_same_run(prepare(asked).plan.folder, whole[0], tmp_path / "temporary")
