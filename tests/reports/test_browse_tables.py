"""Tables of one's own in the failure browser: what `evaluate` reads is opened, and every count is of the user's data."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from harness.reports.browse.of_files import CONFIDENCES, FEATURES, LABELS, MEMBERS, VALUES
from tests.cli.support import harness
from tests.reports.browser import browser, needs_browser, opened
from tests.reports.test_browse import browse, read

pytestmark = pytest.mark.usefixtures("in_this_process")
RNG = np.random.default_rng(8)
COUNT, CLASSES = 600, 4
LABEL = RNG.integers(CLASSES, size=COUNT)
LOGITS = RNG.normal(size=(COUNT, CLASSES)) + 2 * np.eye(CLASSES)[LABEL]
ODDS = np.exp(LOGITS)
PROBABILITIES = ODDS / ODDS.sum(axis=1, keepdims=True)
MSR, WRONG = PROBABILITIES.max(axis=1), LOGITS.argmax(axis=1) != LABEL
SET = np.repeat(["train", "test", "Site B, 2nd scanner"], [100, 200, 300])
TEST, SITE = slice(100, 300), slice(300, 600)
BENCHMARK = """
schema_version = 1
id = "my-benchmark"
version = 1
title = "My classifier"
task = "confidence"
metrics = ["augrc", "failure_auroc"]
reference.validation = "validation"
studies = [{ id = "iid", kind = "iid", samples = "iid", group = "iid" }]
[source]
kind = "table"
holds = "probabilities"
values = "VALUES"
labels = "LABELS"
models = [{ id = "resnet", table = { path = "mine.npz" } }, { id = "other", table = { path = "other.npz" } }]
sets = { validation = { rows = [0, 100] }, iid = { rows = [100, 600] } }
"""


def failures(data, study: int = 0) -> int:
    return int((next(iter(data["studies"][study]["outcome"].values())) == 1).sum())


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("values", ["predictions", "outputs"])
@pytest.mark.parametrize("matrix", [LOGITS, PROBABILITIES], ids=["logits", "probabilities"])
def test_columns_may_have_the_names_of_the_guide(labels, values, matrix, tmp_path):
    np.savez(tmp_path / "mine.npz", **{labels: LABEL, values: matrix, "features": LOGITS, "confidence": MSR})
    data = read(browse("mine.npz", "--embedding", "pca", folder=tmp_path))
    assert {"msr", "head-confidence"} <= {score["name"] for score in data["scores"]}
    assert ("mls" in {score["name"] for score in data["scores"]}) == (matrix is LOGITS)
    assert failures(data) == WRONG.sum()
    assert data["studies"][0]["confidence"]["msr"] == pytest.approx(MSR, abs=1e-6)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_columns_of_a_matrix_may_be_numbered(suffix, tmp_path):
    import pyarrow
    import pyarrow.csv
    import pyarrow.parquet

    columns = {"ground_truth": LABEL} | {f"predictions_{each}": PROBABILITIES[:, each] for each in range(CLASSES)}
    write = {"csv": pyarrow.csv.write_csv, "parquet": pyarrow.parquet.write_table}[suffix]
    write(pyarrow.table(columns), tmp_path / f"mine.{suffix}")
    assert failures(read(browse(f"mine.{suffix}", folder=tmp_path))) == WRONG.sum()


def test_members_are_read_beside_the_mean(tmp_path):
    members = np.stack([PROBABILITIES, PROBABILITIES[:, ::-1]])
    np.savez(tmp_path / "mine.npz", ground_truth=LABEL, predictions=PROBABILITIES, members=members)
    data = read(browse("mine.npz", "--scores", "mcd-msr", folder=tmp_path))
    assert data["studies"][0]["confidence"]["mcd-msr"] == pytest.approx(members.mean(axis=0).max(axis=1), abs=1e-6)


def test_one_prediction_for_each_row_is_no_matrix(tmp_path):
    np.savez(tmp_path / "mine.npz", ground_truth=LABEL, predictions=LOGITS.argmax(axis=1), confidence=MSR)
    done = harness("browse", "mine.npz", folder=tmp_path)
    assert done.returncode == 2
    said = " ".join(done.stderr.split())
    assert "has the columns ground_truth, predictions, confidence" in said
    assert "looks for label, prediction, confidence" in said


@pytest.mark.parametrize("arguments", [["my.toml", "--model", "resnet"], ["mine.npz", "--benchmark", "my.toml"]])
def test_what_a_benchmark_file_says_of_a_table_is_what_evaluate_and_browse_read(arguments, tmp_path):
    (tmp_path / "my.toml").write_text(BENCHMARK.replace("VALUES", "ours").replace("LABELS", "truth"))
    np.savez(tmp_path / "mine.npz", truth=LABEL, ours=PROBABILITIES)
    np.savez(tmp_path / "other.npz", truth=LABEL, ours=PROBABILITIES[:, ::-1])
    page = browse(*arguments, folder=tmp_path)
    data = read(page)
    assert data["name"] == "resnet"
    assert failures(data) == WRONG[100:].sum()
    done = harness("evaluate", "msr", "--benchmark", "my.toml", "--workers", "1", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    (run,) = tmp_path.glob("runs/*/run.json")
    sealed = next(each["records"] for each in json.loads(run.read_text())["units"] if each["model"] == "resnet")
    assert {each["metric"]: each["value"] for each in sealed} == pytest.approx(
        data["studies"][0]["metrics"]["msr"], rel=1e-12
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["mine.npz", "--benchmark", "my.toml"], "mine.npz is no table of my.toml, which has theirs.npz, other.npz"),
        (["gone.toml"], "gone.toml does not exist"),
        (["mine.npz", "--benchmark", "gone.toml"], "the benchmark file gone.toml does not exist"),
        (["query.toml"], "query.toml is a benchmark for query, of which runs are browsed"),
    ],
)
def test_a_benchmark_file_that_does_not_fit_gets_a_sentence(arguments, said, tmp_path):
    from harness.data.catalog import benchmark_files

    (tmp_path / "my.toml").write_text(BENCHMARK.replace("mine.npz", "theirs.npz"))
    (tmp_path / "query.toml").write_bytes(benchmark_files()["query-mnist@2"].read_bytes())
    np.savez(tmp_path / "mine.npz", labels=LABEL, logits=LOGITS)
    done = harness("browse", *arguments, folder=tmp_path)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())


def test_help_names_every_column_that_is_looked_for(tmp_path):
    done = harness("browse", "--help", folder=tmp_path)
    words = set(done.stdout.replace(",", " ").replace(")", " ").replace("(", " ").replace(";", " ").split())
    wanted = {
        *LABELS,
        *VALUES,
        *MEMBERS,
        *CONFIDENCES,
        FEATURES,
        "prediction",
        "set",
        "id",
        "logits_0",
        "my_benchmark.toml",
    }
    assert wanted <= {word.rstrip(".:") for word in words}


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    """A table of three sets, and its page with few of the successes."""
    folder = tmp_path_factory.mktemp("counted")
    np.savez(folder / "mine.npz", labels=LABEL, logits=LOGITS, features=LOGITS, set=SET)
    return browse("mine.npz", "--points", "100", "--scores", "msr", "--embedding", "pca", folder=folder)


COUNTED = """() => {
  const legend = () => Object.fromEntries([...document.querySelectorAll("#legend li")].map((li) => li.textContent.match(/^(.*?)(?: \\(([\\d,]+)\\))?(?: · [\\d,]+ shown)?$/).slice(1)));
  const change = (id, value, kind = "change") => { const each = document.getElementById(id); each.value = value; each.dispatchEvent(new Event(kind)); };
  const text = (id) => document.getElementById(id).textContent;
  const found = { legends: {} };
  change("threshold", 40, "input");
  for (const every of [1, 4]) {
    Browse.state.every = every;
    for (const colour of ["outcome", "class", "predicted", "set", "origin", "confusion"]) {
      change("colour", colour);
      found.legends[colour + every] = legend();
    }
    found["drawn" + every] = text("drawn");
  }
  for (const name of ["undetected", "caught", "refused"]) found[name] = document.querySelector(`[data-figure=${name}]`).textContent;
  Object.assign(found, { counted: text("counted"), judged: text("judged"), threshold: Browse.state.threshold, csv: Browse.csv() });
  found.tabs = [...document.querySelectorAll("#panel h3")].slice(0, 2).map((h) => h.textContent);
  found.sets = [...document.querySelectorAll("#sets label")].map((label) => label.textContent.trim());
  return found;
}"""


@needs_browser
@pytest.mark.parametrize(("study", "rows", "others"), [("test", TEST, SITE), ("Site B, 2nd scanner", SITE, TEST)])
def test_counts_are_of_the_judged_study_and_not_of_what_is_drawn(tested, study, rows, others):
    with browser(graphics=True) as started, opened(started, tested) as seen:
        seen.page.evaluate("(id) => { const each = document.getElementById('study'); each.value = Browse.studies.findIndex((study) => study.id === id); each.dispatchEvent(new Event('change')); }", study)  # fmt: skip
        found = seen.page.evaluate(COUNTED)
    assert seen.problems == []
    wrong, label, said, samples = WRONG[rows], LABEL[rows], LOGITS[rows].argmax(axis=1), rows.stop - rows.start
    kept = MSR[rows] >= found["threshold"] - 1e-7
    silent, caught, alarms = ((wrong & kept).sum(), (wrong & ~kept).sum(), (~wrong & ~kept).sum())
    outcome = {
        "silent failure": silent,
        "caught failure": caught,
        "false alarm": alarms,
        "correct": (~wrong & kept).sum(),
    }
    expected = {
        "outcome": outcome,
        "class": {str(each): (label == each).sum() for each in range(CLASSES)},
        "predicted": {str(each): (said == each).sum() for each in range(CLASSES)},
        "set": {study: samples},
        "origin": {"source" if study == "test" else "shift": samples},
        "confusion": {
            f"{what}, class {each}": ((label == each) & (wrong == (what == "wrong"))).sum()
            for what in ("right", "wrong")
            for each in range(CLASSES)
        },
    }
    for colour, counts in expected.items():
        for every in (1, 4):  # as fast machines draw, and slow ones
            legend = {name: int(count) for name, count in found["legends"][f"{colour}{every}"].items() if count}
            assert legend == {name: n for name, n in counts.items() if n}
    assert "training (none in this study)" in found["legends"]["origin1"]
    assert found["undetected"] == f"{silent} of {wrong.sum()}"
    assert found["caught"] == f"{caught} of {wrong.sum()}"
    assert found["refused"] == f"{alarms} of {samples - wrong.sum()}"
    assert found["tabs"] == [
        f"most confident failures: {min(12, wrong.sum())} of {wrong.sum()}",
        f"least confident successes: 12 of {samples - wrong.sum()}",
    ]
    assert found["judged"] == f"In “{study}”, of {samples} samples, by msr."
    table = list(csv.DictReader(io.StringIO(found["csv"], newline="")))
    assert f"{samples} samples are judged in “{study}”; {len(table)} points are shown" in found["counted"]
    failed = sum(row["outcome"] == "failure" for row in table)
    assert failed == WRONG[rows].sum() + WRONG[others].sum()
    assert found["drawn1"] == f"{len(table)} points, {failed} of them failures"
    assert found["drawn4"].startswith(found["drawn1"] + "; drawn with one of 4 successes")
    mine = [row for row in table if row["study"] == study]
    assert sum(row["threshold"] == "silent failure" for row in mine) == silent
    assert sum(row["threshold"] == "caught failure" for row in mine) == caught
    for row in table:  # numbered as the user's table, not anew in each set
        assert row["set"] == SET[int(row["sample"])]
        assert int(row["label"]) == LABEL[int(row["sample"])]
    # A row of the file stands for as many samples as it was drawn from: of both studies together, all of them.
    tested_rows = [float(row["samples it stands for"]) for row in table if row["study"]]
    assert sum(tested_rows) == pytest.approx(500)
    shown = {name: sum(row["set"] == name for row in table) for name in dict.fromkeys(SET)}
    assert found["sets"] == [f"{name} ({shown[name]} of {(name == SET).sum()})" for name in shown]


GROUP = """() => {
  document.querySelectorAll(".tabs button")[1].click();
  const cards = (at) => [...document.querySelectorAll("#panel .group .strip")[at].children].map((card) => card.title);
  return { typical: cards(0), surest: cards(1), text: document.getElementById("panel").textContent };
}"""


@needs_browser
def test_a_group_shows_its_most_typical_and_its_most_confident_failures(tmp_path):
    """40 failures around one place among 80 successes elsewhere; the nearer to the centre, the less confident."""
    place = np.zeros((120, 3))
    place[:, 0] = np.where(np.arange(120) < 40, 0, 100) + RNG.normal(size=120)
    away = np.abs(place[:40, 0] - place[:40, 0].mean())
    logits = np.zeros((120, 2))
    logits[:, 0] = np.r_[away, np.full(80, 2.0)] + 0.5
    labels = np.r_[np.ones(40, int), np.zeros(80, int)]
    np.savez(tmp_path / "mine.npz", labels=labels, logits=logits, features=place)
    page = browse("mine.npz", "--scores", "msr", "--embedding", "pca", folder=tmp_path)
    with browser() as started, opened(started, page) as seen:
        found = seen.page.evaluate(GROUP)
    order = np.argsort(away)
    assert found["typical"] == [f"all {each}" for each in order[:6]]
    assert found["surest"] == [f"all {each}" for each in order[::-1][:6]]
    assert "40 of 40 fail" in found["text"]
    assert "40 of the failures in “all”" in found["text"]
    assert "Typical: the failures nearest to the centre of the group's failures" in found["text"]
    assert "Most confident: the failures that the chosen score is surest of" in found["text"]


LONG = """async () => {
  const wide = () => document.documentElement.scrollWidth - innerWidth, found = [wide()];
  const show = (id, value) => { const each = document.getElementById(id); each.value = value; each.dispatchEvent(new Event("change")); };
  show("colour", "set");
  show("study", 1);
  found.push(wide());
  for (const tab of document.querySelectorAll(".tabs button")) {
    tab.click();
    for (const box of document.querySelectorAll("#panel details")) box.open = true;
    document.querySelector("#panel .card")?.click();
    await new Promise((done) => setTimeout(done, 50));
    found.push(wide());
  }
  Browse.stage.events.lasso([1, 2, 250]);
  found.push(wide());
  const cut = [...document.querySelectorAll("#legend li, #panel dd, #panel summary, #counted, #sets label, .sample dd")].filter((each) => each.scrollWidth > each.clientWidth + 1 && each.clientWidth);
  return { found, cut: cut.map((each) => each.outerHTML), sets: document.getElementById("legend").textContent };
}"""


@needs_browser
@pytest.mark.parametrize("width", [1280, 390])
def test_names_of_any_length_are_shown_whole(width, tmp_path):
    sets = np.repeat(["test", "NonEnhancingTumourCore_and_Necrosis_" * 4], 300)
    ids = np.array([f"{'patient_without_spaces_' * 6}{each}" for each in range(COUNT)])
    np.savez(tmp_path / "mine.npz", labels=LABEL, logits=LOGITS, set=sets, id=ids)
    page = browse("mine.npz", "--scores", "msr", "--embedding", "pca", folder=tmp_path)
    with browser(graphics=True) as started, opened(started, page, width=width) as seen:
        answer = seen.page.evaluate(LONG)
    assert max(answer["found"]) <= 0
    assert answer["cut"] == []
    assert sets[-1] in answer["sets"]
