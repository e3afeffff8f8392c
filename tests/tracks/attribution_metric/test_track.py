"""One run of a metric over stored maps: what is asked, what is stored, and how each fault ends it."""

from __future__ import annotations

import textwrap

import numpy as np
import pytest

import harness
from harness.data.catalog import load_protocol
from harness.execution.plan import PlanRequest, open_track, plan_units
from harness.methods.client import MethodError
from harness.methods.discovery import find_method
from harness.spec.errors import UsageError
from harness.storage import IntegrityError, read_arrays, write_arrays
from harness.tracks.attribution_metric.maps import read_maps
from harness.tracks.attribution_metric.scoring import over_groups
from harness.tracks.summary import records
from tests.methods.support import InProcess
from tests.tracks.attribution.support import SAMPLES
from tests.tracks.attribution_metric.support import BENCHMARK, INSIDE, REAL, answers, opened, write_meta_benchmark
from tests.tracks.support import audited, measured, summary


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))


def metric(body: str, declared: str = "") -> str:
    """A metric's file from the lines of its body."""
    head = f'@attribution_metric(version="1.0", higher_is_better=True, criterion="faithfulness"{declared})'
    lines = textwrap.indent(textwrap.dedent(body).strip(), "    ")
    return (
        f"import torch\nfrom harness import attribution_metric\nCALLS = []\n\n{head}\n"
        f"def mine(model, inputs, targets, maps):\n{lines}\n"
    )


def scored(track, unit, outputs):
    """Records of one unit."""
    return records(track.measure(unit, outputs))


def refused(folder, source: str) -> MethodError:
    track, units, client = opened(folder, source)
    with pytest.raises(MethodError) as caught:
        track.ask(units[0], client)
    return caught.value


def test_scores_are_those_of_the_metric_on_the_stored_maps(tmp_path):
    _track, found = answers(tmp_path)
    _unit, outputs = next(iter(found.items()))
    file = read_maps(tmp_path / "one.npz")
    with np.load(tmp_path / "images.npz", allow_pickle=False) as arrays:
        bright = (arrays["images"] / np.float32(255) > 0.5)[:, None]
    assert list(file.maps) == [*REAL, "noise", "flat"]
    for name, rows in (("scores", file.maps), ("randomised", file.randomised)):
        assert outputs[name].shape == (len(rows), SAMPLES)
        assert outputs[name].dtype == np.float32
        for scores, maps in zip(outputs[name], rows.values(), strict=True):
            inside = (maps * bright).reshape(SAMPLES, -1).sum(1) / maps.reshape(SAMPLES, -1).sum(1)
            np.testing.assert_allclose(scores, inside, rtol=1e-3)


def test_a_good_metric_is_judged_to_be_one(tmp_path):
    track, found = answers(tmp_path)
    rows = {row.metric: row for row in summary(track, found)}
    assert rows["tau_faithfulness"].value == pytest.approx(1.0)
    assert rows["tau_complexity"].value == pytest.approx(-1.0)
    assert rows["sanity"].value > 0.5
    assert rows["randomisation_effect"].value > 0.5
    assert rows["seed_concordance"].value > 0.9
    assert rows["half_concordance"].value > 0.9
    assert rows["power"].value > 0.2
    assert {row.metric: (row.n, row.seeds) for row in rows.values()} == {
        "power": (2 * SAMPLES, 2),
        "sanity": (2 * SAMPLES, 2),
        "sanity_share": (2 * SAMPLES, 2),
        "randomisation_effect": (2 * SAMPLES, 2),
        "half_concordance": (2 * SAMPLES, 2),
        "seed_concordance": (2 * SAMPLES, 2),
        # Of the one network with stored scores of other metrics.
        "tau_faithfulness": (SAMPLES, 1),
        "tau_complexity": (SAMPLES, 1),
    }
    assert all(row.status == "ok" and row.low <= row.high for row in rows.values())
    of_unit = {record.metric: record for record in scored(track, *next(iter(found.items())))}
    assert of_unit["sanity"].n == SAMPLES
    assert of_unit["tau_faithfulness"].value == 1.0
    assert "seed_concordance" not in of_unit


def test_the_declared_direction_turns_everything(tmp_path):
    track, found = answers(tmp_path)
    other, turned = answers(tmp_path, INSIDE.replace("higher_is_better=True", "higher_is_better=False"))
    ours, theirs = (
        {row.metric: row.value for row in summary(one, each)} for one, each in ((track, found), (other, turned))
    )
    for name in ("tau_faithfulness", "tau_complexity", "sanity", "randomisation_effect"):
        assert theirs[name] == pytest.approx(-ours[name])
    for name in ("power", "half_concordance", "seed_concordance"):
        assert theirs[name] == pytest.approx(ours[name])


def test_networks_without_reference_scores_have_no_agreement(tmp_path):
    track, found = answers(tmp_path)
    by_model = {
        unit.model: {record.metric for record in scored(track, unit, outputs)} for unit, outputs in found.items()
    }
    assert "tau_faithfulness" in by_model["one"]
    assert not any(name.startswith("tau") for name in by_model["two"])


@pytest.mark.parametrize("declared", ['variant_of="deletion"', 'name="deletion"'])
def test_a_reference_metric_is_not_compared_with_itself(tmp_path, declared):
    text = BENCHMARK.replace('faithfulness = ["deletion", "insertion"]', 'faithfulness = ["deletion"]')
    track, found = answers(tmp_path, INSIDE.replace("higher_is", f"{declared}, higher_is"), text)
    assert not any(record.metric == "tau_faithfulness" for record in scored(track, *next(iter(found.items()))))
    whole, others = answers(tmp_path, INSIDE, text)
    assert any(record.metric == "tau_faithfulness" for record in scored(whole, *next(iter(others.items()))))


def test_a_limit_takes_samples_and_their_maps(tmp_path):
    track, found = answers(tmp_path, limit=3)
    _, whole = answers(tmp_path)
    for limited, every in zip(found.values(), whole.values(), strict=True):
        np.testing.assert_allclose(limited["scores"], every["scores"][:, [0, 3, 6]], rtol=1e-6)
    assert {record.n for record in scored(track, *next(iter(found.items())))} == {3}


def test_who_made_a_map_cannot_be_told_from_the_order(tmp_path):
    source = metric("CALLS.append(len(maps))\nreturn maps.flatten(1).sum(1) + 100.0 * len(CALLS)")
    problem = refused(tmp_path, source)
    assert problem.status == "invalid"
    assert "rests on what it was asked before" in problem.reason


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ("return maps.flatten(1).sum(1) * torch.arange(1, len(maps) + 1)", "on the order of the samples"),
        ("return maps.flatten(1).sum(1) * len(maps)", "on the other samples of its batch, or on how many they are"),
    ],
)  # fmt: skip
def test_a_score_that_rests_on_more_than_its_map_is_refused(tmp_path, body, cause):
    problem = refused(tmp_path, metric(body))
    assert problem.status == "invalid"
    assert cause in problem.reason


@pytest.mark.parametrize("declared", ["", ", stochastic=True"])
def test_a_reproduction_asks_in_an_order_of_its_own_unless_draws_are_of_whole_batches(tmp_path, declared):
    def asked(shuffle):
        track, units, client = opened(tmp_path, metric("return maps.flatten(1).amax(1)", declared), shuffle=shuffle)
        seen, call = [], client.call
        client.call = lambda verb, arrays, **rest: (seen.append(arrays.get("maps")), call(verb, arrays, **rest))[1]
        scores = track.ask(units[0], client)["scores"]
        return np.concatenate([maps for maps in seen if maps is not None][:1]), scores

    (first, scores), (other, again) = asked(0), asked(3)
    np.testing.assert_array_equal(scores, again)
    assert np.array_equal(first, other) is bool(declared)


def test_scores_relative_to_the_batch_are_refused_unless_declared(tmp_path):
    body = "sums = maps.flatten(1).sum(1)\nreturn sums / sums.max()"
    assert "score each map by itself" in refused(tmp_path, metric(body)).reason
    track, units, client = opened(tmp_path, metric(body, ", stochastic=True"))
    assert np.isfinite(track.ask(units[0], client)["scores"]).all()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("return maps", "it returned shape"),
        ("return maps.flatten(1).sum(1)[:-1]", "it returned shape"),
        ("return targets", "scores are floating-point numbers"),
        ("return maps.flatten(1).sum(1) / 0", "are infinite"),
        ("return maps.flatten(1).sum(1).double() * 1e300", "too large for float32"),
        ("return torch.full((len(maps),), float('nan'))", "scores is defined"),
        ("return torch.ones(len(maps))", "it gave the same score to all"),
        ("return 'good'", "not a tensor or array of numbers"),
        ("model.train()\nreturn maps.flatten(1).sum(1)", "training mode"),
        (
            "torch.nn.init.zeros_(model.classifier.weight)\nreturn maps.flatten(1).sum(1)",
            "changed the model's weights",
        ),
    ],
)
def test_unusable_answers_are_invalid(tmp_path, body, reason):
    problem = refused(tmp_path, metric(body))
    assert problem.status == "invalid"
    assert reason in problem.reason


def test_an_exception_is_a_failure_that_names_the_line(tmp_path):
    problem = refused(tmp_path, metric("raise ValueError('no idea')"))
    assert problem.status == "failed"
    assert problem.reason == "ValueError: no idea (line 7)"


def test_a_wrong_signature_is_said(tmp_path):
    problem = refused(tmp_path, INSIDE.replace("(model, inputs, targets, maps)", "(maps)"))
    assert "it must take (model, inputs, targets, maps)" in problem.reason


def test_undefined_scores_leave_a_sample_out_for_all(tmp_path):
    body = """
    values = (maps.clamp_min(0) * (inputs > 0.5)).flatten(1).sum(1) / maps.flatten(1).sum(1)
    return values.masked_fill(inputs.flatten(1)[:, 0] < 0.02, float("nan"))
    """
    track, found = answers(tmp_path, metric(body))
    unit, outputs = next(iter(found.items()))
    holes = np.isnan(outputs["scores"]).any(axis=0)
    assert 0 < holes.sum() < SAMPLES
    assert {record.n for record in scored(track, unit, outputs)} == {SAMPLES - holes.sum()}


def test_elsewhere_it_is_not_applicable(tmp_path):
    for declared in (', modalities=("volume",)', ', architectures=("transformer",)'):
        problem = refused(tmp_path, metric("return maps.flatten(1).sum(1)", declared))
        assert problem.status == "not-applicable"


def test_a_class_and_the_context(tmp_path):
    source = """
from harness import attribution_metric

@attribution_metric(version="1.0", higher_is_better=True, criterion="complexity")
class Mine:
    def score(self, model, inputs, targets, maps, context):
        assert context.modality == "image" and context.architecture == "cnn"
        assert context.generator.initial_seed() == context.seed
        return maps.flatten(1).amax(1)
"""
    _track, found = answers(tmp_path, source)
    file = read_maps(tmp_path / "one.npz")
    expected = np.stack([maps.reshape(SAMPLES, -1).max(axis=1) for maps in file.maps.values()])
    np.testing.assert_allclose(next(iter(found.values()))["scores"], expected, rtol=1e-6)


def test_the_gate_recomputes_everything(tmp_path):
    track, found = answers(tmp_path)
    unit, outputs = next(iter(found.items()))
    audit = audited(track, unit, track.submitted(outputs))
    assert audit.records == scored(track, unit, outputs)
    assert audit.as_reported == ()
    assert audit.problems == ()


def test_metrics_of_the_harness_to_build_on(tmp_path):
    import torch

    from harness.metrics.attribution import make_metric

    body = 'return context.metric("sparseness")(model, inputs, targets, maps)'
    _, found = answers(tmp_path, metric(body).replace("maps):", "maps, context):"))
    maps = torch.from_numpy(read_maps(tmp_path / "one.npz").maps["c"])
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3)).eval()
    targets, generator = torch.zeros(SAMPLES, dtype=torch.int64), torch.Generator().manual_seed(0)
    expected = make_metric("sparseness")(network, maps, targets, maps, generator=generator)
    np.testing.assert_allclose(next(iter(found.values()))["scores"][2], expected, rtol=1e-6)


def test_metrics_of_the_harness_in_latecs_reading(tmp_path):
    """With LATEC's constants for what is not given: these images are narrower than its patches."""
    body = 'return context.metric("{}", reading="{}")(model, inputs, targets, maps)'
    for asked, reading, reason in [
        ("region_perturbation", "latec", "a patch of width 14 does not fit into inputs of width 8"),
        ("sparseness", "published", "no reading is called 'published'; there are: corrected, latec"),
    ]:
        problem = refused(tmp_path, metric(body.format(asked, reading)).replace("maps):", "maps, context):"))
        assert reason in problem.reason


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ("max_sensitivity", "max_sensitivity needs explain, which metrics under test are not given"),
        ("relevance_mass", "relevance_mass needs masks"),
        ("delition", "deletion"),
    ],
)
def test_metrics_that_cannot_be_built_on(tmp_path, asked, reason):
    body = f'return context.metric("{asked}")(model, inputs, targets, maps)'
    problem = refused(tmp_path, metric(body).replace("maps):", "maps, context):"))
    assert problem.status == "failed"
    assert reason in problem.reason


@pytest.mark.parametrize(
    "forge",
    [
        lambda outputs: {"scores": outputs["scores"]},
        lambda outputs: {**outputs, "more": outputs["scores"]},
        lambda outputs: {**outputs, "scores": outputs["scores"][:-1]},
        lambda outputs: {**outputs, "scores": outputs["scores"][:, :-1]},
        lambda outputs: {**outputs, "scores": outputs["scores"].astype(np.float64)},
    ],
)
def test_the_gate_refuses_answers_of_other_maps(tmp_path, forge):
    track, found = answers(tmp_path)
    unit, outputs = next(iter(found.items()))
    with pytest.raises(IntegrityError):
        audited(track, unit, forge(outputs))


def test_the_gate_names_scores_that_no_run_stores(tmp_path):
    track, found = answers(tmp_path)
    unit, outputs = next(iter(found.items()))
    scores = outputs["scores"].copy()
    scores[0, 0] = np.inf
    assert "infinite" in audited(track, unit, {**outputs, "scores": scores}).problems[0]


def test_another_unit_missing_is_incomplete(tmp_path):
    track, found = answers(tmp_path)
    one = dict([next(iter(found.items()))])
    assert {row.status for row in summary(track, one)} == {"incomplete"}
    gone = [unit for unit in found if unit not in one]
    rows = {row.metric: row for row in summary(track, one, gone)}
    assert rows["power"].status == "ok"
    assert "seed_concordance" not in rows


def test_changed_maps_stop_the_run(tmp_path):
    track, units, client = opened(tmp_path)
    path = tmp_path / "one.npz"
    arrays = read_arrays(path)
    write_arrays(path, {**arrays, "scale": arrays["scale"] * 2})
    with pytest.raises(IntegrityError, match="changed after the run was planned"):
        track.ask(units[0], client)


@pytest.mark.parametrize("part", [np.s_[:, 1:], np.s_[:, :, :, 1:]])
def test_maps_of_other_samples_are_refused(tmp_path, part):
    write_meta_benchmark(tmp_path)
    arrays = read_arrays(tmp_path / "one.npz")
    for name in ("maps", "randomised_maps"):
        arrays[name] = arrays[name][part]
    count = arrays["maps"].shape[1]
    arrays |= {name: arrays[name][:, -count:] for name in ("scale", "randomised_scale")}
    write_arrays(tmp_path / "one.npz", {**arrays, "reference": arrays["reference"][:, :, -count:]})
    track = open_track(load_protocol(tmp_path / "benchmark.toml"), find_method("map-norm").spec, "cpu")
    unit = next(iter(plan_units(track.protocol, track, track.method, PlanRequest(tmp_path)).values()))
    with pytest.raises(UsageError, match=r"which does not fit inputs of shape \(9, 1, 8, 8\)"):
        track.ask(unit, InProcess("map-norm", tmp_path))


def test_undefined_on_one_network_is_undefined(tmp_path):
    track, units, client = opened(tmp_path)
    found = {unit: track.ask(unit, client) for unit in units}
    for unit, outputs in found.items():
        if unit.model == "two":
            outputs["scores"] = np.full_like(outputs["scores"], np.nan)
    judged = measured(track, found)
    assert {(record.status, record.n) for record in scored(track, *list(found.items())[1])} == {("undefined", 0)}
    for name in ("power", "sanity", "randomisation_effect", "half_concordance", "seed_concordance"):
        assert over_groups(track, judged, name) is None
    assert over_groups(track, judged, "tau_faithfulness") is not None  # of the other network alone


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('sanity = ["noise", "flat"]', 'sanity = ["noisy"]'), "sanity row"),
        (('["sparseness"]', '["deletion"]'), "deletion measures faithfulness, not complexity"),
        (('["sparseness"]', '["sparsity"]'), "sparsity"),
        (('["sparseness"]', '["complexity"]'), "reference metric in"),
        (('model = "two"\nsamples', 'model = "one"\nsamples'), "needs maps of two"),
        (('retrained = ["one", "two"]', 'retrained = ["one"]'), "one network alone"),
        (('retrained = ["one", "two"]', 'retrained = ["one", "three"]'), "retrained names 'three'"),
        (('file = { path = "two.npz" }', 'file = { path = "three.npz" }'), "there is no file three.npz beside it"),
    ],
)
def test_mistakes_in_the_benchmark_are_named(tmp_path, change, message):
    assert change[0] in BENCHMARK
    with pytest.raises(UsageError, match=message):
        answers(tmp_path, INSIDE, BENCHMARK.replace(*change))


def test_a_whole_run_in_its_own_process(tmp_path):
    track, found = answers(tmp_path)
    result = harness.evaluate(
        tmp_path / "method.py", str(tmp_path / "benchmark.toml"), out=tmp_path / "runs", workers=1
    )
    assert result.complete
    assert result.document.summary == summary(track, found)
    assert set(result.to_frame()["task"]) == {"attribution-metric"}
