"""The failure browser: its numbers are those of `run.json` and of the answers, it opens what it says, and it works."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from harness.execution.run_result import RunResult
from harness.storage import read_arrays
from tests.cli.support import harness, write_toy
from tests.reports.browser import ask, browser, needs_browser, opened
from tests.reports.test_page import HOSTILE, Tags

pytestmark = pytest.mark.usefixtures("in_this_process")
FAILURE, LEFT_OUT = 1, 2


@pytest.fixture(scope="module")
def run(made_once, tmp_path_factory):
    """A sealed run of the toy benchmark, with a page of three scores."""

    def fill(folder: Path) -> None:
        write_toy(folder)
        done = harness("evaluate", "margin.py", "--benchmark", "toy.toml", "--workers", "1", folder=folder)
        assert done.returncode == 0, done.stderr

    copied = shutil.copytree(made_once("report-run", fill), tmp_path_factory.mktemp("browse") / "toy")
    (found,) = copied.glob("runs/*")
    browse(found, "--benchmark", "toy.toml", "--scores", "msr, pe", folder=copied)
    return found


@pytest.fixture(scope="module")
def table(run):
    """Of the 300 tested samples: labels (n,), failure (n,), and the confidences of the run and of msr (n,)."""
    arrays = read_arrays(run.parent.parent / "table.npz")
    logits, labels = arrays["logits"][100:400], arrays["labels"][100:400]
    (unit,) = RunResult.open(run).outputs().values()
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (
        labels,
        logits.argmax(axis=1) != labels,
        unit["confidence"],
        (odds / odds.sum(axis=1, keepdims=True)).max(axis=1),
    )


def browse(*arguments, folder: Path, **environment: str) -> Path:
    done = harness("browse", *arguments, folder=folder, **environment)
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.strip()


def read(page: Path, network: int = 0):
    """What the page's script reads of a network, arrays unpacked."""
    return _unpacked(json.loads(Tags(page.read_text("utf-8")).data)["networks"][network])


def _unpacked(value):
    if isinstance(value, list):
        return [_unpacked(each) for each in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1 and next(iter(value)) in ("i4", "f4", "f8", "u1"):
        ((kind, text),) = value.items()
        return np.frombuffer(base64.b64decode(text), dtype=f"<{kind}")
    return {name: _unpacked(each) for name, each in value.items()}


def test_metrics_are_those_of_the_sealed_run(run):
    (study,) = read(run / "browse.html")["studies"]
    sealed = json.loads((run / "run.json").read_text())["units"][0]["records"]
    shown = study["metrics"]["margin"]
    assert {record["metric"]: record["value"] for record in sealed} == pytest.approx(shown, rel=1e-12)


def test_points_are_the_samples(run, table):
    labels, failure, confidence, msr = table
    data = read(run / "browse.html")
    (study,) = data["studies"]
    assert [score["name"] for score in data["scores"]] == ["margin", "msr", "pe"]
    assert np.array_equal(data["label"][study["at"]], labels)
    assert np.array_equal(data["predicted"]["point"][study["at"]] != labels, failure)
    assert np.array_equal(study["outcome"]["point"] == FAILURE, failure)
    assert np.array_equal(study["confidence"]["margin"], confidence)
    assert study["confidence"]["msr"] == pytest.approx(msr, abs=1e-6)


def test_curves_are_counts_of_the_answers(run, table):
    _, failure, confidence, _ = table
    curve = read(run / "browse.html")["studies"][0]["curves"]["margin"]
    assert (curve["samples"], curve["failures"]) == (300, failure.sum())
    for threshold, accepted, undetected in zip(curve["threshold"], curve["accepted"], curve["undetected"], strict=True):
        kept = confidence >= threshold
        assert (accepted, undetected) == (kept.sum(), (kept & failure).sum())


def test_where_not_all_fit_every_failure_stays(run, table):
    _, failure, confidence, _ = table
    page = browse(run, "--benchmark", "toy.toml", "--points", "100", "--out", "few.html", folder=run.parent.parent)
    data = read(page)
    (study,) = data["studies"]
    assert failure.sum() + 24 <= len(data["set"]) < 300
    assert (study["outcome"]["point"] != FAILURE).sum() >= 25  # some are drawn from the rest, however many failures
    assert np.array_equal(
        np.sort(data["sample"][study["at"]][study["outcome"]["point"] == FAILURE]), np.flatnonzero(failure)
    )
    doubted = np.flatnonzero(~failure)[np.argsort(confidence[~failure], kind="stable")[:24]]
    assert set(doubted) <= set(data["sample"].tolist())
    assert study["curves"]["margin"]["samples"] == 300
    text = page.read_text("utf-8")
    assert f"all {failure.sum()} failures" in text
    assert "a random draw from the rest of 300 tested samples" in text
    assert (
        read(
            browse(run, "--benchmark", "toy.toml", "--points", "100", "--out", "again.html", folder=run.parent.parent)
        )["sample"].tolist()
        == data["sample"].tolist()
    )


def test_all_rows_are_those_whose_submissions_are_here(run):
    from harness.data.catalog import bundled_folder, find_protocol
    from harness.reports.browse.opening import all_rows

    folders = {path.name for path in (bundled_folder("submissions") / "confidence-mnist@2").iterdir()}
    assert set(all_rows(find_protocol("confidence-mnist@2"))) == folders - {"sources"}
    done = harness("browse", run, "--benchmark", "toy.toml", "--scores", "all", folder=run.parent.parent)
    assert done.returncode == 2
    assert "toy@1 has no rows here" in done.stderr


def test_a_table_of_results_is_opened_as_it_lies(tmp_path):
    rng = np.random.default_rng(3)
    label, prediction = rng.integers(3, size=200), rng.integers(3, size=200)
    rows = [
        f"{a},{b},{c},{'test' if at < 120 else 'Shifted'}"
        for at, (a, b, c) in enumerate(zip(label, prediction, rng.random(200), strict=True))
    ]
    (tmp_path / "mine.csv").write_text("label,prediction,confidence,set\n" + "\n".join(rows) + "\n")
    page = browse("mine.csv", folder=tmp_path)
    assert page == tmp_path / "mine-browse.html"
    data, text = read(page), page.read_text("utf-8")
    assert [(each["name"], each["role"]) for each in data["sets"]] == [
        ("test", "source"),
        ("Shifted", "shift"),
    ]  # as the table calls them
    wrong = label != prediction
    for study, mine in zip(data["studies"], (slice(0, 120), slice(120, 200)), strict=True):
        assert np.array_equal(study["outcome"]["point"] == FAILURE, wrong[mine])
        assert study["metrics"]["head-confidence"]["failure_rate"] == pytest.approx(wrong[mine].mean())
    assert "points lie by confidence and class" in text
    assert data["groups"] == data["prototypes"] == []


def write_folder(folder: Path) -> dict[str, np.ndarray]:
    """Results of FD-Shifts: validation, 150 iid samples, 80 shifted ones, 60 of new classes; features and training set."""
    rng = np.random.default_rng(5)
    index = np.repeat([0, 1, 2, 3], [50, 150, 80, 60])
    labels = np.where(index == 3, 7, rng.integers(4, size=len(index)))
    logits = rng.normal(size=(len(index), 4)) + 1.5 * np.eye(4)[labels % 4]
    features = rng.normal(size=(len(index), 6)) + np.eye(4, 6)[labels % 4]
    (folder / "test_results").mkdir(parents=True)
    for name, columns in {
        "raw_logits": (logits, labels, index),
        "encoded_output": (features, index),
        "train_features": (features[:40], labels[:40]),
        "external_confids": (rng.random(len(index)),),
    }.items():
        np.savez(folder / "test_results" / f"{name}.npz", arr_0=np.column_stack(columns).squeeze())
    return {"labels": labels, "index": index, "predicted": logits.argmax(axis=1)}


def test_a_result_folder_of_fd_shifts_is_opened_as_it_lies(tmp_path):
    written = write_folder(tmp_path / "experiment")
    data = read(browse("experiment", folder=tmp_path))
    roles = {each["name"]: each["role"] for each in data["sets"]}
    assert roles == {"train": "training", "iid": "source", "set-2": "shift", "set-3": "shift"}
    assert {"msr", "mls", "pe", "head-confidence"} <= {score["name"] for score in data["scores"]}
    wrong = written["predicted"] != written["labels"]
    iid, shift, new = data["studies"]
    assert iid["metrics"]["msr"]["failure_rate"] == pytest.approx(wrong[written["index"] == 1].mean())
    assert shift["metrics"]["msr"]["failure_rate"] == pytest.approx(wrong[written["index"] == 2].mean())
    # Of the iid set the correct ones count beside the new classes, which are failures all.
    right = (~wrong[written["index"] == 1]).sum()
    assert (new["curves"]["msr"]["samples"], new["curves"]["msr"]["failures"]) == (right + 60, 60)
    assert (new["outcome"]["point"] == LEFT_OUT).sum() == 150 - right
    assert len(data["prototypes"]) > 0


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("0,0,0.5\n1,0,nan\n", "confidence holds NaN or infinite values, first in row 1 (counted from 0)"),
        ("0,0,0.5\n1,0,\n", "confidence holds NaN or infinite values, first in row 1 (counted from 0)"),
        ("cat,dog,0.5\n", "not a number; it must hold class indices"),
        ("0.5,0,0.5\n", "label must hold class indices"),
        ("", "has no rows"),
    ],
)
def test_a_table_that_no_score_can_read_is_told_what_is_wrong(rows, said, tmp_path):
    (tmp_path / "mine.csv").write_text(f"label,prediction,confidence\n{rows}")
    done = harness("browse", "mine.csv", folder=tmp_path)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert "can be computed" not in done.stderr


def test_logits_that_no_score_fits_are_told_what_is_wrong(tmp_path):
    np.savez(tmp_path / "mine.npz", labels=np.arange(6) + 5, logits=np.zeros((6, 3)))
    done = harness("browse", "mine.npz", folder=tmp_path)
    assert done.returncode == 2
    assert "labels run from 5 to 10, but the 3 classes are numbered 0 to 2" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "nowhere does not exist"),
        (["empty"], "neither a run (run.json is missing) nor a result folder"),
        (["odd.csv"], "browse looks for label, prediction, confidence"),
        (["notes.txt"], "is no table"),
        (["good.csv", "--scores", "knn"], "knn cannot be computed"),
        (["good.csv", "--scores", "msrr"], "did you mean msr"),
        (["good.csv", "--model", "other"], "no network"),
        (["good.csv", "--embedding", "tsn"], "did you mean tsne"),
        (["good.csv", "--out", "empty"], "name a file in a folder that exists"),
        (["good.csv", "--out", "nowhere/a.html"], "name a file in a folder that exists"),
    ],
)
def test_what_cannot_be_browsed_gets_a_sentence(arguments, said, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "odd.csv").write_text("a,b\n1,2\n")
    (tmp_path / "notes.txt").write_text("a")
    (tmp_path / "good.csv").write_text("label,prediction,confidence\n0,0,0.5\n1,0,0.25\n")
    done = harness("browse", *arguments, folder=tmp_path)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_without_its_library_an_embedding_is_refused_and_by_default_left_out(run, monkeypatch):
    from harness.reports.browse import embedding

    monkeypatch.setattr(embedding, "find_spec", lambda name: None)
    done = harness("browse", run, "--benchmark", "toy.toml", "--embedding", "umap", folder=run.parent.parent)
    assert done.returncode == 2
    assert "pip install" in done.stderr
    page = browse(run, "--benchmark", "toy.toml", "--out", "pca.html", folder=run.parent.parent)
    assert [way["title"] for way in read(page)["layouts"]] == ["principal components"]


NOISE = np.random.default_rng(1).normal(size=(400, 200))
UNLUCKY = {
    "no failure": {"logits": NOISE[:, :4], "labels": NOISE[:, :4].argmax(axis=1)},
    "failures only": {"logits": NOISE[:, :4], "labels": (NOISE[:, :4].argmax(axis=1) + 1) % 4},
    "two hundred classes": {"logits": NOISE, "labels": np.arange(400) % 200},
    "results alone": {"label": np.arange(400) % 4, "prediction": np.arange(400) % 3, "confidence": NOISE[:, 0]},
    "one class": {"logits": NOISE[:, :2], "labels": np.zeros(400, int)},
    "one sample": {"logits": NOISE[:1, :2], "labels": np.zeros(1, int)},
    "equal samples": {"logits": np.tile(NOISE[:1, :4], (400, 1)) + np.eye(400, 4), "labels": np.zeros(400, int)},
    "hostile names": {"logits": NOISE[:, :4], "labels": np.arange(400) % 4, "set": np.array([HOSTILE, "b"] * 200), "id": np.array([f"{HOSTILE}{at}" for at in range(400)])},
}  # fmt: skip


@needs_browser
@pytest.mark.parametrize("case", UNLUCKY)
def test_unlucky_tables_have_a_page_too(case, tmp_path):
    np.savez(tmp_path / "table.npz", **UNLUCKY[case])
    page = browse("table.npz", folder=tmp_path)
    script = """
      for (const tab of document.querySelectorAll(".tabs button")) tab.click();
      for (const { value } of document.getElementById("colour").options) {
        document.getElementById("colour").value = value;
        document.getElementById("colour").dispatchEvent(new Event("change"));
      }
      document.getElementById("table").open = true;
      document.getElementById("table").dispatchEvent(new Event("toggle"));
      return { undetected: document.querySelector("[data-figure=undetected]").textContent, bold: document.querySelectorAll("b").length,
        rows: document.querySelectorAll("#table tbody tr").length };
    """
    answer = ask(page, script)
    assert answer["problems"] == []
    arrays = UNLUCKY[case]
    mine = arrays["set"] == HOSTILE if "set" in arrays else slice(None)
    predicted = arrays["logits"].argmax(axis=1) if "logits" in arrays else arrays["prediction"]
    labels = arrays["labels" if "labels" in arrays else "label"]
    failures = int((predicted != labels)[mine].sum())
    assert answer["found"]["undetected"].endswith(f" of {failures}")
    assert answer["found"]["bold"] == 0
    assert answer["found"]["rows"] == min(25, len(labels))


DRIVE = """
  const find = (id) => document.getElementById(id), text = (name) => document.querySelector(`[data-figure=${name}]`).textContent;
  const set = (id, value, kind = "change") => { find(id).value = value; find(id).dispatchEvent(new Event(kind)); };
  const legend = () => Object.fromEntries([...document.querySelectorAll("#legend li")].map((li) => li.textContent.match(/(.*) \\((.*)\\)/).slice(1)));
  const found = { steps: [] };
  for (const at of [0, 60, 200]) {
    set("threshold", at, "input");
    found.steps.push([at, text("coverage"), text("selective"), text("generalized"), text("undetected"), legend()]);
  }
  set("score", 1);
  found.msr = document.querySelector("[data-metric=augrc]").textContent;
  found.top = [...document.querySelectorAll("#panel .strip")[0].children].map((card) => card.textContent);
  document.querySelector("#panel .card").click();
  found.pinned = document.querySelector("#pinned .name").textContent;
  Browse.stage.events.lasso([3, 4, 5]);
  found.lasso = document.querySelector("#panel dd").textContent;
  found.csv = Browse.csv();
  document.querySelector("#sets input").click();
  found.none = find("drawn").textContent;
  document.querySelector("#sets input").click();
  find("stage").dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
  found.first = document.querySelector("#hover .name").textContent;
  document.querySelector("input[value='3']").click();
  found.solid = !find("solid").hidden;
  found.works = Browse.stage.works;
  found.still = getComputedStyle(find("still")).display !== "none" && find("still").naturalWidth > 0;
  found.wide = document.documentElement.scrollWidth - innerWidth;
  return found;
"""


@needs_browser
@pytest.mark.parametrize("graphics", [True, False])
@pytest.mark.parametrize("width", [1280, 500])  # the narrowest window that chromium opens
def test_the_page_answers_as_numpy_does(run, table, tmp_path, graphics, width):
    _, failure, confidence, msr = table
    page = run / "browse.html"
    answer = ask(page, DRIVE, width=width, graphics=graphics)
    assert answer["problems"] == []
    assert answer["loaded"] == []
    found = answer["found"]
    assert found["works"] == found["solid"] == graphics
    assert found["still"] == (not graphics)  # a picture stands where nothing can be drawn
    assert found["wide"] <= 0
    thresholds = read(page)["studies"][0]["curves"]["margin"]["threshold"]
    for at, coverage, selective, generalized, undetected, legend in found["steps"]:
        kept = confidence >= thresholds[at]
        silent = int((kept & failure).sum())
        assert float(coverage) == pytest.approx(kept.mean(), rel=1e-3)
        assert float(selective) == pytest.approx(failure[kept].mean(), rel=1e-3)
        assert float(generalized) == pytest.approx(silent / 300, rel=1e-3)
        assert undetected == f"{silent} of {failure.sum()}"
        counts = {
            "silent failure": silent,
            "caught failure": int((~kept & failure).sum()),
            "false alarm": int((~kept & ~failure).sum()),
            "correct": int((kept & ~failure).sum()),
        }
        assert {name: int(count) for name, count in legend.items()} == {name: n for name, n in counts.items() if n}
    # AUGRC of msr by brute force: mean over samples of the failures that are at least as confident, ties shared.
    wins = (msr[:, None] < msr[None, :]) + 0.5 * (msr[:, None] == msr[None, :])
    augrc = (failure * (wins.sum(axis=0))).sum() / 300**2
    assert float(found["msr"]) == pytest.approx(1000 * augrc, rel=1e-3)
    worst = np.flatnonzero(failure)[np.argsort(-msr[failure], kind="stable")]
    assert len(found["top"]) == min(12, len(worst))
    assert found["pinned"] == found["first"] == f"iid {worst[0]}"
    assert found["lasso"] == "3"
    assert found["csv"].count("\r\n") == 4
    assert found["none"].startswith("0 points")


@pytest.fixture(scope="module")
def two_networks(tmp_path_factory):
    """A sealed run on two networks that saw the same samples, with its page."""
    folder = tmp_path_factory.mktemp("networks")
    text = write_toy(folder).read_text()
    arrays = read_arrays(folder / "table.npz")
    rng = np.random.default_rng(7)
    np.savez(folder / "other.npz", labels=arrays["labels"], logits=arrays["logits"] + rng.normal(size=(400, 4)))
    other = '[[source.models]]\nid = "two"\ntable = { path = "other.npz" }\n'
    (folder / "toy.toml").write_text(text.replace("[source.sets]", other + "[source.sets]"))
    done = harness("evaluate", "margin.py", "--benchmark", "toy.toml", "--workers", "1", folder=folder)
    assert done.returncode == 0, done.stderr
    (found,) = folder.glob("runs/*")
    browse(found, "--benchmark", "toy.toml", "--scores", "msr", folder=folder)
    return found


def test_networks_stand_on_one_page_each_with_its_own_numbers(two_networks):
    sealed = {each["model"]: each["records"] for each in json.loads((two_networks / "run.json").read_text())["units"]}
    for number, name in enumerate(("one", "two")):
        network = read(two_networks / "browse.html", number)
        assert network["name"] == name
        expected = {record["metric"]: record["value"] for record in sealed[name]}
        assert expected == pytest.approx(network["studies"][0]["metrics"]["margin"], rel=1e-12)


@pytest.mark.parametrize(("asked", "shown"), [("two", ["two"]), ("two,one", ["two", "one"]), ("all", ["one", "two"])])
def test_networks_are_chosen_by_name(two_networks, asked, shown):
    toy = two_networks.parent.parent
    page = browse(two_networks, "--benchmark", "toy.toml", "--model", asked, "--out", "named.html", folder=toy)
    text = page.read_text("utf-8")
    assert [each["name"] for each in json.loads(Tags(text).data)["networks"]] == shown
    assert ("shows others, too: one" in text) == (shown == ["two"])


CHOOSE = """() => {
  const change = (id, value) => { const each = document.getElementById(id); each.value = value; each.dispatchEvent(new Event("change")); };
  change("score", 1);
  change("symbols", "class");
  change("colour", "class");
  change("network", "two");
}"""
SHOWN = """() => {
  const find = (id) => document.getElementById(id);
  return { title: document.querySelector("h1").textContent, score: Browse.state.score.name, colour: find("colour").value,
    symbols: Browse.symbolsDrawn, said: find("symbols-drawn").textContent, keys: document.querySelectorAll("#legend path").length,
    augrc: document.querySelector("[data-metric=augrc]").textContent,
    rows: [...document.querySelectorAll("#networks tbody tr")].map((row) => row.textContent) };
}"""


@needs_browser
def test_another_network_keeps_the_choices_and_classes_have_symbols(two_networks):
    with browser(graphics=True) as started, opened(started, two_networks / "browse.html") as seen:
        seen.page.evaluate(CHOOSE)
        seen.page.wait_for_function(
            "typeof Browse !== 'undefined' && Browse.name === 'two' && Browse.symbolsDrawn !== undefined"
        )
        found = seen.page.evaluate(SHOWN)
    assert seen.problems == []
    assert found["title"] == "Failures of two"
    assert (found["score"], found["colour"]) == ("msr", "class")
    assert found["symbols"] == 300
    assert found["said"] == ""
    assert found["keys"] == 4
    assert [row[:3] for row in found["rows"]] == ["one", "two"]
    assert found["augrc"] in found["rows"][1]


@needs_browser
def test_in_print_the_picture_has_its_own_legend_and_nothing_waits_for_a_click(two_networks):
    shown = "getComputedStyle(document.getElementById(name)).display !== 'none'"
    with browser(graphics=True) as started, opened(started, two_networks / "browse.html") as seen:
        seen.page.wait_for_function("typeof Browse !== 'undefined'")
        seen.page.emulate_media(media="print")
        found = {
            name: seen.page.evaluate(f"(name) => {shown}", name)
            for name in ("still", "threshold-part", "curve", "legend", "hover", "keys")
        }
    assert [name for name, seen in found.items() if seen] == ["still", "threshold-part", "curve"]
