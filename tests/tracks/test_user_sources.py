"""Outputs that a user already has, end to end: every score is computed again by brute force."""

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import trapezoid
from scipy.special import logsumexp, softmax
from scipy.stats import entropy
from sklearn.metrics import roc_auc_score

import harness
from harness.spec.errors import UsageError
from harness.storage import IntegrityError
from harness.tracks.confidence.model_outputs import ModelOutputs
from harness.tracks.confidence.outcomes import predictions

pytestmark = pytest.mark.usefixtures("in_this_process")

METRICS = ("augrc", "aurc", "failure_auroc")


def areas(confidence, failure):
    """The three metrics from their definitions, threshold by threshold."""
    points = []
    for threshold in np.unique(confidence)[::-1]:
        accepted = confidence >= threshold
        points.append((accepted.mean(), failure[accepted].sum() / len(failure), failure[accepted].mean()))
    coverage, generalised, selective = np.array([(0, 0, points[0][2]), *points]).T
    return {
        "augrc": trapezoid(generalised, coverage),
        "aurc": trapezoid(selective, coverage),
        "failure_auroc": roc_auc_score(1 - failure, confidence),
    }


def found(result):
    """study -> metric -> value, of a run on one model."""
    assert {unit.status for unit in result.document.units} == {"ok"}
    return {unit.study: {each.metric: each.value for each in unit.records} for unit in result.document.units}


def evaluate(method, benchmark, out):
    return harness.evaluate(method, benchmark=str(benchmark), out=out / "runs", workers=1)


# an FD-Shifts folder ------------------------------------------------------------------------------

SETS = {"val": 0, "iid": 1, "noise": 2, "new": 3}
SIZES = {"val": 60, "iid": 120, "noise": 120, "new": 60}
CLASSES, FEATURES, MEMBERS = 4, 8, 6
FOLDERS = """
id = "my-folder"
version = 1
title = "Outputs of my network"
task = "confidence"
metrics = ["augrc", "aurc", "failure_auroc"]
bootstrap = { replicates = 20 }
studies = [
    { id = "iid", kind = "iid", samples = "iid", group = "iid" },
    { id = "noise", kind = "covariate-shift", samples = "noise", group = "noise" },
    { id = "new", kind = "new-class", samples = "iid", unknown = "new", group = "new" },
]
reference = { validation = "val"REFERENCE }

[source]
kind = "fd-shifts"
models = [
    { id = "plain", folder = "results/plain" },
    { id = "learnt", family = "confidnet", head = "confidnet", folder = "results/learnt" },
]
sets = { val = 0, iid = 1, noise = 2, new = 3 }
TRAIN
"""


class Network:
    """What one experiment stored, in the precision in which it did: a linear layer on noisy clusters."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        centres = rng.uniform(0, 3, size=(CLASSES + 1, FEATURES))  # the last one is of no class
        self.weight = (centres[:-1] - centres.mean(0) + 0.2 * rng.normal(size=(CLASSES, FEATURES))).astype(np.float32)
        self.bias = (-self.weight @ centres.mean(0) + 0.2 * rng.normal(size=CLASSES)).astype(np.float32)
        self.index = rng.permutation(np.repeat(list(SETS.values()), list(SIZES.values())))
        truth = np.where(self.index == SETS["new"], CLASSES, rng.integers(CLASSES, size=len(self.index)))
        spread = np.where(self.index == SETS["noise"], 2.0, 1.0)[:, None]
        features = np.abs(centres[truth] + spread * rng.normal(size=(len(truth), FEATURES)))
        self.labels = np.where(truth == CLASSES, -99, truth)
        self.features = features.astype(np.float16)
        self.logits = (features @ self.weight.T + self.bias).astype(np.float16)
        noise = rng.normal(size=(MEMBERS, *self.logits.shape)) * 2
        self.mc_logits = (self.logits + noise).astype(np.float16)
        self.head = softmax(self.logits + noise[0], axis=1).max(1).astype(np.float16)
        self.train_labels = np.arange(400) % CLASSES
        train = np.abs(centres[self.train_labels] + rng.normal(size=(400, FEATURES)))
        self.train_features = train.astype(np.float16)

    def store(self, folder, kind="logits", features=True):
        folder.mkdir(parents=True)
        values, members = self.logits, self.mc_logits
        if kind == "output":
            values, members = softmax(values.astype(float), axis=1), softmax(members.astype(float), axis=2)
        self._save(folder, f"raw_{kind}", np.column_stack([values, self.labels, self.index]))
        self._save(folder, f"raw_{kind}_dist", np.moveaxis(members, 0, 2))
        self._save(folder, "external_confids", self.head)
        if features:
            self._save(folder, "encoded_output", np.column_stack([self.features, self.index]))
            self._save(folder, "train_features", np.column_stack([self.train_features, self.train_labels]))
            np.savez(folder / "last_layer.npz", w=self.weight, b=self.bias)

    @staticmethod
    def _save(folder, name, array):
        np.savez_compressed(folder / f"{name}.npz", array.astype(np.float16))

    def expected(self, confidence, predicted):
        """Scores of every study for confidences and predicted classes (n,) of all stored samples."""
        wrong = (predicted != self.labels).astype(float)
        rows = {name: np.flatnonzero(self.index == number) for name, number in SETS.items()}
        detected = np.concatenate([rows["iid"][wrong[rows["iid"]] == 0], rows["new"]])
        assert len(rows["iid"]) > len(detected) - SIZES["new"] > SIZES["iid"] / 2, "some mistakes, not too many"
        chosen = {"iid": rows["iid"], "noise": rows["noise"], "new": detected}
        return {study: areas(confidence[each], wrong[each]) for study, each in chosen.items()}


@pytest.fixture(scope="module")
def networks():
    return {"plain": Network(0), "learnt": Network(1)}


def benchmark(folder, train=True):
    text = FOLDERS.replace("REFERENCE", ', train = "train"' if train else "")
    path = folder / "benchmark.toml"
    path.write_text(text.replace("TRAIN", 'train = "train"' if train else ""))
    return path


@pytest.fixture(scope="module")
def stored(tmp_path_factory, networks):
    """The benchmark file of a folder with everything."""
    root = tmp_path_factory.mktemp("fdshifts")
    networks["plain"].store(root / "results" / "plain" / "test_results")
    networks["learnt"].store(root / "results" / "learnt")
    return benchmark(root)


def nearest_mean(network):
    f, train = network.features.astype(float), network.train_features.astype(float)
    means = np.stack([train[network.train_labels == c].mean(0) for c in range(CLASSES)])
    within = train - means[network.train_labels]
    precision = np.linalg.inv(within.T @ within / len(within))
    return -np.min([np.einsum("nf,fg,ng->n", f - mean, precision, f - mean) for mean in means], axis=0)


def virtual_logit(network):
    f, train = network.features.astype(float), network.train_features.astype(float)
    weight, bias = network.weight.astype(float), network.bias.astype(float)
    origin = -np.linalg.pinv(weight) @ bias
    _, _, directions = np.linalg.svd(train - origin, full_matrices=False)
    outside = directions[FEATURES // 2 :].T
    norms = np.linalg.norm((train - origin) @ outside, axis=1)
    alpha = (train @ weight.T + bias).max(1).mean() / norms.mean()
    energy = logsumexp(network.logits.astype(float), axis=1)
    return energy - alpha * np.linalg.norm((f - origin) @ outside, axis=1)


def fiftieth_neighbour(network):
    f, train = (a.astype(float) for a in (network.features, network.train_features))
    f, train = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (f, train))
    return -np.sort(np.linalg.norm(f[:, None] - train, axis=2), axis=1)[:, 49]


def mean_of_members(network):
    return softmax(network.mc_logits.astype(float), axis=2).mean(0)


FORMULAS = {
    "msr": lambda network: softmax(network.logits.astype(float), axis=1).max(1),
    "mcd-msr": lambda network: mean_of_members(network).max(1),
    "mcd-pe": lambda network: -entropy(mean_of_members(network), axis=1),
    "mahalanobis": nearest_mean,
    "vim": virtual_logit,
    "knn": fiftieth_neighbour,
    "confidnet": lambda network: network.head.astype(float),
}


@pytest.mark.parametrize("method", FORMULAS)
def test_every_study_of_a_folder_equals_brute_force(stored, networks, tmp_path, method):
    network = networks["learnt" if method == "confidnet" else "plain"]
    by = mean_of_members(network) if method.startswith("mcd-") else network.logits
    expected = network.expected(FORMULAS[method](network), by.argmax(1))
    values = found(evaluate(method, stored, tmp_path))
    assert values.keys() == expected.keys()
    for study, metrics in expected.items():
        for metric, value in metrics.items():
            assert values[study][metric] == pytest.approx(value, abs=1e-9), (study, metric)


def test_members_and_network_differ_where_it_matters(networks):
    """Else the tests above could not tell by whose mistakes a study is filtered."""
    network = networks["plain"]
    confidence = FORMULAS["mcd-msr"](network)
    members, point = mean_of_members(network).argmax(1), network.logits.argmax(1)
    for study in ("iid", "noise", "new"):
        by_members, by_point = (network.expected(confidence, each)[study]["augrc"] for each in (members, point))
        assert by_members != pytest.approx(by_point, abs=1e-6)


def test_a_method_that_needs_features_does_not_apply_where_there_are_none(networks, tmp_path, monkeypatch):
    networks["plain"].store(tmp_path / "results" / "plain", kind="output", features=False)
    networks["learnt"].store(tmp_path / "results" / "learnt", features=False)
    monkeypatch.chdir(tmp_path)
    path = benchmark(tmp_path, train=False).name
    with pytest.raises(
        UsageError, match=r"in any of the 3 units of .*: train outputs are not offered by this benchmark"
    ):
        evaluate("mahalanobis", path, Path())
    # The older layout stores soft-max outputs in half precision: its ties are part of the data.
    stored = softmax(networks["plain"].logits.astype(float), axis=1).astype(np.float16)
    expected = networks["plain"].expected(stored.max(1), stored.argmax(1))
    values = found(evaluate("msr", path, Path()))
    assert values["new"]["augrc"] == pytest.approx(expected["new"]["augrc"], abs=1e-9)


def test_the_mean_of_members_in_half_precision_is_taken_in_full():
    """In float16 both means would round to 0.5, and the first class would win."""
    members = np.array([[0.5, 0.5], [0.5, 0.5], [0.5, 0.5], [0.49951, 0.50049]], dtype=np.float16)[:, None]
    assert members.astype(float).mean(0)[0, 1] > members.astype(float).mean(0)[0, 0]
    samples = ModelOutputs({"probabilities": members[0], "mc_probabilities": members}, np.array([1]))
    assert predictions(samples, "mc-mean").tolist() == [1]


def test_a_benchmark_that_asks_for_training_features_of_a_folder_without_says_so(networks, tmp_path):
    for name, network in networks.items():
        network.store(tmp_path / "results" / name, features=False)
    with pytest.raises(IntegrityError, match=r"has no train_features.npz, which the benchmark asks for"):
        evaluate("msr", benchmark(tmp_path), tmp_path)


# where a folder has little to say -----------------------------------------------------------------


@pytest.fixture
def own(tmp_path, stored):
    """A folder with everything, to be changed."""
    shutil.copytree(stored.parent, tmp_path / "own", ignore=shutil.ignore_patterns("runs"))
    return tmp_path / "own" / stored.name


def rewritten(folder, name, change):
    with np.load(folder / name) as stored:
        np.savez(folder / name, **{key: change(array) for key, array in stored.items()})


def reasons(result):
    return {(unit.status, unit.reason) for unit in result.document.units}


@pytest.mark.parametrize(("method", "head"), [("confidnet", "confidnet"), ("devries", "devries")])
def test_a_head_that_says_one_and_the_same_is_named(tmp_path, own, method, head):
    own.write_text(own.read_text().replace('head = "confidnet"', f'head = "{head}"'))
    rewritten(own.parent / "results" / "learnt", "external_confids.npz", lambda array: array * 0)
    result = evaluate(method, own, tmp_path)
    assert {status for status, _ in reasons(result)} == {"invalid"}
    assert all(reason.endswith("samples are equal in the model's head_confidence") for _, reason in reasons(result))


def test_training_features_without_rows_have_a_sentence(tmp_path, own):
    rewritten(own.parent / "results" / "plain" / "test_results", "train_features.npz", lambda array: array[:0])
    with pytest.raises(
        UsageError, match="plain, set train has no samples; name others in the benchmark, or leave it out"
    ):
        evaluate("knn", own, tmp_path)


def test_the_reservation_reaches_methods_of_deep_gamblers_alone(tmp_path, own, networks):
    folder = own.parent / "results" / "learnt"
    rewritten(folder, "last_layer.npz", lambda array: np.concatenate([array, array[:1] - 0.5]))
    sentence = "last_layer.npz has one row more than there are classes, as DeepGamblers networks have; say head = "
    with pytest.raises(IntegrityError, match=re.escape(sentence)):
        evaluate("confidnet", own, tmp_path)
    own.write_text(own.read_text().replace('head = "confidnet"', 'head = "deep-gamblers"'))
    values = found(evaluate("dg-react-mls-fd-shifts", own, tmp_path))
    network = networks["learnt"]
    ceiling = np.quantile(network.train_features.astype(np.float16).astype(float), 0.99)
    weight = np.concatenate([network.weight, network.weight[:1] - 0.5]).astype(float)
    bias = np.concatenate([network.bias, network.bias[:1] - 0.5]).astype(float)
    logits = np.minimum(network.features.astype(np.float16).astype(float), ceiling) @ weight.T + bias
    expected = network.expected(logits.max(1), network.logits.astype(np.float16).argmax(1))
    for study, metrics in expected.items():
        for metric, value in metrics.items():
            assert values[study][metric] == pytest.approx(value, abs=1e-9), (study, metric)


# a plain table: real classifiers ------------------------------------------------------------------

SHARED = Path(os.environ.get("HARNESS_SHARED", Path(__file__).resolve().parents[3] / "shared"))
TABLE = """
id = "my-table"
version = 1
title = "Soft-max outputs of a published classifier"
task = "confidence"
metrics = ["augrc", "aurc", "failure_auroc"]
bootstrap = { replicates = 20 }
studies = [{ id = "iid", kind = "iid", samples = "test", group = "iid" }]

[source]
kind = "table"
holds = "probabilities"
values = "predictions"
labels = "ground_truth"
models = [{ id = "network", table = { path = "PATH" } }]
sets = { test = { rows = [0, 10000] } }
"""


def published(folder, name):
    """Benchmark file, soft-max outputs and labels of a real classifier."""
    path = SHARED / "data" / "netcal" / f"{name}.npz"
    if not path.is_file():
        pytest.skip(f"{path} is not here; HARNESS_SHARED names the folder that has data/netcal")
    (folder / "table.toml").write_text(TABLE.replace("PATH", str(path)))
    with np.load(path, allow_pickle=False) as arrays:
        return folder / "table.toml", arrays["predictions"], arrays["ground_truth"].reshape(-1)


@pytest.mark.parametrize("name", ["lenet-5-cifar-10", "wideresnet-16-4-cifar-100"])
def test_msr_on_a_real_classifier(tmp_path, name):
    path, predictions, labels = published(tmp_path, name)
    failure = (predictions.argmax(1) != labels).astype(float)
    expected = areas(predictions.max(1), failure)
    values = found(evaluate("msr", path, tmp_path))["iid"]
    for metric in METRICS:
        assert values[metric] == pytest.approx(expected[metric], abs=1e-12), metric
    assert values["failure_rate"] == failure.mean()


def test_logits_do_not_apply_where_only_probabilities_are_known(tmp_path):
    path, _, _ = published(tmp_path, "lenet-5-cifar-10")
    hint = "a method may take outputs.probabilities or outputs.log_probabilities"
    with pytest.raises(UsageError, match=f"this model does not offer logits, only probabilities; {hint}"):
        evaluate("mls", path, tmp_path)
    assert not (tmp_path / "runs").exists()
