"""SIGKILL while campaigns of active learning are under way: what is taken up again ends as if nothing had been.

The campaigns are the real ones, on images small enough that a whole run takes seconds, most of them for imports. So kills
at named events find every stage; those at random instants are in `test_random_kills`.
"""

import pytest

from harness.execution.evaluate import prepare

from .dots import wanted, write_dots
from .kills import assert_same_run, finish, kill_before

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


@pytest.fixture(scope="module")
def campaigns(tmp_path_factory):
    """A function from a name to a request with a cache of its own: networks of the start are trained, and killed, anew."""
    files = write_dots(tmp_path_factory.mktemp("dots"))
    out = tmp_path_factory.mktemp("runs")

    def asked(name, monkeypatch):
        monkeypatch.setenv("HARNESS_CACHE", str(out / name / "cache"))
        return wanted(files, out / name, workers=1)

    return asked


@pytest.fixture(scope="module")
def whole(campaigns, tmp_path_factory):
    """The folder of a run that nobody disturbed."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        asked = campaigns("whole", monkeypatch)
        finish(asked, tmp_path_factory.mktemp("temporary"))
        return prepare(asked).plan.folder


@pytest.mark.parametrize("names", [QUICK, pytest.param(tuple(EVENTS), marks=pytest.mark.slow)], ids=["few", "all"])
def test_campaigns_killed_at_named_events_end_as_if_uninterrupted(campaigns, whole, tmp_path, monkeypatch, names):
    asked = campaigns(f"named-{len(names)}", monkeypatch)
    for name in names:
        kill_before(asked, tmp_path / "temporary", EVENTS[name])
    finish(asked, tmp_path / "temporary")
    assert_same_run(prepare(asked).plan.folder, whole, tmp_path / "temporary")
