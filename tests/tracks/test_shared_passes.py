"""What a unit's count of passes is does not depend on which units a process has had before, nor on checks."""

from types import SimpleNamespace

import numpy as np
import pytest

from harness.data.catalog import load_protocol
from harness.execution.plan import PlanRequest, open_track, plan_units
from harness.methods.conformance import WANTED
from harness.methods.discovery import find_method
from harness.spec.result import Passes
from harness.tracks.confidence.model_outputs import ModelOutputs
from harness.tracks.confidence.session import ScoreSession, StreamRequest
from harness.tracks.passes import counted_apart, share, together
from tests.methods.support import InProcess, write
from tests.tracks.attribution.support import SAMPLES, write_benchmark
from tests.tracks.attribution.test_conversation import GRADIENT_SOURCE, TWO_SETS
from tests.tracks.attribution_metric import support as metrics

AT_ONCE, DRAWS = 4, 5  # of TWO_SETS, and of local Lipschitz
PROBING = GRADIENT_SOURCE.replace("    inputs = inputs", "    model(inputs[:1].detach())\n    inputs = inputs")
"""A gradient, and one pass more for each call."""


def passes(forward, backward=0):
    return Passes(forward=forward, backward=backward)


@pytest.mark.parametrize("counts", [(30, 30), (1, 1, 1), (7, 0, 5), (2, 3, 5, 7, 11)])
@pytest.mark.parametrize("total", [0, 1, 2, 59, 60, 61, 10**12])
def test_shares_are_in_proportion_and_add_up(counts, total):
    sizes = {f"set-{number}": count for number, count in enumerate(counts)}
    shares = [share(passes(total, total // 2), sizes, [name]) for name in sizes]
    assert sum(each.forward for each in shares) == total
    assert sum(each.backward for each in shares) == total // 2
    for each, count in zip(shares, counts, strict=True):
        assert abs(each.forward - total * count / sum(counts)) < 1
    assert share(passes(total), sizes, sizes) == passes(total)
    assert share(passes(total), sizes, ()) == passes(0)
    assert share(None, sizes, sizes) is None


def test_what_is_counted_apart_is_not_added_also_where_it_fails():
    client = SimpleNamespace(passes=passes(3))

    def ask():
        client.passes = together(client.passes, passes(5, 1))
        return "said"

    assert counted_apart(client, ask) == ("said", passes(5, 1))
    with pytest.raises(ZeroDivisionError):
        counted_apart(client, lambda: ask() and 1 / 0)
    assert client.passes == passes(3)
    assert counted_apart(client, lambda: None) == (None, None)


def counted(folder, source, text, *, shuffle=0, order=slice(None), processes=False, seed=0):
    """Study -> passes of its unit, by a method and a track for all units, or for each its own."""
    target, path = str(write(folder, source)), write_benchmark(folder, text)
    spec = find_method(target).spec

    def opened():
        return open_track(load_protocol(path), spec, "cpu", shuffle), InProcess(target, folder)

    (track, client), found = opened(), {}
    for unit in [*plan_units(track.protocol, track, spec, PlanRequest(folder)).values()][order]:
        if processes:
            track, client = opened()
        client.passes = None
        track.ask(unit, client)
        found[unit.study] = client.passes
    return found


@pytest.mark.parametrize("often", [0.0, 1.0])
def test_studies_that_share_maps_count_as_if_each_was_asked_alone(tmp_path, monkeypatch, often):
    monkeypatch.setattr("harness.tracks.attribution.conversation._OFTEN", often)
    each = SAMPLES + SAMPLES * DRAWS  # a map of each sample, and of those near it
    expected = dict.fromkeys(["test", "shifted"], passes(each, each))
    assert counted(tmp_path, GRADIENT_SOURCE, TWO_SETS) == expected
    assert counted(tmp_path, GRADIENT_SOURCE, TWO_SETS, order=slice(None, None, -1)) == expected
    assert counted(tmp_path, GRADIENT_SOURCE, TWO_SETS, processes=True) == expected
    assert counted(tmp_path, GRADIENT_SOURCE, TWO_SETS, shuffle=7) == expected


def test_what_cannot_be_told_apart_by_samples_is_shared_out_and_adds_up(tmp_path):
    text = TWO_SETS.replace(', "local_lipschitz"]', "]")
    found = counted(tmp_path, PROBING, text)
    calls = -(-2 * SAMPLES // AT_ONCE)
    assert sum(each.forward for each in found.values()) == 2 * SAMPLES + calls
    assert counted(tmp_path, PROBING, text, order=slice(None, None, -1)) == found
    assert counted(tmp_path, PROBING, text, processes=True) == found


def test_a_set_of_two_studies_counts_for_the_first(tmp_path):
    text = TWO_SETS.replace(', "local_lipschitz"]', "]").replace('samples = "shifted"', 'samples = "test"')
    for order in (slice(None), slice(None, None, -1)):
        for processes in (False, True):
            found = counted(tmp_path, GRADIENT_SOURCE, text, order=order, processes=processes)
            assert found == {"test": passes(SAMPLES, SAMPLES), "shifted": passes(0)}


def test_studies_of_a_stochastic_method_count_what_each_is_asked(tmp_path):
    source = GRADIENT_SOURCE.replace('version="1.0"', 'version="1.0", stochastic=True')
    text = TWO_SETS.replace(', "local_lipschitz"]', "]")
    for processes in (False, True):
        found = counted(tmp_path, source, text, processes=processes)
        assert found == dict.fromkeys(["test", "shifted"], passes(SAMPLES, SAMPLES))


def test_a_metric_of_maps_counts_one_pass_for_each_of_them_in_any_order(tmp_path):
    source = metrics.INSIDE.replace("    bright =", "    model(inputs)\n    bright =")
    for shuffle in (0, 7):
        track, units, client = metrics.opened(tmp_path, source, shuffle=shuffle)
        for unit in units:
            client.passes = None
            track.ask(unit, client)
            every = track.maps(unit)
            assert client.passes == passes(SAMPLES * (len(every.maps) + len(every.randomised)))


LEARNING, SIZES = 100, {"iid": 40, "shift": 60, "new": 30}
STUDIES = {"iid": ("iid",), "shift": ("shift",), "new": ("iid", "new")}


class Learner:
    """A score that passes its reference while it learns, and turns out to want the training set only when it scores."""

    def __init__(self):
        self.state, self.passes = None, None
        self._given = ()

    def begin_anew(self):
        self.state = None

    def call(self, what, arrays, *, seed, meta=None):
        if what == "fit":
            self._given = meta["reference"]
            self.passes = together(self.passes, passes(LEARNING))
            return {}
        if "train" not in self._given:
            return {WANTED + "train": np.zeros(0)}
        self.passes = together(self.passes, passes(len(arrays["logits"])))
        return {"confidence": arrays["logits"].max(axis=1)}


def outputs(name, count):
    logits = np.random.default_rng(len(name)).normal(size=(count, 3)).astype(np.float32)
    return ModelOutputs({"logits": logits}, np.zeros(count, dtype=np.int64))


def source(ready):
    return SimpleNamespace(
        shared=lambda model: {},
        network=lambda model: ({}, {}),
        absent=dict,
        ready=lambda model, name: ready,
        samples=lambda model, name: outputs(name, 20),
        inputs=lambda name: None,
    )


def scored(order, *, ready, processes):
    def opened():
        return ScoreSession(source(ready), {"model"}, lambda model: {"train": "train"}), Learner()

    (session, client), found = opened(), {}
    for model in ("one", "two"):
        for study in order:
            if processes:
                session, client = opened()
            before = [*STUDIES][: [*STUDIES].index(study)]
            own = {*STUDIES[study]}.difference(*(STUDIES[each] for each in before))
            sets = {name: outputs(name, count) for name, count in SIZES.items()}
            unit, client.passes = SimpleNamespace(seed=0, limit=None), None
            session.answers(unit, SimpleNamespace(id=model), client, StreamRequest(lambda s=sets: s, 0, 1e-4, own))
            found[model, study] = client.passes
    return found


def test_studies_of_a_network_share_what_a_score_passes_in_whatever_order_and_with_whatever_is_cached():
    found = scored(STUDIES, ready=True, processes=False)
    twice = 32
    whole = LEARNING + sum(SIZES.values()) + twice
    for model in ("one", "two"):
        shares = [found[model, study].forward for study in STUDIES]
        assert sum(shares) == whole
        for study, of in zip(STUDIES, shares, strict=True):
            assert abs(of - whole * SIZES[study] / sum(SIZES.values())) < 1  # each set counts where it is first asked
    for ready in (True, False):
        for processes in (True, False):
            for order in (STUDIES, [*reversed(STUDIES)]):
                assert scored(order, ready=ready, processes=processes) == found
