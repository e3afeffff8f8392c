"""Released networks end to end: fetched, opened, run and scored as at the scale of a paper, on files of the same form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax

import harness
from harness.data.catalog import load_protocol
from harness.data.fetch import FetchOptions, fetch
from harness.data.manifests import load_manifest
from harness.data.readers.base import Selection
from harness.metrics import augrc
from harness.spec.errors import UsageError
from harness.storage import IntegrityError
from harness.tracks.confidence import released_inference
from harness.tracks.confidence.released import ReleasedOutputs
from harness.tracks.confidence.sources import open_source
from tests.tracks.confidence import miniature

pytestmark = pytest.mark.usefixtures("in_this_process")

METHOD = """
import harness

@harness.confidence_score(version="1", classifier="mc-mean")
def spread(outputs):
    return outputs.features.norm(dim=1) - outputs.mc_logits.std(dim=0).mean(dim=1)
"""


class Study:
    """The miniature on disk and in the cache."""

    def __init__(self, root):
        self.images = miniature.write(root)
        self.states = miniature.write_weights(root)
        self.path = root / "benchmark.toml"
        self.labels = self.images["labels"]
        for name in ("weights", "cifar", "cifar-c", "svhn"):
            fetch(load_manifest(root / name / "source.toml"), FetchOptions(source=root / "own"))

    @property
    def protocol(self):
        return load_protocol(self.path)

    def source(self, **options):
        return open_source(self.protocol, "cpu", **options)

    def model(self, dropout, run):
        name = f"cifar10-confidnet-do{dropout}-rew2.2-run{run}"
        return next(each for each in self.protocol.benchmark.source.models if each.id == name)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("released")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(root / "cache"))
        yield Study(root)


def close(found, expected):
    """Equal up to the rounding of float16 and of single precision."""
    assert found.dtype == np.float16
    np.testing.assert_allclose(found.astype(float), expected, rtol=4e-3, atol=4e-3 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["validation", "test", "corrupted-1", "corrupted-5"])
def test_outputs_are_those_of_a_forward_pass_by_hand(study, name):
    """Also: of two versions of a checkpoint the tenth counts, not the ninth."""
    samples = study.source().samples(study.model(0, 1), name)
    logits, features = miniature.forward(study.states[0, 1], study.images[name])
    close(samples.arrays["logits"], logits)
    close(samples.arrays["features"], features)
    assert logits.argmax(1).std() > 0, "a network that always says the same tests nothing"
    assert set(samples.arrays) == {"logits", "features", "head_confidence"}


def test_an_external_set_is_prepared_in_its_own_way(study):
    samples = study.source().samples(study.model(0, 2), "svhn")
    logits, _ = miniature.forward(study.states[0, 2], study.images["svhn"], miniature.OWN_MEAN, miniature.OWN_STD)
    # Stored at 48 pixels and shrunk: not the very images, but far nearer to them than those of the other preparation.
    other, _ = miniature.forward(study.states[0, 2], study.images["svhn"])
    gap = [np.abs(samples.arrays["logits"] - each).mean() for each in (logits, other)]
    assert gap[0] < gap[1]


def test_training_samples_are_the_first_of_a_seeded_permutation(study):
    samples = study.source().samples(study.model(0, 1), "train")
    rows = np.random.default_rng(0).permutation(miniature.TRAIN)[:8]
    close(samples.arrays["logits"], miniature.forward(study.states[0, 1], study.images["train"][rows])[0])


def test_labels_follow_their_images(study):
    source, model = study.source(), study.model(0, 1)
    assert source.samples(model, "validation").labels.tolist() == study.labels[:12].tolist()
    assert source.samples(model, "test").labels.tolist() == study.labels[12:].tolist()


def test_the_last_layer_gives_the_logits(study):
    source, model = study.source(), study.model(0, 1)
    shared, samples = source.shared(model), source.samples(model, "test")
    features = samples.arrays["features"].astype(float)
    close(samples.arrays["logits"], features @ shared["weight"].T + shared["bias"])


def test_members_are_there_for_networks_with_dropout_and_for_methods_that_want_them(study):
    assert "mc_logits" not in study.source(members=False).samples(study.model(1, 1), "test").arrays
    assert "mc_logits" not in study.source(members=True).samples(study.model(0, 1), "test").arrays
    members = study.source(members=True).samples(study.model(1, 1), "test").arrays
    assert members["mc_logits"].shape == (2, 24, 10)
    assert members["mc_head_confidence"].shape == (2, 24)
    assert (members["mc_logits"].astype(float).std(axis=0) > 0).mean() > 0.9


def test_neither_members_nor_logits_depend_on_the_batch(study, monkeypatch, tmp_path):
    before = study.source().samples(study.model(1, 1), "test").arrays
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    (tmp_path / "data").symlink_to(study.path.parent / "cache" / "data")
    monkeypatch.setattr(released_inference, "_LARGEST_BATCH", 7)
    after = study.source().samples(study.model(1, 1), "test").arrays
    for name, values in before.items():
        np.testing.assert_allclose(values.astype(float), after[name].astype(float), rtol=2e-3, atol=2e-3)


def test_images_are_read_batch_by_batch(study, monkeypatch, tmp_path):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    (tmp_path / "data").symlink_to(study.path.parent / "cache" / "data")
    monkeypatch.setattr(released_inference, "_LARGEST_BATCH", 7)
    asked = []

    def spy(self, rows):
        asked.append(len(rows))
        return read(self, rows)

    read = Selection.read
    monkeypatch.setattr(Selection, "read", spy)
    study.source(members=False).samples(study.model(0, 1), "test")
    assert sum(asked) == 24 + 1, "each image once, and one to learn their size"
    assert max(asked) == 7


def test_cached_outputs_need_no_images(study, monkeypatch):
    source, model = study.source(members=False), study.model(0, 1)
    expected = source.samples(model, "test")
    monkeypatch.setattr("harness.data.readers.opening.open_part", lambda *_: pytest.fail("the images were opened"))
    again = study.source(members=False).samples(model, "test")
    assert np.array_equal(again.arrays["logits"], expected.arrays["logits"])


def brute_force(study, score):
    """AUGRC of the iid study for the dropout that is better on validation, from passes by hand."""
    means = {}
    for dropout in miniature.DROPOUTS:
        validation, test = [], []
        for run in miniature.RUNS:
            source, model = study.source(members=False), study.model(dropout, run)
            for name, labels, found in (
                ("validation", study.labels[:12], validation),
                ("test", study.labels[12:], test),
            ):
                logits = source.samples(model, name).arrays["logits"].astype(float)
                found.append(augrc(score(logits), (logits.argmax(1) != labels).astype(float)))
        means[dropout] = np.mean(validation), np.mean(test)
    assert means[0][0] != means[1][0]
    return min(means.values())[1]


def test_a_score_is_that_of_the_configuration_that_validation_chose(study, tmp_path):
    result = harness.evaluate("msr", benchmark=str(study.path), out=tmp_path / "runs", workers=1)
    assert {unit.status for unit in result.document.units} == {"ok"}
    assert len(result.document.units) == len(miniature.RUNS) * len(miniature.DROPOUTS) * 5
    rows = {(row.study, row.metric): row for row in result.document.summary}
    expected = brute_force(study, lambda logits: softmax(logits, axis=1).max(1).astype(np.float32))
    assert rows["iid", "augrc"].value == pytest.approx(expected, abs=1e-9)
    assert rows["iid", "augrc"].seeds == len(miniature.RUNS)
    assert rows["corrupted", "augrc"].status == "ok"
    assert "choice" not in {study for study, _ in rows}


def test_a_method_on_features_and_members_is_run_on_networks_with_dropout(study, tmp_path):
    method = tmp_path / "spread.py"
    method.write_text(METHOD)
    result = harness.evaluate(str(method), benchmark=str(study.path), out=tmp_path / "runs", workers=1)
    assert {unit.status for unit in result.document.units} == {"ok"}
    assert {unit.model for unit in result.document.units} == {study.model(1, run).id for run in miniature.RUNS}
    unit = next(u for u in result.document.units if u.study == "iid" and u.seed == 1)
    arrays = study.source().samples(study.model(1, 1), "test").arrays
    features, members = (torch.from_numpy(arrays[name]).double() for name in ("features", "mc_logits"))
    confidence = (features.norm(dim=1) - members.std(dim=0).mean(dim=1)).numpy().astype(np.float32)
    mean = members.softmax(dim=2).mean(dim=0).argmax(dim=1).numpy()
    expected = augrc(confidence, (mean != study.labels[12:]).astype(float))
    assert {each.metric: each.value for each in unit.records}["augrc"] == pytest.approx(expected, abs=1e-9)


LEARNERS = {
    "at once": (
        "    def fit(self, reference):\n        self.mean = reference.train.features.mean(dim=0)\n",
        "outputs.features @ self.mean",
    ),
    "behind its own except": (
        "    def fit(self, reference):\n        try:\n            self.mean = reference.train.features.mean(dim=0)\n"
        "        except Exception:\n            self.mean = reference.validation.features.mean(dim=0)\n",
        "outputs.features @ self.mean",
    ),
    "if it is there": (
        "    def fit(self, reference):\n        self.mean = 0 * reference.validation.features[0]\n"
        "        if 'train' in reference:\n            self.mean = reference.train.features.mean(dim=0)\n",
        "outputs.features @ self.mean",
    ),
    "only when it scores": (
        "    def fit(self, reference):\n        self.reference = reference\n",
        "outputs.features @ self.reference.train.features.mean(dim=0)",
    ),
}


@pytest.mark.parametrize("how", LEARNERS)
def test_what_a_method_learns_from_is_there_however_it_asks(study, tmp_path, how):
    fit, score = LEARNERS[how]
    (tmp_path / "own.py").write_text(
        'import harness\n\n@harness.confidence_score(version="1")\nclass Own:\n'
        f"{fit}    def score(self, outputs):\n        return {score}\n"
    )
    result = harness.evaluate(str(tmp_path / "own.py"), benchmark=str(study.path), out=tmp_path / "runs", workers=1)
    assert {(unit.status, unit.reason) for unit in result.document.units} == {("ok", "")}
    source = study.source(members=False)
    for unit in (each for each in result.document.units if each.study == "iid" and "do0" in each.model):
        model = study.model(0, unit.seed)
        mean = source.samples(model, "train").arrays["features"].astype(float).mean(axis=0)
        samples = source.samples(model, "test")
        confidence = (samples.arrays["features"].astype(float) @ mean).astype(np.float32)
        wrong = samples.arrays["logits"].argmax(1) != samples.labels
        value = {each.metric: each.value for each in unit.records}["augrc"]
        assert value == pytest.approx(augrc(confidence, wrong.astype(float)), abs=1e-9)


@pytest.mark.parametrize(("method", "computed"), [("msr", False), ("knn", True)])
def test_a_training_set_is_run_only_for_methods_that_learn_from_it(study, monkeypatch, tmp_path, method, computed):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    (tmp_path / "data").symlink_to(study.path.parent / "cache" / "data")
    asked = set()
    compute = ReleasedOutputs._compute

    def spy(self, model, name, kind):
        asked.add(name)
        return compute(self, model, name, kind)

    monkeypatch.setattr(ReleasedOutputs, "_compute", spy)
    harness.evaluate(method, benchmark=str(study.path), out=tmp_path / "runs", workers=1)
    assert ("train" in asked) is computed
    assert {"validation", "test", "svhn", "corrupted-1", "corrupted-5"} <= asked


# what may go wrong ---------------------------------------------------------------------------------


def changed(study, folder, *pairs):
    """The benchmark with other text, beside its manifests."""
    text = study.path.read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    path = study.path.with_name(f"{folder.name}.toml")
    path.write_text(text)
    return load_protocol(path)


def test_rows_that_a_part_does_not_have_are_refused(study, tmp_path):
    protocol = changed(study, tmp_path, ("rows = [12] }", "rows = [12, 100] }"))
    with pytest.raises(IntegrityError, match=r"rows \[12, 100\] of the part test of .*, which has 36 samples"):
        open_source(protocol, "cpu").samples(study.model(0, 1), "test")


def test_a_part_of_another_size_than_the_benchmark_says_is_refused(study, tmp_path):
    protocol = changed(study, tmp_path, ("rows = [12] }", "rows = [12], count = 41 }"))
    with pytest.raises(IntegrityError, match="set test has 24 samples, the benchmark says 41"):
        open_source(protocol, "cpu").samples(study.model(0, 1), "test")


def test_validation_that_shares_samples_with_a_tested_set_is_refused(study, tmp_path):
    """By their rows where these are of one order, else when the samples are known."""
    with pytest.raises(UsageError, match="the reference set validation and the set test share samples"):
        changed(study, tmp_path, ("rows = [12] }", "rows = [11] }"))
    protocol = changed(study, tmp_path, ('part = "test", rows = [0, 12]', 'part = "test", shuffle = 5, rows = [0, 12]'))
    with pytest.raises(UsageError, match=r"validation and the tested set test share \d+ samples; choose other rows"):
        open_source(protocol, "cpu").samples(study.model(0, 1), "validation")


def test_images_of_several_sizes_ask_for_a_resize(study, tmp_path):
    protocol = changed(study, tmp_path, ("images = { resize = [32, 32], mean", "images = { crop = 64, mean"))
    with pytest.raises(UsageError, match=r"set svhn: an image of 48 x 48 has no centre of 64 pixels"):
        open_source(protocol, "cpu").samples(study.model(0, 1), "svhn")


def test_a_checkpoint_of_another_network_is_refused(study, tmp_path):
    protocol = changed(study, tmp_path, ("classes = 10", "classes = 12"))
    model = next(iter(protocol.benchmark.source.models))
    with pytest.raises(UsageError, match=r"does not fit vgg13 with 12 classes"):
        open_source(protocol, "cpu").samples(model, "test")


def test_a_part_that_is_not_defined_is_named(study, tmp_path):
    protocol = changed(study, tmp_path, ('part = "thinned"', 'part = "thin"'))
    with pytest.raises(UsageError, match="is the part 'thin' of cifar-c, which has: thinned"):
        open_source(protocol, "cpu").artefacts(study.model(0, 1))


def test_what_is_not_here_is_planned_and_refused_with_the_command(study, monkeypatch, tmp_path):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "empty"))
    source, models = study.source(), study.protocol.benchmark.source.models
    absent = source.missing(models)
    assert absent[0] == "weights/source.toml: 4 checkpoints of cifar10"
    assert {each.split(":")[0] for each in absent[1:]} == {f"{n}/source.toml" for n in ("cifar", "cifar-c", "svhn")}
    assert source.artefacts(models[0])["weights"] == "absent"
    with pytest.raises(UsageError, match=r"harness data fetch .*weights/source.toml --file 'cifar-10.zip'"):
        source.samples(models[0], "test")
    with pytest.raises(UsageError, match="harness data fetch"):
        harness.evaluate("msr", benchmark=str(study.path), out=tmp_path / "runs", workers=1)
