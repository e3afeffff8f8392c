"""The benchmarks at LATEC's scale: constants as published, networks that fit their data, plans without any file."""

from __future__ import annotations

import importlib
from collections import Counter

import numpy as np
import pytest
import tomli_w
import torch

from harness.data.catalog import bundled_folder, find_protocol, load_protocol
from harness.data.toml import read_extended
from harness.execution.evaluate import Request, prepare
from harness.methods.discovery import baseline_names, find_method
from harness.metrics.attribution.registry import METRICS, ORDERS, make_metric
from harness.spec.attribution import AttributionBenchmark
from harness.spec.errors import UsageError
from harness.tracks.attribution.models import weights_of
from harness.tracks.summary import records
from tests.methods.support import InProcess, write
from tests.tracks.attribution.support import GRADIENT, answer

IMAGES, VOLUMES, CLOUDS = (
    ("imagenet", "oct", "resisc45"),
    ("adrenal", "organ", "vessel"),
    ("coma", "modelnet40", "shapenet"),
)
SETS = (*IMAGES, *VOLUMES, *CLOUDS)
CLASSES = dict(zip(SETS, (1000, 4, 45, 2, 11, 2, 12, 40, 16), strict=True))
SHAPES = {
    **dict.fromkeys(IMAGES, (3, 224, 224)),
    **dict.fromkeys(VOLUMES, (1, 28, 28, 28)),
    **dict.fromkeys(CLOUDS, (3, 1024)),
}
VERSIONS = (2, 3)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    torch.set_num_threads(1)


def benchmark(version) -> AttributionBenchmark:
    return find_protocol(f"attribution-latec@{version}").of(AttributionBenchmark)


def factory(model):
    module, _, symbol = model.factory.partition(":")
    return getattr(importlib.import_module(module), symbol)(**model.arguments)


def used(version):
    """(metric, study) -> the metric as a study takes it."""
    protocol = benchmark(version)
    return {
        (use.id, study.id): make_metric(use.id, {**use.constants, **use.by_study.get(study.id, {})})
        for study in protocol.studies
        for use in protocol.metrics
        if use.id in study.metrics
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_nine_sets_three_networks_each_twenty_metrics(version):
    protocol = benchmark(version)
    assert {study.id: study.group for study in protocol.studies} == {
        **dict.fromkeys(IMAGES, "image"),
        **dict.fromkeys(VOLUMES, "volume"),
        **dict.fromkeys(CLOUDS, "point-cloud"),
    }
    assert all(set(study.metrics) == set(ORDERS["published"]) for study in protocol.studies)
    assert Counter(METRICS[name].criterion for name in protocol.studies[0].metrics) == {
        "faithfulness": 11,
        "robustness": 6,
        "complexity": 3,
    }
    assert len(protocol.source.models) == 27
    assert {name for study in protocol.studies for name in study.models} == {each.id for each in protocol.source.models}
    assert {each.count for each in protocol.source.sets} == {50}
    assert not protocol.source.locked


# What LATEC's nine configurations say, by set in the order of SETS.
PUBLISHED = {
    ("faithfulness_correlation", "subset"): [224] * 3 + [56] * 3 + [32] * 3,
    ("faithfulness_estimate", "step"): [224] * 3 + [56] * 3 + [32] * 3,
    ("monotonicity_correlation", "step"): [3136] * 3 + [392] * 3 + [256] * 3,
    ("pixel_flipping", "step"): [224] * 3 + [56] * 3 + [32] * 3,
    ("region_perturbation", "patch"): [14, 14, 18, 4, 4, 4, 3, 3, 3],
    ("region_perturbation", "regions"): [10, 10, 20, 20, 20, 20, 32, 32, 32],
    ("insertion", "sigma"): [5, 120, 40],
    ("insertion", "kernel"): [15, 39, 19],
    ("insertion", "noise"): [None, None, None, 2.5, 2.5, 2.5, 0.05, 0.1, 0.2],
    ("irof", "baseline"): ["mean"] * 3 + ["black"] * 6,
    ("road", "noise"): [0.1, 0.1, 0.1, 4, 2.5, 50, 0.02, 0.15, 0.3],
    ("sufficiency", "threshold"): [0.9, 0.6, 0.6, 0.02, 0.75, 0.0002, 0.75, 0.75, 0.6],
    ("sufficiency", "distance"): ["seuclidean"] * 3 + ["sqeuclidean"] * 3 + ["seuclidean"] * 3,
    ("local_lipschitz", "draws"): [5] * 3 + [10] * 3 + [5] * 3,
    ("local_lipschitz", "std"): [0.1, 2e-5, 0.1, 0.2, 0.2, 0.2, 0.1, 0.1, 0.1],
    ("continuity", "patch"): [56] * 3 + [7] * 3 + [3] * 3,
    ("effective_complexity", "epsilon"): [0.01] * 3 + [0.001] * 6,
}
EVERYWHERE = {
    "faithfulness_correlation": {"runs": 100, "baseline": "black"},
    "faithfulness_estimate": {"baseline": "black"},
    "monotonicity_correlation": {"draws": 10},
    "pixel_flipping": {"baseline": "black"},
    "region_perturbation": {"baseline": "uniform"},
    "insertion": {"step": 50},
    "deletion": {"step": 50, "baseline": "zero"},
    "irof": {"segments": 100, "clusters": 16},
    "road": {"percentages": tuple(range(1, 100, 2)), "counted": "pixels"},
    "sufficiency": {"chunk": 2},
    "infidelity": {"draws": 50, "noise": 0.005},
    "max_sensitivity": {"draws": 10, "radius": 0.2},
    "continuity": {"steps": 20},
    "relative_input_stability": {"draws": 10, "lower": 0.02, "upper": 0.2, "epsilon": 1e-6},
    "relative_output_stability": {"draws": 10, "lower": 0.02, "upper": 0.2, "epsilon": 1e-6},
    "relative_representation_stability": {"draws": 10, "lower": 0.0, "upper": 0.05, "epsilon": 1e-6},
}


def test_the_authors_reading_has_their_constants():
    metrics = used(3)
    for (metric, constant), row in PUBLISHED.items():
        for name, expected in zip(SETS, row, strict=False):
            if expected is not None:
                assert getattr(metrics[metric, name], constant) == expected, f"{metric} {constant} {name}"
    for metric, constants in EVERYWHERE.items():
        for constant, expected in constants.items():
            assert {getattr(metrics[metric, name], constant) for name in SETS} == {expected}, f"{metric} {constant}"


@pytest.mark.parametrize(("version", "reading", "maps"), [(2, "corrected", "signed"), (3, "latec", "positive")])
def test_a_version_reads_all_metrics_alike(version, reading, maps):
    metrics = used(version)
    assert len(metrics) == 9 * 20
    # Local Lipschitz had one reading only when the first version was released.
    assert {use.reading for (id, _), use in metrics.items() if (id, version) != ("local_lipschitz", 1)} == {reading}
    assert benchmark(version).maps == maps


def test_corrected_stabilities_ask_for_the_same_maps():
    metrics = used(2)
    for name in SETS:
        assert len({tuple(metrics[f"relative_{what}_stability", name].constants.items()) for what in ("input", "output", "representation")}) == 1  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS)
def test_the_pool_is_seventeen_known_methods(version):
    pool = benchmark(version).reference
    methods = [find_method(name).spec for name in pool]
    assert len({method.name for method in methods}) == 17
    assert not any(method.reference for method in methods)
    readings = {name.removesuffix("-latec") for name in baseline_names("attribution") if name.endswith("-latec")}
    assert {name.removesuffix("-latec") for name in pool} == set(benchmark(2).reference)
    assert {name for name in pool if name.endswith("-latec")} == {f"{each}-latec" for each in readings if version == 3}


@pytest.mark.parametrize("model", benchmark(3).source.models, ids=lambda model: model.id)
def test_networks_take_their_data_and_have_the_parts_that_are_named(model):
    assert model in benchmark(2).source.models
    name = model.id.split("-")[0]
    with torch.device("meta"):
        network, inputs = factory(model).eval(), torch.empty(1, *SHAPES[name])
    seen = {}
    for part in filter(None, (model.cam_layer, model.representation)):
        network.get_submodule(part).register_forward_hook(lambda *given, part=part: seen.update({part: given[2]}))
    assert network(inputs).shape == (1, CLASSES[name])
    assert set(seen) == {model.cam_layer, model.representation} - {None}
    if model.grid is not None:
        assert seen[model.cam_layer].shape == (1, 1 + np.prod(model.grid), 384)
        assert len(list(network.get_submodule(model.blocks).children())) == 12
    elif model.cam_layer is not None:
        assert seen[model.cam_layer].ndim == inputs.ndim


@pytest.mark.parametrize("version", VERSIONS)
def test_a_run_is_planned_before_any_file_is_there(tmp_path, version):
    prepared = prepare(
        Request(method=str(write(tmp_path, GRADIENT)), benchmark=f"attribution-latec@{version}", out=tmp_path)
    )
    assert len(prepared.plan.units) == 27
    assert not prepared.plan.spec.submittable
    client, unit = InProcess(tmp_path / "method.py", tmp_path), next(iter(prepared.plan.units.values()))
    with pytest.raises(UsageError, match=r"attribution-latec@\d needs the file .*imagenet\.npz"):
        prepared.track.ask(unit, client)


SMALLER = {  # constants for inputs of a hundredth of the size
    "faithfulness_correlation": {"subset": 16, "runs": 10},
    "faithfulness_estimate": {"step": 50},
    "monotonicity_correlation": {"step": 60, "draws": 2},
    "pixel_flipping": {"step": 50},
    "region_perturbation": {"patch": 4, "regions": 4},
    "insertion": {"step": 40, "sigma": 1.0, "kernel": 3},
    "deletion": {"step": 40},
    "irof": {"segments": 8, "clusters": 4},
    "road": {"percentages": [20, 50, 80]},
    "infidelity": {"draws": 4},
    "local_lipschitz": {"draws": 2},
    "max_sensitivity": {"draws": 2},
    "continuity": {"steps": 4, "patch": 4},
    "relative_input_stability": {"draws": 2},
    "relative_output_stability": {"draws": 2},
    "relative_representation_stability": {"draws": 2},
}
MINIATURES = {  # shapes that the same networks also take
    "oct-efficientnet-b0": (3, 32, 32),
    "vessel-r3d-18": (1, 8, 8, 8),
    "coma-pointnet": (3, 64),
}


def miniature(folder, version, model):
    """The protocol's own text with one of its networks, untrained, and two of its samples, smaller."""
    name = model.split("-")[0]
    fields = read_extended(bundled_folder("leaderboards") / "attribution-latec" / str(version) / "benchmark.toml")
    fields["source"]["sets"] = [{**each, "count": 2} for each in fields["source"]["sets"] if each["id"] == name]
    fields["source"]["models"] = [each for each in fields["source"]["models"] if each["id"] == model]
    fields["studies"] = [{**each, "models": [model]} for each in fields["studies"] if each["id"] == name]
    for metric in fields["metrics"]:
        own = metric.pop("by_study", {}).get(name, {})
        metric["constants"] = {**metric.get("constants", {}), **own, **SMALLER.get(metric["id"], {})}
    fields["bootstrap"] = {"replicates": 20}
    path = folder / "benchmark.toml"
    path.write_text(tomli_w.dumps(fields))
    protocol = load_protocol(path).of(AttributionBenchmark)
    (chosen,) = protocol.source.sets
    (own,) = protocol.source.models
    files(folder, chosen, own, MINIATURES[model])
    return path


def files(folder, chosen, model, shape):
    """What the protocol expects on disk."""
    from safetensors.numpy import save_file

    torch.manual_seed(0)
    network = factory(model)
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    (folder / "attribution-latec").mkdir()
    save_file(weights_of(network), folder / model.weights.path)
    arrays = {"inputs": patterns(3, shape), "background": patterns(4, shape)}
    with (folder / chosen.file.path).open("wb") as stream:
        np.savez(stream, labels=np.array([0, 1, 0]), **{key: each.astype(np.float32) for key, each in arrays.items()})


def patterns(count, shape):
    """Points at random, or squares and cubes of random colours, which have superpixels."""
    rng = np.random.default_rng(count)
    if len(shape) == 2:
        return rng.normal(size=(count, *shape))
    coarse = rng.normal(size=(count, shape[0], *[4] * (len(shape) - 1)))
    return np.kron(coarse, np.ones([side // 4 for side in shape[1:]])) + 0.05 * rng.normal(size=(count, *shape))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("model", MINIATURES)
def test_one_network_of_each_modality_from_files_to_scores(tmp_path, version, model):
    path = miniature(tmp_path, version, model)
    track, unit, outputs = answer(tmp_path, GRADIENT, path)
    own = track.model(model)
    network = factory(own).eval()
    network.load_state_dict(weights(tmp_path / own.weights.path))
    inputs = torch.from_numpy(track.samples(unit).inputs).requires_grad_(True)
    assert inputs.shape == (2, *MINIATURES[model])
    network(inputs)[torch.arange(2), torch.tensor([0, 1])].sum().backward()
    expected = (inputs.grad * inputs).detach().numpy()
    np.testing.assert_allclose(outputs["maps"], expected, atol=1e-4 * np.abs(expected).max())
    for metric in ORDERS["published"]:
        scores, (low, high) = outputs[f"score.{metric}"], METRICS[metric].range
        assert scores.shape == (2,)
        assert metric.startswith("relative") or np.isfinite(scores).all(), metric
        if version == 2:  # the areas of LATEC's reading are not divided by the number of steps
            assert not ((scores < low) | (scores > high)).any(), metric
    said = np.clip(outputs["maps"], 0, None) if version == 3 else np.abs(outputs["maps"].mean(axis=1))
    said = said.reshape(2, -1) / said.reshape(2, -1).max(axis=1, keepdims=True)
    above = (said > (0.01 if track.model(model).modality == "image" else 0.001)).sum(axis=1)
    np.testing.assert_array_equal(outputs["score.effective_complexity"], above)
    assert {record.metric for record in records(track.measure(unit, outputs))} == {*ORDERS["published"], "uniform_maps"}
    (tmp_path / own.weights.path).unlink()  # these are large


def weights(path):
    from safetensors.torch import load_file

    return load_file(path)
