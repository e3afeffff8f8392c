"""The page of a run: the numbers are those of `run.json`, and of the answers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from harness.execution.run_result import RunResult
from harness.storage import read_arrays
from tests.cli.support import harness, write_toy
from tests.reports.browser import ask, needs_browser
from tests.reports.test_page import Tags

pytestmark = pytest.mark.usefixtures("in_this_process")


@pytest.fixture(scope="module")
def run(made_once, tmp_path_factory):
    """A sealed run of the toy benchmark with its page."""

    def fill(folder: Path) -> None:
        write_toy(folder)
        done = harness("evaluate", "margin.py", "--benchmark", "toy.toml", "--workers", "1", folder=folder)
        assert done.returncode == 0, done.stderr

    copied = shutil.copytree(made_once("report-run", fill), tmp_path_factory.mktemp("report") / "toy")
    (found,) = copied.glob("runs/*")
    return found


@pytest.fixture(scope="module")
def data(run):
    found = json.loads(Tags((run / "report.html").read_text("utf-8")).data)
    for view in found["views"]:
        for holder in [view.get("columns"), *(unit["listed"] for unit in view.get("units", ()))]:
            for name, values in (holder or {}).items():
                if isinstance(values, dict):  # words and which of them
                    holder[name] = [values["of"][at] for at in values["at"]]
    return found


@pytest.fixture(scope="module")
def answers(run):
    return answers_of(run)


def answers_of(run):
    """Confidence (n,) and failure (n,) of the one unit, from the files alone."""
    (unit,) = RunResult.open(run).outputs().values()
    table = read_arrays(run.parent.parent / "table.npz")
    failure = table["logits"][100:400].argmax(axis=1) != table["labels"][100:400]
    return np.asarray(unit["confidence"]), failure


def view(data, template):
    return next(each for each in data["views"] if each["template"] == template)


def test_scores_are_those_of_the_sealed_run(run, data):
    sealed = json.loads((run / "run.json").read_text())["summary"]
    assert len(sealed) == len(data["summary"]) > 0
    for shown, kept in zip(data["summary"], sealed, strict=True):
        assert {name: shown[name] for name in kept} == kept


def test_operating_points_are_counts_of_the_answers(data, answers):
    confidence, failure = answers
    (unit,) = view(data, "thresholds")["units"]
    assert (unit["samples"], unit["failures"]) == (len(confidence), failure.sum())
    for threshold, accepted, undetected in zip(unit["threshold"], unit["accepted"], unit["undetected"], strict=True):
        kept = confidence >= np.asarray(threshold, confidence.dtype)
        assert (accepted, undetected) == (kept.sum(), (kept & failure).sum())
    worst = np.sort(confidence[failure])[::-1]
    assert unit["listed"]["confidence"] == pytest.approx(worst[:100].astype(float), abs=0)
    assert all(failure[place] for place in unit["listed"]["sample"])


def test_the_area_under_the_drawn_curve_is_augrc(run, data):
    chart = next(each for each in data["views"] if each["title"].startswith("Generalized"))
    columns = chart["columns"]
    mine = [at for at, network in enumerate(columns["network"]) if network == "mean"]
    area = np.trapezoid([columns["risk"][at] for at in mine], [columns["coverage"][at] for at in mine])
    (augrc,) = (row["value"] for row in data["summary"] if row["metric"] == "augrc" and row["study"] == "iid")
    assert area == pytest.approx(augrc, abs=5e-4)  # 81 points of a curve of 300


def test_a_benchmark_without_a_board_says_so(run):
    page = (run / "report.html").read_text("utf-8")
    assert "This benchmark has no board" in page
    assert "this benchmark has no board" in page


def test_the_verb_makes_the_page_anew(run):
    page = run / "report.html"
    before = page.read_bytes()
    page.unlink()
    done = harness("report", run, "--benchmark", "toy.toml", folder=run.parent.parent)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("report.html")
    assert page.read_bytes() == before


def test_what_is_no_run_gets_a_sentence(tmp_path):
    done = harness("report", tmp_path, folder=tmp_path)
    assert done.returncode == 2
    assert "holds no sealed run" in done.stderr


def test_views_that_cannot_be_made_spoil_no_page(run, monkeypatch):
    from harness.reports.run_report import write_run_report
    from harness.storage import IntegrityError
    from harness.tracks.confidence.track import ConfidenceTrack

    def views(self, evidence):
        yield from ()
        raise IntegrityError("maps.npz was changed")

    monkeypatch.setattr(ConfidenceTrack, "views", views)
    result = RunResult.open(run)
    before = (run / "report.html").read_bytes()
    page = write_run_report(result, result.protocol(run.parent.parent / "toy.toml"), "no board")
    assert "What follows is incomplete: maps.npz was changed." in page.read_text("utf-8")
    (run / "report.html").write_bytes(before)


def test_the_page_is_small(run):
    assert (run / "report.html").stat().st_size < 1_000_000


NOISE = np.random.default_rng(1).normal(size=(400, 200))
UNLUCKY = {
    "no failure": (NOISE[:, :4], NOISE[:, :4].argmax(axis=1)),
    "failures only": (NOISE[:, :4], (NOISE[:, :4].argmax(axis=1) + 1) % 4),
    "two hundred classes": (NOISE, np.arange(400) % 200),
}


@needs_browser
@pytest.mark.parametrize("case", UNLUCKY)
def test_unlucky_runs_have_a_page_too(case, tmp_path):
    write_toy(tmp_path)
    logits, labels = UNLUCKY[case]
    np.savez(tmp_path / "table.npz", logits=logits, labels=labels)
    (tmp_path / "toy.toml").write_text((tmp_path / "toy.toml").read_text().replace(', "failure_auroc"', ""))
    done = harness("evaluate", "margin.py", "--benchmark", "toy.toml", "--workers", "1", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    (page,) = tmp_path.glob("runs/*/report.html")
    answer = ask(page, "return document.querySelector('[data-figure=undetected]').textContent;")
    assert answer["problems"] == []
    _, failure = answers_of(page.parent)
    points = json.loads(Tags(page.read_text("utf-8")).data)["views"]
    assert view({"views": points}, "thresholds")["units"][0]["failures"] == failure.sum()
    assert answer["found"].endswith(f" of {failure.sum()}")


@needs_browser
@pytest.mark.parametrize("width", [1280, 500])  # the narrowest window that chromium opens
def test_the_slider_moves_the_numbers(run, data, answers, tmp_path, width):
    confidence, failure = answers
    script = """
      const slider = document.querySelector(".thresholds input"), found = [];
      for (const at of [0, 40, 200, Number(slider.max)]) {
        slider.value = at;
        slider.dispatchEvent(new Event("input"));
        found.push([at, ...["coverage", "selective", "generalized"].map((name) => Number(document.querySelector(`[data-figure=${name}]`).textContent)),
          document.querySelector("[data-figure=undetected]").textContent, document.querySelectorAll(".failures tbody tr").length]);
      }
      const head = document.querySelector("#scores thead .dt-column-order");
      head?.click();
      return { found, wide: document.documentElement.scrollWidth, window: innerWidth, plots: document.querySelectorAll(".plots svg").length };
    """
    answer = ask(run / "report.html", script, width=width)
    assert answer["problems"] == []
    assert answer["loaded"] == []
    found = answer["found"]
    assert found["wide"] <= found["window"]
    assert found["plots"] >= 4
    points = view(data, "thresholds")["units"][0]["threshold"]
    for at, coverage, selective, generalized, undetected, listed in found["found"]:
        kept = confidence >= np.asarray(points[at], confidence.dtype)
        wrong = int((kept & failure).sum())
        assert coverage == pytest.approx(kept.mean(), rel=1e-3)
        assert selective == pytest.approx(failure[kept].mean(), rel=1e-3)
        assert generalized == pytest.approx(wrong / len(failure), rel=1e-3)
        assert undetected == f"{wrong} of {failure.sum()}"
        assert listed == min(100, wrong)


HINTS = """
  const svg = document.querySelector(".plots svg[tabindex]"), press = (key) => svg.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  const pause = () => new Promise((done) => setTimeout(done, 300));
  press("End");
  await pause();
  const first = document.querySelector(".said").textContent;
  press("Home");
  await pause();
  return [first, document.querySelector(".said").textContent];
"""


@needs_browser
def test_hints_of_charts_are_reached_by_arrow_keys_and_read_out(run, answers, tmp_path):
    answer = ask(run / "report.html", HINTS)
    assert answer["problems"] == []
    last, first = answer["found"]
    assert last.startswith("coverage 1,")
    assert float(last.split()[-1]) == pytest.approx(answers[1].mean(), rel=1e-2)
    assert first.startswith("coverage 0,")
