"""The findings that the six papers state, one by one."""

from __future__ import annotations

from typing import TypedDict

from harness.boards.findings.statements import (
    AllBeat,
    Depends,
    MetricsDisagree,
    NeedsOtherRuns,
    NoneIsNearBest,
    NoneReliablyBeats,
    OnlyOneBeats,
    OrderChanges,
    PaperFinding,
)


class _Paper(TypedDict):
    """What findings of one paper, or of one text of its authors, have in common: see `PaperFinding`."""

    paper: str
    source: str
    task: str
    benchmark: str
    metrics: tuple[str, ...]


def _paper(paper: str, source: str, benchmark: str, *metrics: str) -> _Paper:
    """task: the first word of the benchmark's name."""
    task = benchmark.partition("-")[0]
    return {"paper": paper, "source": source, "task": task, "benchmark": benchmark, "metrics": metrics}


_ABSTRACT, _README = "abstract, arxiv.org/abs/", "README of github.com/"
_NNACTIVE = "Lüth et al. 2025 (nnActive)"

FDS = _paper("Jaeger et al. 2023 (FD-Shifts)", f"{_ABSTRACT}2211.15259", "confidence-fdshifts", "aurc", "augrc")
AUG = _paper("Traub et al. 2024 (AUGRC)", f"{_ABSTRACT}2407.01032", "confidence-fdshifts", "augrc", "aurc")
SIL = _paper(
    "Bungert et al. 2023 (silent failures)", f"{_ABSTRACT}2307.14729", "confidence-silent-failures", "aurc", "augrc"
)
LAT = _paper("Klein et al. 2024 (LATEC)", f"{_ABSTRACT}2409.16756", "attribution-latec", "rank")
NNA = _paper(_NNACTIVE, f"{_ABSTRACT}2511.19183", "query-nnactive", "aubc")
NNA_README = _paper(_NNACTIVE, f"{_README}MIC-DKFZ/nnActive", "query-nnactive", "aubc")
CLA = _paper("Lüth, Traub et al. 2026 (ClaSP PE)", f"{_ABSTRACT}2601.13677", "query-nnactive", "aubc")
RAL = _paper("Lüth et al. 2023 (realistic-al)", f"{_README}IML-DKFZ/realistic-al", "query-realistic-al", "aubc")

_UNSEEN = ("lits", "word", "mama-mia", "toothfairy2", "roll-out")


def is_uniform(name: str) -> bool:
    """Random sampling, as the harness and as realistic-al name it."""
    return name in ("random-sampling", "random")


def is_foreground_aware(name: str) -> bool:
    """Random sampling of which a part holds foreground."""
    return name.startswith("foreground-random-")


def is_learner(name: str) -> bool:
    """A query strategy that asks the network; neither a random one nor the training on all labels."""
    return not (is_uniform(name) or is_foreground_aware(name) or name.startswith("all labels"))


def is_of_nnactive(name: str) -> bool:
    """Without the strategies of the follow-up."""
    return is_learner(name) and not name.startswith(("class-", "clasp-"))


FINDINGS: tuple[PaperFinding, ...] = (
    AllBeat(
        **FDS,
        id="FDS-1",
        claim="Over all data sets and shifts taken together, plain soft-max response is the best confidence score.",
        winners=lambda name: name == "msr",
        losers=lambda name: True,
        reading="Against every other score of the same tables, also those that ask dropout or another training.",
    ),
    OrderChanges(
        **AUG,
        id="AUG-1",
        claim="Ranking by AUGRC instead of AURC changes the order of confidence scores on most i.i.d. test sets.",
        settings=lambda name: "iid" in name.split("-"),
        reading="The paper says on five of six data sets.",
    ),
    NoneIsNearBest(
        **SIL,
        id="SIL-1",
        claim="No confidence score prevents silent failures reliably over tasks and shifts.",
        reading="To be reliable is taken as near the best score of every setting.",
    ),
    MetricsDisagree(
        **LAT,
        id="LAT-1",
        claim="Metrics of one criterion disagree so much that a ranking from one or few metrics is unreliable.",
    ),
    AllBeat(
        **LAT,
        id="LAT-2",
        claim="Expected Gradients comes out on top overall.",
        winners=lambda name: name == "expected-gradients",
        losers=lambda name: name != "expected-gradients-latec",
        reading="Metrics of the criteria that order the board are the settings.",
    ),
    AllBeat(
        **NNA,
        id="NNA-1",
        claim="Every active-learning method beats uniform random patch sampling.",
        averaged=False,
        winners=is_of_nnactive,
        losers=is_uniform,
    ),
    NoneReliablyBeats(
        **NNA,
        id="NNA-2",
        claim="No active-learning method reliably beats foreground-aware random sampling.",
        averaged=False,
        methods=is_of_nnactive,
        rivals=is_foreground_aware,
    ),
    AllBeat(
        **NNA,
        id="NNA-3",
        claim="Predictive Entropy is the best active-learning method overall.",
        averaged=False,
        winners=lambda name: name in ("predictive-entropy", "entropy"),
        losers=is_of_nnactive,
    ),
    Depends(
        **NNA_README,
        id="NNA-4",
        claim="The gain of active learning depends on the task.",
        base=is_uniform,
        methods=is_of_nnactive,
    ),
    NeedsOtherRuns(
        **NNA_README,
        id="NNA-5",
        claim="Longer training and smaller queries help active learning.",
        why="no benchmark varies epochs or the size of queries",
    ),
    OnlyOneBeats(
        **CLA,
        id="CLA-1",
        claim="Of all methods only ClaSP PE beats the improved random baselines in general.",
        averaged=False,
        settings=lambda name: name not in _UNSEEN,
        winner="clasp-pe",
        variants=lambda name: name.startswith(("class-", "clasp-")),
        methods=is_learner,
        rivals=is_foreground_aware,
    ),
    AllBeat(
        **CLA,
        id="CLA-2",
        claim="ClaSP PE beats the improved random baselines on four unseen data sets too.",
        averaged=False,
        settings=lambda name: name in _UNSEEN,
        winners=lambda name: name == "clasp-pe",
        losers=is_foreground_aware,
        reading="Four data sets alone cannot reach significance: undecided unless budgets or seeds are settings of their own.",
    ),
    Depends(
        **RAL,
        id="RAL-1",
        claim="Whether a query method helps depends on data, budget and training: it must be tested over all of them.",
        averaged=False,
        base=is_uniform,
        methods=is_learner,
    ),
)
