"""`harness claims`: findings on the numbers of papers, on boards and on runs, beside counts of their own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from scipy import stats
from typer.testing import CliRunner

from harness.boards.findings import gather
from harness.boards.findings.evaluate import claims
from harness.boards.findings.judgement import Judged
from harness.boards.findings.papers import FINDINGS
from harness.cli import claims as verb
from harness.data.catalog import find_protocol, load_protocol
from harness.execution.run_result import ScoredRun
from harness.spec.errors import UsageError
from harness.tracks.leaderboard import Entry
from tests.boards.test_rows import _maps
from tests.boards.workshop import GAP, evaluate, write_workshop
from tests.printed import NAMED

BOARDS = Path(__file__).parents[2] / "leaderboards"
APP = typer.Typer()
APP.command()(verb.claims)


def of(found: tuple[Judged, ...], name: str, origin: str = "published") -> Judged:
    (one,) = [each for each in found if (each.finding, each.origin) == (name, origin)]
    return one


def counts(judgement: Judged) -> dict[str, tuple[int, int]]:
    return {each.about: (each.share.count, each.share.trials) for each in judgement.comparisons}


def published(benchmark: str) -> pd.DataFrame:
    return pd.read_csv(BOARDS / benchmark / "published.csv")


def test_softmax_on_the_numbers_of_fdshifts() -> None:
    """Wins over every rival, counted over the mean of each group of studies of one architecture."""
    groups = {study.id: study.group for study in find_protocol("confidence-fdshifts@3").benchmark.studies}
    table = published("confidence-fdshifts/3").pivot(index="column", columns="method", values="value")
    expected = {}
    for rival in table.columns.drop("msr"):
        won = lost = 0
        for _, rows in table[["msr", rival]].groupby(groups):
            if rows.notna().all(axis=None):
                gain = rows[rival].mean() - rows["msr"].mean()
                won, lost = won + (gain > 0), lost + (gain < 0)
        expected[f"msr better than {rival}"] = (won, won + lost)
    found = of(claims(), "FDS-1")
    assert counts(found) == expected
    assert found.verdict == "contradicted"
    assert found.comparisons[0].about == "msr better than pe"


def test_the_numbers_of_realistic_al_say_that_it_depends() -> None:
    """How often each strategy is above random, as it was counted by hand in the released table."""
    found = of(claims(), "RAL-1")
    assert counts(found) == {
        "badge better than random": (30, 36),
        "bald better than random": (20, 30),
        "kcentergreedy better than random": (20, 36),
        "entropy better than random": (16, 36),
    }
    assert found.verdict == "supported"


def test_gains_of_realistic_al_differ_beyond_the_scatter_over_seeds() -> None:
    """Welch's analysis of variance written out for two strategies, three seeds a setting."""
    table = published("query-realistic-al/2")
    value, error = (table.pivot(index="column", columns="method", values=name) for name in ("value", "std"))
    error = error / np.sqrt(3)
    found = {each.about: each.p_value for each in of(claims(), "RAL-1").comparisons}
    p_values = {}
    for name in ("badge", "bald", "entropy", "kcentergreedy"):
        rows = pd.DataFrame({"d": value[name] - value["random"], "a": error[name], "b": error["random"]}).dropna()
        variance = rows.a**2 + rows.b**2
        freedom = variance**2 / (rows.a**4 / 2 + rows.b**4 / 2)
        w, k = 1 / variance, len(rows)
        mean = (w * rows.d).sum() / w.sum()
        lack = ((1 - w / w.sum()) ** 2 / freedom).sum()
        statistic = (w * (rows.d - mean) ** 2).sum() / (k - 1) / (1 + 2 * (k - 2) * lack / (k**2 - 1))
        p_values[name] = stats.f.sf(statistic, k - 1, (k**2 - 1) / (3 * lack))
    highest = 0.0
    for place, name in enumerate(sorted(p_values, key=p_values.__getitem__)):  # Holm
        highest = max(highest, (4 - place) * p_values[name])
        assert found[f"{name} better than random"] == pytest.approx(highest, rel=1e-6)


def test_what_was_not_read_is_undecided() -> None:
    found = {each.finding: each for each in claims()}
    assert len(found) == 13
    assert {name for name, each in found.items() if each.verdict != "undecided"} == {"FDS-1", "RAL-1"}
    assert found["AUG-1"].reason == "no augrc among these numbers"
    assert found["NNA-1"].reason == "no aubc among these numbers"
    assert found["NNA-5"].reason == "no benchmark varies epochs or the size of queries"


def test_a_finding_on_another_benchmark_of_its_kind() -> None:
    """Entropy is not the best strategy there: pairwise wins, counted in the table."""
    table = published("query-realistic-al/2").pivot(index="column", columns="method", values="value")
    found = of(claims(["query-realistic-al"]), "NNA-3")
    for rival in ("badge", "bald", "kcentergreedy"):
        gain = (table["entropy"] - table[rival]).dropna()
        expected = (int((gain > 0).sum()), int((gain != 0).sum()))
        assert counts(found)[f"entropy better than {rival}"] == expected
    assert found.verdict == "contradicted"


def test_on_a_board() -> None:
    """Columns but the mean, ranked rows only: as `board.csv` has them."""
    board = pd.read_csv(BOARDS / "confidence-mnist/2/board.csv")
    board = board[~board["reference"] & (board["column"] != "mean")]
    table = board.pivot(index="column", columns="method", values="value")
    found = of(claims(["confidence-mnist@2"]), "FDS-1", "board")
    for rival in table.columns.drop("msr"):
        gain = table[rival] - table["msr"]
        assert counts(found)[f"msr better than {rival}"] == (int((gain > 0).sum()), int((gain != 0).sum()))
    assert len(found.comparisons) == table.shape[1] - 1
    assert found.verdict == "undecided"


def test_xai_methods_are_compared_metric_by_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three methods whose scores lie apart: the best is first in every metric of the criteria that count."""
    from tests.tracks.attribution.support import BENCHMARK, write_benchmark

    protocol = load_protocol(
        write_benchmark(tmp_path, BENCHMARK.replace('["input-x-gradient", "saliency"]', '["poor", "fair"]'))
    )
    entries = [_maps(name, q) for name, q in {"poor": 1.0, "fair": 2.0, "expected-gradients": 3.0}.items()]
    monkeypatch.setattr(gather, "read_board", lambda protocol: None)
    monkeypatch.setattr(gather, "read_standings", lambda protocol: Standings(tuple(entries)))
    evidence = gather.board_evidence(protocol)
    metrics = {number.setting for number in evidence.numbers}
    assert metrics == {"faithfulness_estimate", "sparseness"}  # no planted truth
    (finding,) = (each for each in FINDINGS if each.id == "LAT-2")
    found = finding.judge(evidence)
    assert counts(found) == {
        "expected-gradients better than fair": (2, 2),
        "expected-gradients better than poor": (2, 2),
    }
    assert found.verdict == "undecided"


def test_campaigns_count_by_study_and_groups_are_their_means() -> None:
    from tests.tracks.query.outcomes import benchmark, random_counts, study, track_of, unit, volumes

    spec = benchmark([study("low", "both"), study("high", "both"), study("alone")])
    track, rng = track_of(spec), np.random.default_rng(0)
    units = [unit(name, seed) for name in ("low", "high", "alone") for seed in (1, 2, 3)]
    measured = {each: track.measure(each, volumes(random_counts(rng, 0.5))) for each in units}
    numbers = gather._of_run("mine", ScoredRun(track, {}, measured, ()))
    found = {each.setting: each for each in numbers if each.metric == "aubc"}
    assert set(found) == {"low", "high", "alone"}
    for name, number in found.items():
        seeds = [measured[each].scores["aubc"].value for each in units if each.study == name]
        assert number.value == pytest.approx(np.mean(seeds))
        assert number.error > 0


@dataclass(frozen=True)
class Standings:
    entries: tuple[Entry, ...]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    write_workshop(tmp_path, '"augrc", "aurc"')
    return [evaluate(tmp_path, source, name).folder for source, name in ((GAP, "gap"), ("", "msr"), ("", "random"))]


@pytest.mark.usefixtures("in_this_process")
def test_on_runs(runs: list[Path]) -> None:
    """The summaries in `run.json`, compared by hand."""
    values: dict[str, dict[tuple[str, str], float]] = {}
    for folder in runs:
        document = json.loads((folder / "run.json").read_text())
        values[document["spec"]["method"]["name"]] = {
            (row["metric"], row["study"]): row["value"] for row in document["summary"]
        }
    found = claims([str(folder) for folder in runs])
    softmax = of(found, "FDS-1", "runs")
    for rival in ("gap", "random"):
        wins = [values["msr"]["aurc", name] < values[rival]["aurc", name] for name in ("iid", "shift")]
        assert counts(softmax)[f"msr better than {rival}"] == (sum(wins), 2)
    assert softmax.verdict == "undecided"
    changed = any(
        (values[a]["augrc", "iid"] < values[b]["augrc", "iid"]) != (values[a]["aurc", "iid"] < values[b]["aurc", "iid"])
        for a, b in combinations(values, 2)
    )
    assert counts(of(found, "AUG-1", "runs")) == {"order of 3 methods changed": (int(changed), 1)}
    assert {each.finding for each in found} == {"FDS-1", "AUG-1", "SIL-1"}

    with pytest.raises(UsageError, match="two of these runs are of gap; name one run of each method"):
        claims([str(runs[0]), str(runs[0])])
    with pytest.raises(UsageError, match="name one benchmark, or folders of runs; "):
        claims(["confidence-mnist@2", "query-mnist@2"])


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("meta-mnist", "no finding is about methods of the kind attribution-metric"),
        ("confidence-silent-failures", "has neither published numbers nor rows on a board; name another benchmark"),
        ("nothing", "no benchmark is called 'nothing'"),
    ],
)
def test_what_cannot_be_judged_is_said(target: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        claims([target])


def test_a_folder_without_a_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no sealed run"):
        claims([str(tmp_path)])


def shown(*arguments: str) -> str:
    done = CliRunner().invoke(APP, arguments, env={"COLUMNS": "80", "NO_COLOR": "1"}, catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_the_verb_prints_a_row_and_a_sentence_for_every_finding() -> None:
    text = shown()
    row = next(line for line in text.splitlines() if line.strip().startswith("RAL-1 "))
    p_value = f"{of(claims(), 'RAL-1').comparisons[0].p_value:.2g}"
    assert row.split() == ["RAL-1", "query-realistic-al@2", "16", "of", "36", "0.28–0.62", p_value, "supported"]
    for name in ("FDS-1", "AUG-1", "SIL-1", "LAT-1", "LAT-2", "NNA-5", "CLA-2"):
        assert text.count(f"\n{name} (") == 1
    table = text[: text.index("\nFDS-1 (")]
    assert max(map(len, table.splitlines())) <= 80
    assert "bald better than random" not in text
    details = shown("query-realistic-al", "--details")
    assert "bald better than random" in details
    assert "Supported: so for more than half of the methods." in details


def test_other_programs_get_every_comparison() -> None:
    found = {each["finding"]: each for each in json.loads(shown("--json"))}
    assert found["RAL-1"]["verdict"] == "supported"
    assert len(found["FDS-1"]["comparisons"]) == 16
    assert set(found["FDS-1"]["comparisons"][0]["share"]) == {"count", "trials", "share", "low", "high", "p_value"}


def test_the_examples_of_the_documentation_run() -> None:
    lines = [line.split()[2:] for line in NAMED if line.startswith("harness claims")]
    assert [] in lines
    for words in lines:
        if not any(word.isupper() for word in words):
            assert "verdict" in shown(*words)
