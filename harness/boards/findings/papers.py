"""The findings that the six papers state, one by one."""

from __future__ import annotations

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

_FDSHIFTS, _AUGRC = "Jaeger et al. 2023 (FD-Shifts)", "Traub et al. 2024 (AUGRC)"
_LATEC, _SILENT = "Klein et al. 2024 (LATEC)", "Bungert et al. 2023 (silent failures)"
_NNACTIVE, _CLASP = "Lüth et al. 2025 (nnActive)", "Lüth, Traub et al. 2026 (ClaSP PE)"
_REALISTIC = "Lüth et al. 2023 (realistic-al)"
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
        id="FDS-1",
        paper=_FDSHIFTS,
        claim="Over all data sets and shifts taken together, plain soft-max response is the best confidence score.",
        source="abstract, arxiv.org/abs/2211.15259",
        task="confidence",
        benchmark="confidence-fdshifts",
        metrics=("aurc", "augrc"),
        winners=lambda name: name == "msr",
        losers=lambda name: True,
        reading="Against every other score of the same tables, also those that ask dropout or another training.",
    ),
    OrderChanges(
        id="AUG-1",
        paper=_AUGRC,
        claim="Ranking by AUGRC instead of AURC changes the order of confidence scores on most i.i.d. test sets.",
        source="abstract, arxiv.org/abs/2407.01032",
        task="confidence",
        benchmark="confidence-fdshifts",
        metrics=("augrc", "aurc"),
        settings=lambda name: "iid" in name.split("-"),
        reading="The paper says on five of six data sets.",
    ),
    NoneIsNearBest(
        id="SIL-1",
        paper=_SILENT,
        claim="No confidence score prevents silent failures reliably over tasks and shifts.",
        source="abstract, arxiv.org/abs/2307.14729",
        task="confidence",
        benchmark="confidence-silent-failures",
        metrics=("aurc", "augrc"),
        reading="To be reliable is taken as near the best score of every setting.",
    ),
    MetricsDisagree(
        id="LAT-1",
        paper=_LATEC,
        claim="Metrics of one criterion disagree so much that a ranking from one or few metrics is unreliable.",
        source="abstract, arxiv.org/abs/2409.16756",
        task="attribution",
        benchmark="attribution-latec",
        metrics=("rank",),
    ),
    AllBeat(
        id="LAT-2",
        paper=_LATEC,
        claim="Expected Gradients comes out on top overall.",
        source="abstract, arxiv.org/abs/2409.16756",
        task="attribution",
        benchmark="attribution-latec",
        metrics=("rank",),
        winners=lambda name: name == "expected-gradients",
        losers=lambda name: name != "expected-gradients-latec",
        reading="Metrics of the criteria that order the board are the settings.",
    ),
    AllBeat(
        id="NNA-1",
        paper=_NNACTIVE,
        claim="Every active-learning method beats uniform random patch sampling.",
        source="abstract, arxiv.org/abs/2511.19183",
        task="query",
        benchmark="query-nnactive",
        metrics=("aubc",),
        averaged=False,
        winners=is_of_nnactive,
        losers=is_uniform,
    ),
    NoneReliablyBeats(
        id="NNA-2",
        paper=_NNACTIVE,
        claim="No active-learning method reliably beats foreground-aware random sampling.",
        source="abstract, arxiv.org/abs/2511.19183",
        task="query",
        benchmark="query-nnactive",
        metrics=("aubc",),
        averaged=False,
        methods=is_of_nnactive,
        rivals=is_foreground_aware,
    ),
    AllBeat(
        id="NNA-3",
        paper=_NNACTIVE,
        claim="Predictive Entropy is the best active-learning method overall.",
        source="abstract, arxiv.org/abs/2511.19183",
        task="query",
        benchmark="query-nnactive",
        metrics=("aubc",),
        averaged=False,
        winners=lambda name: name in ("predictive-entropy", "entropy"),
        losers=is_of_nnactive,
    ),
    Depends(
        id="NNA-4",
        paper=_NNACTIVE,
        claim="The gain of active learning depends on the task.",
        source="README of github.com/MIC-DKFZ/nnActive",
        task="query",
        benchmark="query-nnactive",
        metrics=("aubc",),
        base=is_uniform,
        methods=is_of_nnactive,
    ),
    NeedsOtherRuns(
        id="NNA-5",
        paper=_NNACTIVE,
        claim="Longer training and smaller queries help active learning.",
        source="README of github.com/MIC-DKFZ/nnActive",
        task="query",
        benchmark="query-nnactive",
        metrics=("aubc",),
        why="no benchmark varies epochs or the size of queries",
    ),
    OnlyOneBeats(
        id="CLA-1",
        paper=_CLASP,
        claim="Of all methods only ClaSP PE beats the improved random baselines in general.",
        source="abstract of arxiv.org/abs/2601.13677",
        task="query",
        benchmark="query-nnactive",
        metrics=("aubc",),
        averaged=False,
        settings=lambda name: name not in _UNSEEN,
        winner="clasp-pe",
        variants=lambda name: name.startswith(("class-", "clasp-")),
        methods=is_learner,
        rivals=is_foreground_aware,
    ),
    AllBeat(
        id="CLA-2",
        paper=_CLASP,
        claim="ClaSP PE beats the improved random baselines on four unseen data sets too.",
        source="abstract of arxiv.org/abs/2601.13677",
        task="query",
        benchmark="query-nnactive",
        metrics=("aubc",),
        averaged=False,
        settings=lambda name: name in _UNSEEN,
        winners=lambda name: name == "clasp-pe",
        losers=is_foreground_aware,
        reading="Four data sets alone cannot reach significance: undecided unless budgets or seeds are settings of their own.",
    ),
    Depends(
        id="RAL-1",
        paper=_REALISTIC,
        claim="Whether a query method helps depends on data, budget and training: it must be tested over all of them.",
        source="README of github.com/IML-DKFZ/realistic-al",
        task="query",
        benchmark="query-realistic-al",
        metrics=("aubc",),
        averaged=False,
        base=is_uniform,
        methods=is_learner,
    ),
)
