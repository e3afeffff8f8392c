"""One unit of the attribution track: what is asked, what is stored, and how each method's fault ends it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import harness
from harness.data.catalog import load_protocol
from harness.methods.client import MethodError
from harness.spec.errors import UsageError
from harness.storage import IntegrityError, read_arrays
from harness.tracks.attribution.models import build
from harness.tracks.attribution.sources import open_source
from harness.tracks.summary import records
from tests.tracks.attribution.support import BENCHMARK, CLASSES, GRADIENT, SAMPLES, SIDE, answer, write_benchmark


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))


def expected_maps(folder):
    """Gradient times input of the target's logit, sample by sample."""
    from safetensors.numpy import load_file

    from harness.tracks.attribution.models import Description

    source = (folder / "factory.py").read_text()
    network = build(Description(source=source), load_file(folder / "weights.safetensors"), "cpu").network
    arrays = read_arrays(folder / "images.npz")
    maps = []
    for image, label in zip(arrays["images"], arrays["labels"][:, 0], strict=True):
        one = torch.from_numpy(image.astype(np.float32) / np.float32(255))[None, None].requires_grad_(True)
        network(one)[0, int(label)].backward()
        maps.append((one.grad * one).detach().numpy()[0])
    return np.stack(maps), arrays


def test_maps_are_those_of_the_method_and_scores_fit_them(tmp_path):
    track, unit, outputs = answer(tmp_path, GRADIENT)
    maps, arrays = expected_maps(tmp_path)
    np.testing.assert_allclose(outputs["maps"], maps, rtol=1e-4, atol=1e-6)
    assert outputs["maps"].shape == (SAMPLES, 1, SIDE, SIDE)
    positive = np.clip(maps[:, 0].astype(float), 0, None)
    share = (positive * arrays["masks"]).sum((1, 2)) / positive.sum((1, 2))
    np.testing.assert_allclose(outputs["score.relevance_mass"], share, rtol=1e-4)
    of_unit = {record.metric: record for record in records(track.measure(unit, outputs))}
    assert of_unit["relevance_mass"].value == pytest.approx(np.median(share), rel=1e-4)
    assert of_unit["uniform_maps"].value == 0.0
    assert {record.n for record in of_unit.values()} == {SAMPLES}


def test_scores_that_need_maps_only_can_be_recomputed(tmp_path):
    track, unit, outputs = answer(tmp_path, GRADIENT)
    forged = {**outputs, "score.sparseness": outputs["score.sparseness"] + 0.1}
    again = track.rescored(unit, forged)
    for name, array in outputs.items():
        np.testing.assert_array_equal(again[name], array, err_msg=name)


def test_a_warm_cache_changes_no_score(tmp_path):
    benchmark = write_benchmark(tmp_path)
    _, _, cold = answer(tmp_path, GRADIENT, benchmark)
    assert list((tmp_path / "cache" / "forwards").rglob("*.npz"))
    _, _, warm = answer(tmp_path, GRADIENT, benchmark)
    for path in (tmp_path / "cache" / "forwards").rglob("*.npz"):
        path.write_bytes(path.read_bytes()[:-30])
    _, _, damaged = answer(tmp_path, GRADIENT, benchmark)
    for name in cold:
        np.testing.assert_array_equal(warm[name], cold[name])
        np.testing.assert_array_equal(damaged[name], cold[name])


def test_a_limit_takes_samples_spread_over_the_set(tmp_path):
    track, unit, outputs = answer(tmp_path, GRADIENT, limit=3)
    assert len(outputs["maps"]) == 3
    np.testing.assert_array_equal(track.samples(unit).targets, [0, 0, 0])
    maps, _ = expected_maps(tmp_path)
    np.testing.assert_allclose(outputs["maps"], maps[[0, 3, 6]], rtol=1e-4, atol=1e-6)


def test_the_positive_part_is_the_protocols_choice(tmp_path):
    benchmark = write_benchmark(
        tmp_path, BENCHMARK.replace('task = "attribution"', 'task = "attribution"\nmaps = "positive"')
    )
    _, _, outputs = answer(tmp_path, GRADIENT, benchmark)
    maps, _ = expected_maps(tmp_path)
    flat = np.sort(np.clip(maps.reshape(SAMPLES, -1).astype(float), 0, None), axis=1)
    places = np.arange(1, flat.shape[1] + 1)
    gini = ((2 * places - flat.shape[1] - 1) * flat).sum(1) / (flat.shape[1] * flat.sum(1))
    np.testing.assert_allclose(outputs["score.sparseness"], gini, atol=1e-5)
    assert outputs["maps"].min() < 0, "what the method said is stored as it was said"


@pytest.mark.parametrize(
    ("method", "status", "words"),
    [
        ('@explainer(version="1", modalities=("volume",))\ndef f(m, i, t): return i', "not-applicable", "declared for volume"),
        ('@explainer(version="1", architectures=("transformer",))\ndef f(m, i, t): return i', "not-applicable", "for cnn"),
        ('@explainer(version="1")\ndef f(m, i, t, context): return context.blocks', "not-applicable", "does not offer"),
        ('@explainer(version="1")\ndef f(m, i, t): return i * 0', "invalid", "all 9 maps are zero everywhere"),
        ('@explainer(version="1")\ndef f(m, i, t): return i * 0 + 2', "invalid", "all 9 maps are constant"),
        ('@explainer(version="1")\ndef f(m, i, t): return -i - 1', "invalid", "none of 9 maps has a positive value"),
        ('@explainer(version="1")\ndef f(m, i, t): return i / 0', "invalid", "NaN or infinite"),
        ('@explainer(version="1")\ndef f(m, i, t): return i[..., :5]', "invalid", "expected (4, 1, 8, 8)"),
        ('@explainer(version="1")\ndef f(m, i, t): return i.to("meta")', "invalid", "holds no numbers"),
        ('@explainer(version="1")\ndef f(m, i, t): m.train(); return i', "invalid", "in training mode"),
        ('@explainer(version="1")\ndef f(m, i, t): return i + t.new_empty(i.shape).float().normal_()', "invalid", "stochastic=True"),
        ('@explainer(version="1")\ndef f(m, i, t): raise KeyError("x")', "failed", "KeyError"),
    ],
)  # fmt: skip
def test_each_fault_is_a_status_with_a_sentence(tmp_path, method, status, words):
    with pytest.raises(MethodError) as raised:
        answer(tmp_path, method)
    assert raised.value.status == status
    assert words in raised.value.reason
    assert "\n" not in raised.value.reason


def test_some_uniform_maps_are_no_fault_but_said(tmp_path):
    method = '@explainer(version="1")\ndef f(m, i, t): return i * (t > 0)[:, None, None, None]\n'
    track, unit, outputs = answer(tmp_path, method)
    share = {record.metric: record.value for record in records(track.measure(unit, outputs))}["uniform_maps"]
    assert share == pytest.approx(1 / CLASSES)
    assert np.isfinite(outputs["score.sparseness"]).all()


def test_a_stochastic_method_that_says_so_is_scored(tmp_path):
    method = 'import torch\nfrom harness import explainer\n@explainer(version="1", stochastic=True)\ndef f(m, i, t): return torch.rand_like(i)\n'
    _, _, first = answer(tmp_path, method)
    _, _, second = answer(tmp_path, method)
    np.testing.assert_array_equal(first["maps"], second["maps"], err_msg="the seed comes from what is asked")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('inputs = "images"', 'inputs = "imgs"'), "imgs"),
        (('labels = "labels"', 'labels = "images"'), "one whole number for each"),
        (('id = "sparseness"', 'id = "sparsness"'), "sparsness"),
        (('[[metrics]]\nid = "sparseness"', '[[metrics]]\nid = "sparseness"\nconstants = { size = 3 }'), "size"),
        (("def build", "def make"), "build"),
        (("scale = 255.0", "scale = 255.0\nmean = [0.1, 0.2]"), "2 numbers in `mean` for 1 channels"),
        (('models = ["small"]', 'models = ["smal"]'), "smal"),
        (
            ('factory = { path = "factory.py" }', 'factory = { path = "factory.py" }\narguments = { classes = 2 }'),
            "do not fit",
        ),
        (('labels = "labels"', 'labels = "late"'), "labels run from 5 to 7, but the network's 3 classes"),
        (("scale = 255.0", 'scale = 255.0\nchannels = "last"'), "cannot run inputs of shape (8, 8)"),
        (("reshape(len(inputs), -1))", "reshape(len(inputs), -1)).sum()"), "not with logits (n, classes)"),
        (
            ("def build(classes=3):", "def build(classes=3):\n    raise KeyError('x')"),
            "the factory of the network fails: KeyError",
        ),
        (("from torch import nn", "from torch import nn\nimport sibling"), "sees installed packages only"),
        (("from torch import nn", "from torch import"), "the factory's file cannot be run: SyntaxError"),
        (('cam_layer = "relu"', 'cam_layer = "layer9"'), "cam_layer = 'layer9' is no part of the network"),
        (('masks = "masks"\n', ""), "relevance_mass needs masks, which the set test does not have"),
        (('inputs = "images"', 'inputs = "words"'), "not numbers"),
        (('inputs = "images"', 'inputs = "broken"'), "the inputs hold NaN or infinite values"),
        (
            ('background = "background"', 'background = "late"'),
            "shape (9,); it must hold at least one input of shape (8, 8)",
        ),
        (('background = "background"', 'background = "none"'), "shape (0, 8, 8); it must hold at least one input"),
        (('background = "background"', 'background = "words"'), "the background inputs hold <U3, not numbers"),
        (('masks = "masks"', 'masks = "words"'), "the masks hold <U3, not numbers"),
        (('masks = "masks"', 'masks = "background"'), "there are 4 masks for 9 inputs; each input needs one."),
        (('masks = "masks"', 'masks = "none"'), "there are 0 masks for 9 inputs"),
        (("scale = 255.0", "scale = 255.0\ncount = 4\nseed = -1"), "seed: it must be at least 0, not -1"),
        (('masks = "masks"', 'masks = "late"'), "masks have shape (9,), expected (9, 1, 8, 8)"),
        (
            ('reference = ["input-x-gradient", "saliency"]', 'reference = "saliency"'),
            "reference: it must be a list, not 'saliency'",
        ),
        (
            ('overall = ["faithfulness", "complexity"]', 'overall = ["randomisation"]'),
            "of which no study takes a metric",
        ),
        (
            ('metrics = ["faithfulness_estimate", "sparseness", "relevance_mass", "local_lipschitz"]', "metrics = []"),
            "metrics",
        ),
    ],
)
def test_a_mistake_in_a_users_benchmark_gets_one_sentence(tmp_path, change, words):
    benchmark = write_benchmark(tmp_path)
    for path in (benchmark, tmp_path / "factory.py"):
        path.write_text(path.read_text().replace(*change))
    with pytest.raises(UsageError) as raised:
        answer(tmp_path, GRADIENT, benchmark)
    assert words in str(raised.value)


def test_samples_and_background_are_the_first_of_an_order_that_the_seed_draws(tmp_path):
    few = 'background = "images"\nbackground_count = 3\ncount = 5\nseed = 4'
    protocol = load_protocol(write_benchmark(tmp_path, BENCHMARK.replace('background = "background"', few)))
    samples = open_source(protocol).samples("test")
    stored, order = read_arrays(tmp_path / "images.npz"), np.random.default_rng(4).permutation(SAMPLES)
    np.testing.assert_array_equal(samples.targets, stored["labels"][order[:5], 0])
    np.testing.assert_allclose(samples.inputs[:, 0], stored["images"][order[:5]] / 255, atol=1e-6)
    np.testing.assert_allclose(samples.background[:, 0], stored["images"][order[:3]] / 255, atol=1e-6)


def test_constants_that_do_not_suit_the_samples(tmp_path):
    text = BENCHMARK.replace("faithfulness_estimate", "faithfulness_correlation").replace(
        'id = "faithfulness_correlation"\n', 'id = "faithfulness_correlation"\nconstants = { subset = 1000 }\n', 1
    )
    with pytest.raises(UsageError, match=r"faithfulness_correlation cannot be computed .* cannot remove 1000 of 64"):
        answer(tmp_path, GRADIENT, write_benchmark(tmp_path, text))


def test_a_network_without_weights_is_the_same_everywhere(tmp_path):
    benchmark = write_benchmark(tmp_path, BENCHMARK.replace('weights = { path = "weights.safetensors" }\n', ""))
    _, _, first = answer(tmp_path, GRADIENT, benchmark)
    torch.manual_seed(123)
    track, unit, second = answer(tmp_path, GRADIENT, benchmark)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
    network = build(track.source.describe(track.model("small"))[0], {}, "cpu").network
    one = torch.from_numpy(track.samples(unit).inputs[:1]).requires_grad_(True)
    network(one)[0, int(track.samples(unit).targets[0])].backward()
    np.testing.assert_allclose(first["maps"][0], (one.grad * one).detach().numpy()[0], rtol=1e-4, atol=1e-6)


ASKED = """
@explainer(version="1.0")
def asked(model, inputs, targets):
    raise RuntimeError("the method was asked")
"""


def test_without_overall_those_criteria_count_of_which_there_are_metrics(tmp_path):
    """Faithfulness and complexity, but not robustness, which counts by default."""
    text = BENCHMARK.replace('overall = ["faithfulness", "complexity"]\n', "").replace(
        '"relevance_mass", "local_lipschitz"]', '"relevance_mass"]'
    )
    _, _, outputs = answer(tmp_path, GRADIENT, write_benchmark(tmp_path, text))
    assert {"score.faithfulness_estimate", "score.sparseness"} <= set(outputs)


ANSWERS = [
    "{'logits': %s, 'hidden': inputs}",
    "(%s, inputs)",
    "types.SimpleNamespace(logits=%s)",
]


@pytest.mark.parametrize("wrapped", ANSWERS)
def test_a_network_may_answer_with_more_than_logits(tmp_path, wrapped):
    benchmark = write_benchmark(tmp_path)
    _, _, plain = answer(tmp_path, GRADIENT, benchmark)
    factory = tmp_path / "factory.py"
    line = next(line for line in factory.read_text().splitlines() if "return self.classifier" in line)
    logits = line.strip().removeprefix("return ")
    factory.write_text("import types\n" + factory.read_text().replace(logits, wrapped % logits))
    _, _, found = answer(tmp_path, GRADIENT, benchmark)
    for name in plain:
        np.testing.assert_array_equal(plain[name], found[name])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("nn.functional.dropout(%s, 0.5)", "answers the same inputs differently each time"),
        ("%s - %s.mean(0)", "depends on the others in its batch"),
        ("%s / (len(inputs) - 1)", "depends on the others in its batch"),
        ("%s.reshape(2, -1)", "cannot run a single input"),
        ("%s.softmax(1)", "ends in a soft-max"),
        ("nn.functional.log_softmax(%s, dim=1)", "ends in a soft-max"),
        ("print(%s)", "answers with NoneType"),
        ("{'out': %s}", "answers with dict"),
        ("%s.squeeze()", "answers a single input with shape"),
        ("%s + 0 * self.calls.add_(1)", "changes its buffer calls"),
        ("self.kept.append(%s) or self.kept[-1]", "cannot be copied: RuntimeError"),
    ],
)
def test_networks_whose_answers_cannot_be_explained_are_refused_before_the_method_is_asked(tmp_path, change, words):
    benchmark = write_benchmark(tmp_path)
    factory = tmp_path / "factory.py"
    line = next(line for line in factory.read_text().splitlines() if "return self.classifier" in line)
    logits = line.strip().removeprefix("return ")
    begun = "super().__init__(); self.kept = []; self.register_buffer('calls', torch.zeros(1), persistent=False)"
    text = "import torch\n" + factory.read_text().replace("super().__init__()", begun)
    factory.write_text(text.replace(logits, change.replace("%s", logits)))
    with pytest.raises(UsageError, match=words):
        answer(tmp_path, ASKED, benchmark)


def test_the_cache_tells_networks_apart_that_have_the_same_weights(tmp_path):
    benchmark = write_benchmark(tmp_path)
    answer(tmp_path, GRADIENT, benchmark)
    factory = tmp_path / "factory.py"
    factory.write_text(factory.read_text().replace("self.relu(self.conv(inputs))", "(3 * self.conv(inputs)).sin()"))
    _, _, cached = answer(tmp_path, GRADIENT, benchmark)
    (tmp_path / "cache").rename(tmp_path / "old")
    _, _, fresh = answer(tmp_path, GRADIENT, benchmark)
    for name in fresh:
        np.testing.assert_array_equal(cached[name], fresh[name])


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "file"))
    _, _, outputs = answer(tmp_path, GRADIENT)
    assert "score.sparseness" in outputs


def test_weights_that_do_not_fit_or_are_no_safetensors(tmp_path):
    benchmark = write_benchmark(tmp_path)
    factory = tmp_path / "factory.py"
    factory.write_text(factory.read_text().replace("Conv2d(1, 6, 3", "Conv2d(1, 6, 5"))
    with pytest.raises((UsageError, MethodError), match="weights do not fit"):
        answer(tmp_path, GRADIENT, benchmark)
    (tmp_path / "weights.safetensors").write_bytes(b"<html>not found</html>")
    with pytest.raises(IntegrityError, match="is not a valid file of tensors"):
        answer(tmp_path, GRADIENT, benchmark)


def test_the_whole_way_with_a_users_own_images(tmp_path):
    from tests.methods.support import write

    benchmark = write_benchmark(tmp_path)
    path = write(tmp_path, GRADIENT)
    result = harness.evaluate(path, benchmark=str(benchmark), out=tmp_path / "runs", workers=1)
    assert result.complete
    overall = result.to_frame(summary=True).set_index("metric")
    _, _, outputs = answer(tmp_path, GRADIENT, benchmark)
    for metric in ("faithfulness_estimate", "sparseness", "relevance_mass", "local_lipschitz"):
        assert overall.value[metric] == pytest.approx(np.median(outputs[f"score.{metric}"]), rel=1e-5)
        assert overall.low[metric] <= overall.value[metric] <= overall.high[metric]
