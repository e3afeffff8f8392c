"""A user's own results, and all that a table of outputs may hold, end to end against brute force."""

import csv
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.special import softmax
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss

from harness.data.catalog import load_protocol
from harness.execution.evaluate import Request, inapplicable, prepare
from harness.methods.discovery import baseline_names, find_method
from harness.spec.errors import UsageError
from harness.spec.pack import INDEX
from harness.tracks.confidence.packing import PackRequest, write_pack
from harness.tracks.confidence.sources import open_source
from tests.cli.support import harness
from tests.printed import TEXTS
from tests.tracks.test_user_sources import FORMULAS, SETS, Network, areas, evaluate, found, mean_of_members

pytestmark = pytest.mark.usefixtures("in_this_process")

METRICS = '["augrc", "aurc", "failure_auroc", "failure_ap", "brier", "nll"]'


def scores(confidence, failure):
    """All metrics of METRICS from other libraries, or from their definitions."""
    right = 1 - failure
    return areas(confidence, failure) | {
        "failure_ap": average_precision_score(failure, -confidence),
        "brier": brier_score_loss(right, confidence),
        "nll": log_loss(right, confidence),
    }


def assert_equal(values, expected):
    assert values.keys() == expected.keys()
    for study, metrics in expected.items():
        for metric, value in metrics.items():
            assert values[study][metric] == pytest.approx(value, abs=1e-9), (study, metric)


# results: label, prediction, confidence -----------------------------------------------------------

RESULTS = f"""
id = "mine"
version = 1
title = "Results of mine"
task = "confidence"
metrics = {METRICS}
bootstrap = {{ replicates = 20 }}
studies = [
    {{ id = "iid", kind = "iid", samples = "iid", group = "iid" }},
    {{ id = "shift", kind = "domain-shift", samples = "shift", group = "shift" }},
    {{ id = "new", kind = "new-class", samples = "iid", unknown = "new", group = "new" }},
]

[source]
kind = "results"
classes = 5
models = [{{ id = "run-1", table = {{ path = "one.SUFFIX" }} }}]
sets = {{ iid = {{ named = "iid" }}, shift = {{ named = "shift" }}, new = {{ named = "new" }} }}
"""


def made(seed=0, count=600):
    """label, prediction, confidence, set and id of samples of five classes; those of the set `new` are of none."""
    rng = np.random.default_rng(seed)
    sets = rng.permutation(np.repeat(["iid", "shift", "new"], count // 3))
    label = np.where(sets == "new", rng.integers(-3, 99, size=count), rng.integers(5, size=count))
    prediction = np.where(rng.random(count) < 0.8, label % 5, rng.integers(5, size=count))
    easy = np.where(prediction == label, 0.4, 0.0)
    confidence = np.round(0.01 + easy + 0.55 * rng.random(count), 2)  # with ties
    return {
        "label": label,
        "prediction": prediction,
        "confidence": confidence,
        "set": sets,
        "id": np.array([f"image-{at}" for at in range(count)]),
    }


def write(path, columns):
    if path.suffix == ".parquet":
        pq.write_table(pa.table(columns), path)
    elif path.suffix == ".npz":
        np.savez(path, **columns)
    else:
        with path.open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))
    return path


def expected(columns):
    failure = (columns["label"] != columns["prediction"]).astype(float)
    iid, shift, new = (columns["set"] == name for name in ("iid", "shift", "new"))
    detected = (iid & (failure == 0)) | new
    assert 10 < failure[iid].sum() < 100
    confidence = columns["confidence"]
    return {
        "iid": scores(confidence[iid], failure[iid]),
        "shift": scores(confidence[shift], failure[shift]),
        "new": scores(confidence[detected], new[detected].astype(float)),
    }


def benchmark(folder, suffix="csv", **changes):
    text = RESULTS.replace("SUFFIX", suffix)
    for old, new in changes.values():
        assert old in text
        text = text.replace(old, new)
    (folder / "mine.toml").write_text(text)
    return folder / "mine.toml"


@pytest.mark.parametrize("suffix", ["csv", "parquet", "npz"])
def test_all_metrics_of_results_equal_brute_force(tmp_path, suffix):
    columns = made()
    write(tmp_path / f"one.{suffix}", columns)
    assert_equal(found(evaluate("head-confidence", benchmark(tmp_path, suffix), tmp_path)), expected(columns))


def test_the_lines_of_the_documentation(tmp_path):
    """As a user copies them: the files, then each command."""
    page = TEXTS["docs/guides/own-models-and-data.md"]
    section = page.split("## Results that you have already")[1].split("## Logits or probabilities")[0]
    blocks = re.findall(r"```(\w*)\n(.*?)```", section, re.DOTALL)
    (table,) = (text for kind, text in blocks if kind == "text")
    (tmp_path / "results.csv").write_text(table)
    whole, several = (text for kind, text in blocks if kind == "toml")
    (tmp_path / "my_results.toml").write_text(whole)
    (tmp_path / "scores.py").write_text(next(text for kind, text in blocks if kind == "python"))
    first, second = (
        [line.split("   ")[0].split()[1:] for line in text.splitlines()] for kind, text in blocks if not kind
    )
    for command in first:
        done = harness(*command, folder=tmp_path)
        assert done.returncode == 0, done.stderr
    rows = np.loadtxt(tmp_path / "results.csv", delimiter=",", skiprows=1)
    area = areas(rows[:, 2], (rows[:, 0] != rows[:, 1]).astype(float))["augrc"]
    assert f"AUGRC ↓ {1000 * area:.1f}" in " ".join(done.stdout.split())

    (tmp_path / "other.csv").write_text(table.replace("0.64", "0.99"))
    replaced = re.sub(r"^models = .*$", several.strip(), whole, flags=re.MULTILINE)
    (tmp_path / "my_results.toml").write_text(replaced)
    runs = []
    for command in second:
        done = harness(*(runs.pop(0) if word == "RUN" else word for word in command), folder=tmp_path)
        assert done.returncode == 0, done.stderr
        runs += re.findall(r"Run: +(\S+)", done.stdout)
    assert not runs
    assert "A: mine, B: other" in done.stdout


def test_a_mean_over_two_scores_is_called_so(tmp_path):
    """Two heads are no two seeds: the line under the table names what was averaged."""
    write(tmp_path / "one.csv", made())
    write(tmp_path / "two.csv", made() | {"confidence": made()["confidence"] ** 2})
    one = '{ id = "mine"HEAD, table = { path = "one.csv" } }, { id = "other", head = "other", table = { path = "two.csv" } }'
    said = {}
    for head in ("", ', head = "mine"', ', head = "other"'):
        path = benchmark(tmp_path, models=('{ id = "run-1", table = { path = "one.csv" } }', one.replace("HEAD", head)))
        done = harness(
            "evaluate", "head-confidence", "--benchmark", path.name, "--out", f"runs{len(said)}", folder=tmp_path
        )
        assert done.returncode == 0, done.stderr
        said[head] = " ".join(done.stdout.split())
        assert "mean over networks; 95 % interval over test samples and networks" in said[head]
        assert "mean over seeds" not in said[head]
    sentence = "every number is the mean over 2 networks, of which some differ in their head: mine, other."
    assert [sentence in each for each in said.values()] == [True, True, False]


def test_methods_that_need_more_than_results_are_named_by_the_plan(tmp_path):
    write(tmp_path / "one.csv", made())
    path = benchmark(tmp_path)
    done = harness("plan", "msr", "--benchmark", path.name, folder=tmp_path)
    assert done.returncode == 2
    assert (
        "msr cannot be applied in any of the 3 units of mine@1: this model does not offer probabilities" in done.stderr
    )
    done = harness("plan", "head-confidence", "--benchmark", path.name, folder=tmp_path)
    assert done.returncode == 0
    assert "not applicable" not in done.stdout


def applies(method, path, folder):
    """Why the plan says that a method does not apply; nothing where it does."""
    reasons = set(inapplicable(prepare(Request(method, str(path), out=folder / "runs"))).values())
    assert len(reasons) <= 1
    return next(iter(reasons), "")


def test_of_all_methods_two_apply_to_results(tmp_path):
    write(tmp_path / "one.csv", made())
    path = benchmark(tmp_path)
    names = [name for name in baseline_names("confidence") if find_method(name).spec.head is None]
    reasons = {name: applies(name, path, tmp_path) for name in names}
    assert {name for name, reason in reasons.items() if not reason} == {"head-confidence", "oracle"}
    instead = "; harness evaluate head-confidence scores the confidences that it has"
    forms = rf"(this model does not offer (\w+|(probabilities|logits){instead})|(train|validation) outputs are not offered by this benchmark)"
    assert all(re.fullmatch(forms, reason) for reason in reasons.values() if reason)


@pytest.mark.parametrize("method", ["msr", "mls", "mcd-pe", "knn"])
def test_a_run_is_refused_like_the_plan_before_it_has_a_folder(tmp_path, method):
    write(tmp_path / "one.csv", made())
    path = benchmark(tmp_path)
    with pytest.raises(UsageError) as refused:
        evaluate(method, path, tmp_path)
    assert f"cannot be applied in any of the 3 units of mine@1: {applies(method, path, tmp_path)}" in str(refused.value)
    assert not (tmp_path / "runs").exists()


def test_trainings_are_averaged(tmp_path):
    tables = {name: made(seed) for seed, name in enumerate(("one", "two"))}
    for name, columns in tables.items():
        write(tmp_path / f"{name}.csv", columns | {"id": tables["one"]["id"]})
    both = '{ id = "run-1", table = { path = "one.csv" } }, { id = "run-2", seed = 2, table = { path = "two.csv" } }'
    path = benchmark(tmp_path, models=('{ id = "run-1", table = { path = "one.csv" } }', both))
    result = evaluate("head-confidence", path, tmp_path)
    wanted = np.mean([expected(columns)["shift"]["augrc"] for columns in tables.values()])
    (summary,) = (each for each in result.document.summary if (each.study, each.metric) == ("shift", "augrc"))
    assert summary.value == pytest.approx(wanted, abs=1e-12)


def test_a_pack_of_results_gives_the_same_scores(tmp_path):
    write(tmp_path / "one.csv", made())
    write_pack(load_protocol(benchmark(tmp_path)), PackRequest(tmp_path / "pack"))
    values = found(evaluate("head-confidence", tmp_path / "pack" / "benchmark.toml", tmp_path))
    assert values == found(evaluate("head-confidence", tmp_path / "mine.toml", tmp_path))
    samples = pq.read_table(tmp_path / "pack" / INDEX).to_pydict()
    assert set(samples["sample"]) == set(made()["id"]), "samples keep the names that they have in the file"


# mistakes -----------------------------------------------------------------------------------------


def refused(path, sentence, method="head-confidence"):
    done = harness("evaluate", method, "--benchmark", path.name, folder=path.parent)
    said = " ".join(done.stderr.split())
    assert done.returncode in (2, 3), said
    assert sentence in said
    assert "itself failed" not in said
    assert "Traceback" not in said


def test_files_of_two_trainings_must_list_the_same_samples_in_one_order(tmp_path):
    columns = made()
    write(tmp_path / "one.csv", columns)
    order = np.random.default_rng(0).permutation(len(columns["id"]))
    write(tmp_path / "two.csv", {name: values[order] for name, values in columns.items()})
    both = '{ id = "run-1", table = { path = "one.csv" } }, { id = "run-2", table = { path = "two.csv" } }'
    path = benchmark(tmp_path, models=('{ id = "run-1", table = { path = "one.csv" } }', both))
    sentence = "names other samples than one.csv, or the same in another order; sort the rows of both by their ids."
    refused(path, sentence)
    write(tmp_path / "two.csv", columns)
    assert not evaluate("head-confidence", path, tmp_path).failed


@pytest.mark.parametrize(
    ("column", "row", "value", "sentence"),
    [
        ("confidence", 7, "", "one.csv: confidence holds NaN or infinite values, first in row 7 (counted from 0)"),
        ("confidence", 7, "sure", "one.csv: confidence holds 'sure' in row 7 (counted from 0), not a number"),
        (
            "prediction",
            7,
            5,
            "one.csv: row 7 (counted from 0) has the prediction 5, but the 5 classes are numbered 0 to 4.",
        ),
        ("id", 7, "image-1", "one.csv: id 'image-1' stands in more than one row"),
    ],
)
def test_a_bad_cell_ends_in_a_sentence(tmp_path, column, row, value, sentence):
    columns = {name: values.tolist() for name, values in made().items()}
    columns[column][row] = value
    write(tmp_path / "one.csv", columns)
    refused(benchmark(tmp_path), sentence)


@pytest.mark.parametrize("label", [-1, 5])
def test_a_label_of_no_class_belongs_into_a_new_class_study(tmp_path, label):
    columns = made()
    columns["label"][np.flatnonzero(columns["set"] == "shift")[0]] = label
    write(tmp_path / "one.csv", columns)
    refused(
        benchmark(tmp_path), "but the 5 classes are numbered 0 to 4; samples of no known class belong into `unknown`"
    )
    path = benchmark(tmp_path, classes=("classes = 5\n", ""))
    if label < 0:
        refused(path, "labels run from -1 to 4, but the classes are numbered from 0")
    else:
        assert not evaluate("head-confidence", path, tmp_path).failed, "there is nothing that says how many there are"


def test_one_confidence_for_all_ranks_nothing(tmp_path):
    write(tmp_path / "one.csv", made() | {"confidence": np.full(600, 0.5)})
    units = evaluate("head-confidence", benchmark(tmp_path), tmp_path).document.units
    assert {unit.status for unit in units} == {"invalid"}
    assert units[0].reason == "all 200 samples are equal in the model's head_confidence"


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('named = "shift"', 'rows = "some"', """sets.shift.rows: it must be [first, end] or "all", not 'some'."""),
        ('{ named = "shift" }', '{ named = "shift", rows = "all" }', '{rows = [first, end]} or {rows = "all"}'),
        (
            'kind = "results"',
            'kind = "results"\nvalues = "x"',
            "nothing is called so here; correct the name, or remove",
        ),
        ("classes = 5", "classes = 1", "source.classes: it must be at least 2, not 1"),
        ("one.csv", "none.csv", "none.csv"),
        ('named = "shift"', 'named = "shfit"', "no set of samples in one.csv is called 'shfit'; did you mean shift?"),
    ],
)
def test_mistakes_in_the_benchmark_file(tmp_path, old, new, sentence):
    write(tmp_path / "one.csv", made())
    refused(benchmark(tmp_path, change=(old, new)), sentence)


# tables of outputs with all that methods may look at ----------------------------------------------

TABLE = """
id = "my-table"
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
reference = { validation = "val", train = "train" }

[source]
kind = "table"
holds = "logits"
values = "logits"
mc_logits = "members"
features = "features"
head_confidence = "head"
models = [
    { id = "plain", table = { path = "plain.SUFFIX" } },
    { id = "learnt", family = "HEAD", head = "HEAD", table = { path = "learnt.SUFFIX" } },
]
sets = { val = { named = "val" }, iid = { named = "iid" }, noise = { named = "noise" }, new = { named = "new" }, train = { named = "train" } }
"""


def arrays(network, head):
    """What a network said of all sets, and of its training set behind them."""
    train = len(network.train_labels)
    logits = network.train_features.astype(float) @ network.weight.T + network.bias
    names = {number: name for name, number in SETS.items()}
    stored = {
        "logits": np.concatenate([network.logits, logits]),
        "members": np.concatenate([network.mc_logits, np.repeat(logits[None], len(network.mc_logits), 0)], axis=1),
        "features": np.concatenate([network.features, network.train_features]),
        "head": np.concatenate([network.head, np.zeros(train)]),
        "labels": np.concatenate([network.labels, network.train_labels]),
        "set": np.array([names[number] for number in network.index] + ["train"] * train),
    }
    return stored if head else {name: array for name, array in stored.items() if name != "head"}


@pytest.fixture(scope="module")
def networks():
    return {"plain": Network(0), "learnt": Network(1)}


def store(folder, networks, suffix, head="confidnet", **changes):
    for name, network in networks.items():
        columns = arrays(network, name == "learnt")
        if suffix == "parquet":
            columns |= {each: columns[each].astype(float).tolist() for each in ("logits", "features")}
            columns["members"] = np.moveaxis(columns["members"], 0, 1).tolist()
        write(folder / f"{name}.{suffix}", columns)
    text = TABLE.replace("SUFFIX", suffix).replace("HEAD", head)
    for old, new in changes.values():
        assert old in text
        text = text.replace(old, new)
    (folder / "table.toml").write_text(text)
    return folder / "table.toml"


OF_A_TABLE = ["msr", "mcd-msr", "mcd-pe", "knn", "mahalanobis", "confidnet"]


@pytest.mark.parametrize("suffix", ["npz", "parquet"])
@pytest.mark.parametrize("method", OF_A_TABLE)
def test_methods_of_members_features_and_heads_equal_brute_force(networks, tmp_path, method, suffix):
    network = networks["learnt" if method == "confidnet" else "plain"]
    by = mean_of_members(network) if method.startswith("mcd-") else network.logits
    path = store(tmp_path, networks, suffix)
    assert_equal(found(evaluate(method, path, tmp_path)), network.expected(FORMULAS[method](network), by.argmax(1)))


def test_another_head(networks, tmp_path):
    network = networks["learnt"]
    values = found(evaluate("devries", store(tmp_path, networks, "npz", head="devries"), tmp_path))
    assert_equal(values, network.expected(network.head.astype(float), network.logits.argmax(1)))


def test_members_known_by_their_probabilities(networks, tmp_path):
    network = networks["plain"]
    columns = arrays(network, head=False)
    probabilities = {name: softmax(columns[name].astype(float), axis=-1) for name in ("logits", "members")}
    write(tmp_path / "plain.npz", columns | probabilities)
    changes = {
        "holds": ('holds = "logits"', 'holds = "probabilities"'),
        "members": ("mc_logits", "mc_probabilities"),
    }
    path = store(tmp_path, {}, "npz", **changes)
    values = found(evaluate("mcd-pe", path, tmp_path))
    assert_equal(values, network.expected(FORMULAS["mcd-pe"](network), mean_of_members(network).argmax(1)))
    assert applies("mcd-mls", path, tmp_path) == (
        "this model does not offer mc_logits, only mc_probabilities; a method may take outputs.mc_probabilities"
    )
    assert applies("msr", path, tmp_path) == ""


@pytest.mark.parametrize(
    ("method", "lacking", "reason"),
    [
        ("knn", 'features = "features"\n', "this model does not offer features"),
        ("knn", ', train = "train"', "train outputs are not offered by this benchmark"),
        ("mahalanobis", ', train = "train"', "train outputs are not offered by this benchmark"),
        ("temperature-mls", 'validation = "val", ', "validation outputs are not offered by this benchmark"),
        ("mcd-msr", 'mc_logits = "members"\n', "this model does not offer mc_probabilities"),
        ("confidnet", 'head_confidence = "head"\n', "this model does not offer head_confidence"),
        ("vim", "", "this model does not offer weight"),
        ("react-msr", "", "this model does not offer weight"),
        ("msr", 'features = "features"\n', ""),
    ],
)
def test_the_plan_says_what_a_table_lacks(networks, tmp_path, method, lacking, reason):
    path = store(tmp_path, networks, "npz", change=(lacking, ""))
    assert applies(method, path, tmp_path) == reason


def test_features_without_training_rows_end_in_one_sentence(networks, tmp_path):
    path = store(tmp_path, networks, "npz", change=(', train = "train"', ""))
    done = harness("plan", "knn", "--benchmark", path.name, folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(
        "error: knn cannot be applied in any of the 3 units of my-table@1: train outputs are not offered"
    )


def test_training_rows_that_are_tested_on_are_refused(networks, tmp_path):
    path = store(tmp_path, networks, "npz", change=('train = { named = "train" }', "train = { rows = [0, 5] }"))
    with pytest.raises(UsageError, match=r"the reference set train and the tested set (iid|new|noise) share"):
        evaluate("knn", path, tmp_path)


# memory -------------------------------------------------------------------------------------------

PEAK = """
import sys
from pathlib import Path
from harness.data.catalog import load_protocol
from harness.tracks.confidence.packing import PackRequest, write_pack
from harness.tracks.confidence.sources import open_source

def peak():
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) * 1024

def read(path):
    protocol = load_protocol(Path(path))
    source = open_source(protocol, "cpu")
    model = protocol.benchmark.source.models[0]
    for name in protocol.benchmark.source.set_names:
        samples = source.samples(model, name)
        assert len(samples.labels) > 0
    return samples

read(sys.argv[1])
before = peak()
read(sys.argv[2])
print(peak() - before)
"""
LARGE = """
id = "large"
version = 1
title = "Large"
task = "confidence"
metrics = ["augrc"]
reference = { validation = "val" }
studies = [{ id = "iid", kind = "iid", samples = "iid", group = "iid" }]
[source]
kind = "table"
holds = "logits"
values = "logits"
models = [{ id = "m", table = { path = "FILE" } }]
sets = { val = { named = "val" }, iid = { named = "iid" } }
"""


def large(folder, count, suffix):
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(count, 10)), rng.integers(10, size=count)
    columns = {"logits": logits, "labels": labels, "set": np.repeat(["val", "iid"], [count // 10, count - count // 10])}
    if suffix == "parquet":
        columns["logits"] = pa.FixedSizeListArray.from_arrays(logits.reshape(-1), 10)
    write(folder / f"{count}.{suffix}", columns)
    (folder / f"{count}.toml").write_text(LARGE.replace("FILE", f"{count}.{suffix}"))
    return folder / f"{count}.toml", logits.nbytes


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="peaks of memory are read from /proc")
@pytest.mark.parametrize("suffix", ["npz", "parquet"])
def test_a_large_table_is_in_memory_a_few_times_at_most(tmp_path, suffix):
    (small, _), (path, size) = large(tmp_path, 1000, suffix), large(tmp_path, 400_000, suffix)
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(small), str(path)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 4.5 * size, "its lists as Python objects alone would be more"


def test_rows_that_follow_each_other_are_not_copied(tmp_path):
    protocol = load_protocol(large(tmp_path, 1000, "npz")[0])
    source, model = open_source(protocol, "cpu"), protocol.benchmark.source.models[0]
    one, other = (source.samples(model, "iid").arrays["logits"] for _ in range(2))
    assert np.shares_memory(one, other)
    assert one.shape == (900, 10)
