"""Forms of findings on made-up numbers of which the verdict is known."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError

import numpy as np
import pandas as pd
import pytest

from harness.boards.findings.evidence import Evidence, Number
from harness.boards.findings.judgement import Judged
from harness.boards.findings.papers import FINDINGS
from harness.boards.findings.statements import (
    AllBeat,
    Depends,
    MetricsDisagree,
    NoneIsNearBest,
    NoneReliablyBeats,
    OnlyOneBeats,
    OrderChanges,
)

ABOUT = {"id": "X", "paper": "P", "claim": "C", "source": "S", "task": "query", "benchmark": "b"}
SETTINGS = 20


def evidence(numbers: list[Number], groups: dict[str, str] | None = None, **more: object) -> Evidence:
    lower = {"aubc": False, "aurc": True, "augrc": True, "rank": True}
    return Evidence("runs", "b@1", "query", tuple(numbers), lower, groups or {}, **more)  # type: ignore[arg-type]


def wins(metric: str = "aubc", **better: int) -> Evidence:
    """A base of 0.5 everywhere; of each method, in how many of the settings it is above, else it is below."""
    numbers = [Number(metric, f"s{k}", "base", 0.5) for k in range(SETTINGS)]
    for method, count in better.items():
        name = method.replace("_", "-")
        numbers += [Number(metric, f"s{k}", name, 0.6 if k < count else 0.4) for k in range(SETTINGS)]
    return evidence(numbers)


def beats_base(each: Evidence, metric: str = "aubc") -> Judged:
    finding = AllBeat(**ABOUT, metrics=(metric,), winners=lambda n: n != "base", losers=lambda n: n == "base")
    return finding.judge(each)


@pytest.mark.parametrize(
    ("better", "verdict", "first"),
    [
        ({"a": 20, "c": 18}, "supported", (18, 20)),
        ({"a": 20, "c": 12}, "undecided", (12, 20)),
        ({"a": 20, "c": 2}, "contradicted", (2, 20)),
        ({"a": 5}, "contradicted", (5, 20)),  # p = 0.041
        ({"a": 6}, "undecided", (6, 20)),
    ],
)
def test_all_beat(better: dict[str, int], verdict: str, first: tuple[int, int]) -> None:
    found = beats_base(wins(**better))
    assert found.verdict == verdict
    assert (found.comparisons[0].share.count, found.comparisons[0].share.trials) == first


def test_many_comparisons_are_corrected() -> None:
    """15 of 20 has p = 0.041; of two methods with that, Holm makes 0.083."""
    assert beats_base(wins(a=15)).verdict == "supported"
    found = beats_base(wins(a=15, c=15))
    assert found.verdict == "undecided"
    assert found.comparisons[0].p_value == pytest.approx(2 * 0.041389, rel=1e-4)


def test_lower_is_better_where_the_metric_says_so() -> None:
    assert beats_base(wins("aurc", a=20), "aurc").verdict == "contradicted"
    assert beats_base(wins("aurc", a=0), "aurc").verdict == "supported"


def test_a_few_settings_decide_nothing() -> None:
    few = evidence([Number("aubc", f"s{k}", name, v) for k in range(5) for name, v in (("base", 0.1), ("a", 0.9))])
    assert beats_base(few).verdict == "undecided"


@pytest.mark.parametrize("numbers", [[], [Number("aubc", "s", "a", 1.0)], [Number("augrc", "s", "base", 1.0)]])
def test_nothing_to_compare_is_undecided(numbers: list[Number]) -> None:
    found = beats_base(evidence(numbers))
    assert found.verdict == "undecided"
    assert found.comparisons == ()
    assert found.reason.startswith("no ")


def test_reliably() -> None:
    finding = NoneReliablyBeats(**ABOUT, metrics=("aubc",), methods=lambda n: n != "base", rivals=lambda n: n == "base")
    assert finding.judge(wins(a=20)).verdict == "contradicted"
    assert finding.judge(wins(a=12, c=3)).verdict == "supported"  # 12 of 20: up to 0.81
    assert finding.judge(wins(a=14)).verdict == "supported"  # 14 of 20: up to 0.88
    assert finding.judge(wins(a=15)).verdict == "contradicted"  # 15 of 20: up to 0.91, and p = 0.041
    assert (
        finding.judge(wins(a=15, c=3)).verdict == "contradicted"
    )  # corrected for two, of which 3 of 20 is the clearer
    assert finding.judge(wins(a=15, c=10, d=11)).verdict == "undecided"  # corrected for three


def test_near_the_best_throughout() -> None:
    finding = NoneIsNearBest(**ABOUT, metrics=("aurc",))
    rng = np.random.default_rng(0)
    steady = [Number("aurc", f"s{k}", "steady", 0.102) for k in range(SETTINGS)]
    others = [
        Number("aurc", f"s{k}", name, 0.1 if lucky == name else 0.2)
        for k, lucky in enumerate(rng.choice(["a", "b"], SETTINGS))
        for name in ("a", "b")
    ]
    assert finding.judge(evidence([*steady, *others])).verdict == "contradicted"
    found = finding.judge(evidence(others))
    assert found.verdict == "supported"
    assert sum(each.share.count for each in found.comparisons) == SETTINGS


def test_only_one() -> None:
    finding = OnlyOneBeats(
        **ABOUT,
        metrics=("aubc",),
        winner="one",
        variants=lambda n: n.startswith("one"),
        methods=lambda n: n != "base",
        rivals=lambda n: n == "base",
    )
    assert finding.judge(wins(one=20, one_b=20, a=10)).verdict == "supported"
    assert finding.judge(wins(one=20, a=20)).reason == "a beats them as well"
    assert finding.judge(wins(one=2, a=10)).verdict == "contradicted"
    assert finding.judge(wins(one=12, a=10)).verdict == "undecided"
    assert finding.judge(wins(a=10)).verdict == "undecided"


def gains(shift: np.ndarray, error: float = 0.01) -> Evidence:
    numbers = [Number("aubc", f"s{k}", "base", 0.5, error, 3) for k in range(len(shift))]
    return evidence([*numbers, *(Number("aubc", f"s{k}", "a", 0.5 + s, error, 3) for k, s in enumerate(shift))])


def test_depends() -> None:
    finding = Depends(**ABOUT, metrics=("aubc",), base=lambda n: n == "base", methods=lambda n: n != "base")
    assert finding.judge(gains(np.tile([0.1, -0.1], 10))).verdict == "supported"
    assert finding.judge(gains(np.full(20, 0.1))).verdict == "contradicted"
    assert finding.judge(gains(np.tile([0.1, 0.3], 10))).verdict == "undecided"  # how much, not whether
    assert finding.judge(gains(np.tile([0.001, -0.001], 10))).verdict == "undecided"  # within the scatter
    unknown = finding.judge(gains(np.tile([0.1, -0.1], 10), math.nan))
    assert (unknown.verdict, unknown.reason) == ("undecided", "the scatter over runs is not known")


def test_the_order_changes() -> None:
    finding = OrderChanges(**ABOUT, metrics=("augrc", "aurc"), settings=lambda n: n.startswith("s"))

    def two(changed: int) -> Evidence:
        rows = []
        for k in range(SETTINGS):
            for name, value in (("a", 0.1), ("b", 0.2), ("c", 0.3)):
                other = 0.25 if k < changed and name == "a" else value
                rows += [Number("aurc", f"s{k}", name, value), Number("augrc", f"s{k}", name, other / 2)]
        return evidence([*rows, Number("aurc", "other", "a", 1.0), Number("aurc", "s0", "only-here", 0.0)])

    assert finding.judge(two(20)).verdict == "supported"
    assert finding.judge(two(1)).verdict == "contradicted"
    assert finding.judge(two(9)).reason == "in 9 of 20 settings"
    assert finding.judge(wins("aurc", a=3)).reason == "no augrc among these numbers"


def test_metrics_disagree() -> None:
    finding = MetricsDisagree(**ABOUT, metrics=("rank",))

    def scores(noise: float) -> pd.DataFrame:
        rng = np.random.default_rng(0)
        rows = [
            (f"m{method:02}", f"cell{cell}", f"metric{metric}", method + noise * rng.normal())
            for cell in range(4)
            for metric in range(6)
            for method in range(12)
        ]
        frame = pd.DataFrame(rows, columns=["method", "cell", "metric", "value"])
        return frame.assign(criterion="faithfulness", direction="higher", observation=0, status="ok")

    assert finding.judge(evidence([], scores=scores(1000.0))).verdict == "supported"
    assert finding.judge(evidence([], scores=scores(0.01))).verdict == "contradicted"
    assert finding.judge(evidence([])).verdict == "undecided"


def test_groups_are_averaged_where_they_are_whole() -> None:
    rows = [
        *(Number("aurc", "g1", "a", 1.0, 0.3, 5), Number("aurc", "g2", "a", 3.0, 0.4, 3)),
        *(Number("aurc", "g1", "b", 2.0, 0.1, 5), Number("aurc", "alone", "b", 7.0)),
    ]
    grid = evidence(rows, {"g1": "g", "g2": "g"}).grid("aurc", averaged=True)
    assert grid.values.loc["g", "a"] == -2.0
    assert grid.errors.loc["g", "a"] == pytest.approx(0.25)
    assert grid.runs.loc["g", "a"] == 3
    assert math.isnan(grid.values.loc["g", "b"])
    assert grid.values.loc["alone", "b"] == -7.0
    assert evidence(rows).grid("aurc", averaged=True).values.loc["g1", "b"] == -2.0


def test_findings_are_frozen_and_name_what_they_rest_on() -> None:
    from harness.data.catalog import find_protocol

    assert len({finding.id for finding in FINDINGS}) == len(FINDINGS) == 13
    for finding in FINDINGS:
        assert type(finding).__doc__
        assert find_protocol(finding.benchmark).benchmark.task == finding.task
        with pytest.raises(FrozenInstanceError):
            finding.claim = ""  # type: ignore[misc]
