"""Networks that were trained without some classes, from their configuration to a score."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import logsumexp, softmax

import harness
from harness.data.catalog import load_protocol
from harness.data.fetch import FetchOptions, fetch
from harness.data.manifests import load_manifest
from harness.metrics import augrc
from harness.spec.errors import UsageError
from harness.storage import IntegrityError
from harness.tracks.confidence.model_outputs import ModelOutputs
from harness.tracks.confidence.open_set import held_out_classes, without_classes
from harness.tracks.confidence.sources import open_source
from tests.tracks.confidence import miniature

pytestmark = pytest.mark.usefixtures("in_this_process")

HELD = {1: (6, 7, 8, 9), 2: (0, 3)}
"""By run: FD-Shifts draws them anew for each network."""
STUDIES = """studies = [
    { id = "open-set", kind = "open-set", samples = "test", group = "open-set" },
]
"""
CONFIGURATION = """
data:
  dataset: svhn_openset
  kwargs:
    out_classes: {held}
exp: {{dir: "${{oc.env:EXPERIMENT_ROOT_DIR}}/x"}}
"""


def outputs(n=50, classes=10):
    rng = np.random.default_rng(1)
    arrays = {
        "logits": rng.normal(size=(n, classes)),
        "mc_logits": rng.normal(size=(3, n, classes)),
        "features": rng.normal(size=(n, 4)),
        "head_confidence": rng.uniform(size=n),
    }
    return ModelOutputs(arrays, rng.integers(classes, size=n))


def test_without_classes_scores_are_those_of_logits_of_minus_infinity():
    """Which is what FD-Shifts sets them to: soft-max, largest logit, energy and entropy, of the network and its members."""
    full, held = outputs(), [2, 5, 9]
    found = without_classes(full, held)
    for name in ("logits", "mc_logits"):
        masked = full.arrays[name].copy()
        masked[..., held] = -np.inf
        kept = found.arrays[name]
        assert kept.shape[-1] == 7
        np.testing.assert_allclose(softmax(kept, axis=-1).max(-1), softmax(masked, axis=-1).max(-1), rtol=1e-12)
        np.testing.assert_allclose(kept.max(-1), masked.max(-1))
        np.testing.assert_allclose(logsumexp(kept, axis=-1), logsumexp(masked, axis=-1), rtol=1e-12)
    for name in ("features", "head_confidence"):
        assert found.arrays[name] is full.arrays[name]


def test_classes_are_numbered_anew_and_those_held_out_are_none():
    full, held = outputs(), [2, 5, 9]
    found = without_classes(full, held)
    new = {0: 0, 1: 1, 3: 2, 4: 3, 6: 4, 7: 5, 8: 6, 2: -1, 5: -1, 9: -1}
    assert found.labels.tolist() == [new[label] for label in full.labels.tolist()]


@pytest.mark.parametrize(
    "text",
    [
        "data: {kwargs: }",
        "data: {dataset: svhn}",
        "data: {kwargs: {out_classes: }}",
        "data: {kwargs: {out_classes: [6, 10]}}",
        "data: {kwargs: {out_classes: [6, 6]}}",
        "data: {kwargs: {out_classes: []}}",
        "data: {kwargs: {out_classes: [0, 1, 2, 3, 4, 5, 6, 7, 8]}}",
        "data: {kwargs: {out_classes: ['6']}}",
        "data: {kwargs: {out_classes: [true]}}",
        "- 1",
        "",
        "data: [",
        "!!python/object/apply:os.system ['true']",
    ],
)
def test_a_configuration_without_such_classes_is_refused(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(IntegrityError, match="out_classes"):
        held_out_classes(path, 10)


def test_a_missing_configuration_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"config.yaml, which names the classes .* is missing; fetch it again"):
        held_out_classes(tmp_path / "config.yaml", 10)


# end to end ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("open-set")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(root / "cache"))
        images = miniature.write(root)
        states = miniature.write_weights(root, lambda run: CONFIGURATION.format(held=list(HELD[run])))
        text = (root / "benchmark.toml").read_text()
        text = text[: text.index("studies = [")] + STUDIES + text[text.index("\n[source]") :]
        for old, new in (
            ('id = "cifar10"\n', 'id = "cifar10"\nopen_set = true\nchoice = "none"\n'),
            ('reference = { train = "train", validation = "validation" }', 'reference = { train = "train" }'),
            ('part = "test", rows = [12] }', 'part = "test" }'),
        ):
            assert old in text
            text = text.replace(old, new)
        (root / "benchmark.toml").write_text(text)
        for name in ("weights", "cifar", "cifar-c", "svhn"):
            fetch(load_manifest(root / name / "source.toml"), FetchOptions(source=root / "own"))
        yield root / "benchmark.toml", images, states


def model(protocol, run, dropout=0):
    name = f"cifar10-confidnet-do{dropout}-rew2.2-run{run}"
    return next(each for each in protocol.benchmark.source.models if each.id == name)


def expected(study, run):
    """Confidence, residual and whether it counts, of the largest logit on the whole test set, from a forward pass by hand."""
    _, images, states = study
    logits, _ = miniature.forward(states[0, run], images["all"])
    logits[:, list(HELD[run])] = -np.inf
    unknown = np.isin(images["labels"], HELD[run])
    wrong = logits.argmax(1) != images["labels"]
    return logits.max(1), np.where(unknown, 1.0, wrong), unknown | ~wrong


@pytest.mark.parametrize("run", [1, 2])
def test_each_network_is_asked_without_the_classes_of_its_own(study, run):
    protocol = load_protocol(study[0])
    source = open_source(protocol, "cpu", members=False)
    samples = source.samples(model(protocol, run), "test")
    kept = np.setdiff1d(np.arange(10), HELD[run])
    logits, _ = miniature.forward(study[2][0, run], study[1]["all"])
    np.testing.assert_allclose(samples.arrays["logits"].astype(float), logits[:, kept], rtol=0.01, atol=0.05)
    features, shared = samples.arrays["features"].astype(float), source.shared(model(protocol, run))
    assert shared["weight"].shape == (len(kept), 512)
    np.testing.assert_allclose(features @ shared["weight"].T + shared["bias"], logits[:, kept], rtol=0.01, atol=0.05)


def test_training_outputs_hold_only_what_the_network_was_trained_on(study):
    protocol = load_protocol(study[0])
    source = open_source(protocol, "cpu", members=False)
    for run in (1, 2):
        train = source.samples(model(protocol, run), "train")
        assert len(train.labels) == len(train.arrays["logits"]) > 0
        assert train.labels.min() >= 0
    sizes = [len(source.samples(model(protocol, run), "train").labels) for run in (1, 2)]
    assert sizes[0] < 8, "of the eight samples, some are of the classes 6 to 9"


def test_new_classes_are_failures_and_misclassified_known_ones_are_left_out(study, tmp_path):
    result = harness.evaluate("mls", benchmark=str(study[0]), out=tmp_path / "runs", workers=1)
    assert {unit.status for unit in result.document.units} == {"ok"}
    found = {unit.model: {each.metric: each.value for each in unit.records}["augrc"] for unit in result.document.units}
    for run in (1, 2):
        confidence, residual, keep = expected(study, run)
        assert 0 < residual[keep].mean() < 1
        # Outputs are rounded to float16, which moves a confidence past another now and then.
        assert found[f"cifar10-confidnet-do0-rew2.2-run{run}"] == pytest.approx(
            augrc(confidence[keep], residual[keep]), abs=0.01
        )


def test_all_networks_count_where_nothing_is_chosen(study, tmp_path):
    result = harness.evaluate("mls", benchmark=str(study[0]), out=tmp_path / "runs", workers=1)
    values = [{each.metric: each.value for each in unit.records}["augrc"] for unit in result.document.units]
    assert len(values) == len(miniature.RUNS) * len(miniature.DROPOUTS)
    rows = {(row.study, row.metric): row for row in result.document.summary}
    assert rows["open-set", "augrc"].value == pytest.approx(np.mean(values), abs=1e-9)


def test_another_configuration_is_another_run(study):
    protocol = load_protocol(study[0])
    before = open_source(protocol, "cpu").artefacts(model(protocol, 1))
    assert set(before) == {"weights", "configuration"} | {name for name in before if name.startswith("set ")}
    (path,) = (study[0].parent / "cache").rglob("*do0_run1_rew2.2/hydra/config.yaml")
    text = path.read_text()
    path.chmod(0o644)
    try:
        path.write_text(text.replace("6, 7, 8, 9", "5, 6, 7, 8"))
        assert open_source(protocol, "cpu").artefacts(model(protocol, 1)) != before
    finally:
        path.write_text(text)


METHOD = """
import harness

@harness.confidence_score(version="1", classifier="mc-mean")
def members(outputs):
    return outputs.mc_logits.mean(dim=0).amax(dim=1)
"""


def test_a_score_of_the_mean_over_members_is_asked_about_their_predictions(study, tmp_path):
    (tmp_path / "members.py").write_text(METHOD)
    result = harness.evaluate(str(tmp_path / "members.py"), benchmark=str(study[0]), out=tmp_path / "runs", workers=1)
    assert {unit.status for unit in result.document.units} == {"ok"}
    protocol = load_protocol(study[0])
    source = open_source(protocol, "cpu")
    for unit in result.document.units:
        samples = source.samples(model(protocol, unit.seed, dropout=1), "test")
        logits = torch.from_numpy(samples.arrays["mc_logits"]).double()
        predicted = logits.softmax(dim=2).mean(dim=0).argmax(dim=1).numpy()
        wrong, unknown = predicted != samples.labels, samples.labels < 0
        keep, residual = unknown | ~wrong, np.where(unknown, 1.0, wrong)
        confidence = logits.mean(dim=0).amax(dim=1).numpy()
        value = {each.metric: each.value for each in unit.records}["augrc"]
        assert value == pytest.approx(augrc(confidence[keep], residual[keep]), abs=1e-6)
