"""Forms of findings: frozen objects that judge evidence.

Each compares methods over settings by the exact sign test, and corrects for all its comparisons by Holm's method. Settings
are taken as independent, so that p-values of studies that share networks are too small rather than too large.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from harness.boards.findings.evidence import Evidence, SettingTable
from harness.boards.findings.judgement import LEVEL, RELIABLE, Judged, SettingCount, Verdict
from harness.statistics import Share, heterogeneity, holm, random_agreement, share_of, share_of_wins

if TYPE_CHECKING:
    import pandas as pd

Found = tuple[Verdict, str, Sequence[SettingCount]]


@dataclass(frozen=True, kw_only=True)
class PaperFinding(ABC):
    """What a paper states. benchmark: the protocol at its scale. metrics: that which decides, in order of preference.

    averaged: whether studies of a group are one setting. settings: which count, by their names. reading: how the words are
    taken where they leave that open.
    """

    id: str
    paper: str
    claim: str
    source: str
    task: str
    benchmark: str
    metrics: tuple[str, ...]
    averaged: bool = True
    settings: Callable[[str], bool] = lambda name: True
    reading: str = ""

    @property
    def rule(self) -> str:
        """How the words are taken, and the rule of this form of finding."""
        return " ".join(f"{self.reading} {type(self).__doc__}".split()).replace("`", "")

    def judge(self, evidence: Evidence) -> Judged:
        """Supported, contradicted or undecided, and by what. The evidence must be about methods of the finding's kind."""
        verdict, reason, comparisons = self._found(evidence)
        about = (self.id, self.paper, self.claim, self.rule, evidence.origin, evidence.benchmark)
        return Judged(*about, verdict, reason, tuple(comparisons))

    @abstractmethod
    def _found(self, evidence: Evidence) -> Found:
        """The verdict, the reason, and the comparisons behind it."""


@dataclass(frozen=True, kw_only=True)
class OverSettings(PaperFinding):
    """A finding that the numbers of one metric decide: the first of `metrics` that the evidence has."""

    def _found(self, evidence: Evidence) -> Found:
        metric = next((name for name in self.metrics if name in evidence.metrics), None)
        if metric is None:
            return _undecided(f"no {' or '.join(self.metrics)} among these numbers")
        grid = evidence.grid(metric, averaged=self.averaged)
        kept = [name for name in grid.values.index if self.settings(str(name))]
        return self._decide(SettingTable(*(table.loc[kept] for table in (grid.values, grid.errors, grid.runs))))

    @abstractmethod
    def _decide(self, grid: SettingTable) -> Found:
        """What these numbers say."""


@dataclass(frozen=True, kw_only=True)
class AllBeat(OverSettings):
    """Every one of some methods beats every one of others.

    Supported: each pair is decided that way in significantly more than half of the settings. Contradicted: at least one pair
    is significantly the other way. That one method is the best of all is the case of one winner. `winners` and `losers`
    choose by name; nobody is compared with itself.
    """

    winners: Callable[[str], bool]
    losers: Callable[[str], bool]

    def _decide(self, grid: SettingTable) -> Found:
        pairs = _pairs(grid, self.winners, self.losers)
        if not pairs:
            return _undecided("no numbers of both sides of the comparison")
        found = sorted(_compared(grid, pairs).values(), key=lambda each: each.share.share)
        if any(each.less for each in found):
            against = [each for each in found if each.less]
            reason = (
                f"{against[0].about} in a minority of the settings; so are {len(against)} of {len(found)} comparisons"
            )
            return "contradicted", reason, _first(against[0], found)
        if all(each.more for each in found):
            return "supported", f"{len(found)} of {len(found)} comparisons", found
        more = sum(each.more for each in found)
        return "undecided", f"{more} of {len(found)} comparisons are decided that way, none the other way", found


@dataclass(frozen=True, kw_only=True)
class NoneReliablyBeats(OverSettings):
    """No method reliably beats strong rivals.

    A method does so if against each rival it is better in significantly more than half of the settings, and a share of
    `RELIABLE` lies within the interval or below it. Contradicted: one method does. Supported: for every method there is a
    rival against whom the interval of the share lies below `RELIABLE`.
    """

    methods: Callable[[str], bool]
    rivals: Callable[[str], bool]

    def _decide(self, grid: SettingTable) -> Found:
        pairs = _pairs(grid, self.methods, self.rivals)
        if not pairs:
            return _undecided("no numbers of both sides of the comparison")
        compared = _compared(grid, pairs)
        weakest = []
        for name in dict.fromkeys(method for method, _ in pairs):
            own = [each for (method, _), each in compared.items() if method == name]
            weakest.append(min(own, key=lambda each: each.share.share))
            if all(_reliable(each) for each in own):
                return "contradicted", f"{name} does", _first(weakest[-1], list(compared.values()))
        best = max(weakest, key=lambda each: each.share.high)
        every = _first(best, list(compared.values()))
        if best.share.high < RELIABLE:
            return "supported", f"no method comes near {RELIABLE:.0%} of the settings", every
        return "undecided", f"{best.about}: {RELIABLE:.0%} of the settings cannot be excluded", every


@dataclass(frozen=True, kw_only=True)
class NoneIsNearBest(OverSettings):
    """No method is the best, or nearly, throughout.

    Near: by no more than `tolerance` of the best method's value away from it. Supported: for every method the interval of
    the share of settings in which it is near lies below `RELIABLE`. Contradicted: one is near in significantly more than
    half, and `RELIABLE` lies within its interval or below it.
    """

    tolerance: float = 0.05

    def _decide(self, grid: SettingTable) -> Found:
        values = grid.values.dropna(axis="columns").dropna(axis="index")
        if values.shape[1] < 2:
            return _undecided("fewer than two methods have numbers in all settings")
        best = values.max(axis=1)
        near = values.ge(best - self.tolerance * best.abs(), axis=0).sum()
        counts = zip(map(str, near.index), near.to_list(), strict=True)
        shares = {f"{name} near the best": share_of(int(count), len(values)) for name, count in counts}
        found = sorted(_corrected(shares), key=lambda each: -each.share.share)
        if _reliable(found[0]):
            return "contradicted", found[0].about, found
        if max(each.share.high for each in found) < RELIABLE:
            return "supported", f"no method comes near {RELIABLE:.0%} of the settings", found
        return "undecided", f"{found[0].about}: {RELIABLE:.0%} of the settings cannot be excluded", found


@dataclass(frozen=True, kw_only=True)
class OnlyOneBeats(OverSettings):
    """Of all methods only one beats every rival.

    Supported: it is better than each in significantly more than half of the settings, and no other method is. Contradicted:
    it is significantly worse than a rival, or another method beats them all as well. `variants` of the one do not count.
    """

    winner: str
    variants: Callable[[str], bool]
    methods: Callable[[str], bool]
    rivals: Callable[[str], bool]

    def _decide(self, grid: SettingTable) -> Found:
        pairs = _pairs(grid, lambda name: name == self.winner, self.rivals)
        if not pairs:
            return _undecided(f"no numbers of {self.winner} beside its rivals")
        others = _pairs(grid, lambda name: self.methods(name) and not self.variants(name), self.rivals)
        compared = _compared(grid, [*pairs, *others])
        own = sorted((compared[pair] for pair in pairs), key=lambda each: each.share.share)
        every = _first(own[0], list(compared.values()))
        if any(each.less for each in own):
            return "contradicted", f"{own[0].about} in a minority of the settings", every
        for name in dict.fromkeys(method for method, _ in others):
            if all(each.more for (method, _), each in compared.items() if method == name):
                return "contradicted", f"{name} beats them as well", every
        if all(each.more for each in own):
            return "supported", f"{self.winner} alone", every
        return "undecided", f"{own[0].about}: not told apart in so few or so mixed settings", every


@dataclass(frozen=True, kw_only=True)
class Depends(OverSettings):
    """Whether a method helps, compared with a base, depends on the setting.

    It does for a method whose gain differs significantly between settings (`heterogeneity`, which weighs it against the
    scatter over runs) and that is better than the base in some settings and not in others. Supported: so for more than half
    of the methods. Contradicted: more than half gain or lose in significantly more than half of the settings, without a
    significant difference between them. The comparisons show in what share of the settings each method is better, and the
    p-value of equal gains.
    """

    base: Callable[[str], bool]
    methods: Callable[[str], bool]

    def _decide(self, grid: SettingTable) -> Found:
        base = next((str(name) for name in grid.values if self.base(str(name))), "")
        pairs = _pairs(grid, self.methods, lambda name: name == base)
        if not pairs:
            return _undecided("no numbers of a base and of methods to compare with it")
        compared = _compared(grid, pairs)
        differs = _different_gains(grid, pairs)
        if not differs:
            return "undecided", "the scatter over runs is not known", list(compared.values())
        mixed = [pair for pair, p in differs.items() if p < LEVEL and 0 < compared[pair].share.share < 1]
        alike = [pair for pair, p in differs.items() if p >= LEVEL and (compared[pair].more or compared[pair].less)]
        every = [SettingCount(compared[pair].about, compared[pair].share, p) for pair, p in differs.items()]
        every.sort(key=lambda each: abs(each.share.share - 0.5))
        reason = f"gains differ between settings, and not only in size, for {len(mixed)} of {len(pairs)} methods"
        if 2 * len(mixed) > len(pairs):
            return "supported", reason, every
        return "contradicted" if 2 * len(alike) > len(pairs) else "undecided", reason, every


@dataclass(frozen=True, kw_only=True)
class OrderChanges(PaperFinding):
    """Ranking by the first metric instead of the second changes the order of methods in most settings.

    Of the methods that have both everywhere. Supported: in significantly more than half of the settings; contradicted: in
    significantly less.
    """

    def _found(self, evidence: Evidence) -> Found:
        lacking = [name for name in self.metrics if name not in evidence.metrics]
        if lacking:
            return _undecided(f"no {' and '.join(lacking)} among these numbers")
        both = [evidence.grid(name, averaged=self.averaged).values for name in self.metrics]
        settings = [name for name in both[0].index.intersection(both[1].index) if self.settings(str(name))]
        ranked = [table.loc[settings].dropna(axis="columns") for table in both]
        methods = ranked[0].columns.intersection(ranked[1].columns)
        if len(methods) < 2 or not settings:
            return _undecided("fewer than two methods have numbers of both")
        a, b = (table[methods].rank(axis=1) for table in ranked)
        changed = int((a != b).any(axis=1).sum())
        (found,) = _corrected({f"order of {len(methods)} methods changed": share_of(changed, len(settings))})
        verdict: Verdict = "supported" if found.more else "contradicted" if found.less else "undecided"
        return verdict, f"in {changed} of {len(settings)} settings", [found]


@dataclass(frozen=True, kw_only=True)
class MetricsDisagree(PaperFinding):
    """Metrics of one criterion disagree about where a method stands.

    A case is a method in a criterion and a cell (a network on a data set); metrics agree on it if their ranks scatter
    significantly less than random ones, by `random_agreement`, which is LATEC's own test. Supported: they agree in
    significantly less than half of the cases; contradicted: in significantly more.
    """

    def _found(self, evidence: Evidence) -> Found:
        if evidence.scores is None:
            return _undecided("no scores by metric among these numbers")
        agreed = random_agreement(evidence.scores, cell="cell").dropna(subset="p_value")["consistent"]
        (found,) = _corrected({"metrics agree on a method": share_of(int(agreed.sum()), len(agreed))})
        verdict: Verdict = "supported" if found.less else "contradicted" if found.more else "undecided"
        return verdict, f"in {int(agreed.sum())} of {len(agreed)} cases", [found]


@dataclass(frozen=True, kw_only=True)
class NeedsOtherRuns(PaperFinding):
    """What no benchmark of the harness can decide, and why: always undecided."""

    why: str

    def _found(self, evidence: Evidence) -> Found:
        return _undecided(self.why)


def _undecided(reason: str) -> Found:
    return "undecided", reason, ()


def _pairs(grid: SettingTable, ours: Callable[[str], bool], theirs: Callable[[str], bool]) -> list[tuple[str, str]]:
    names = [str(name) for name in grid.values]
    return [(a, b) for a, b in product(filter(ours, names), filter(theirs, names)) if a != b]


def _compared(grid: SettingTable, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], SettingCount]:
    shares = {pair: share_of_wins(_difference(grid.values, *pair)) for pair in pairs}
    said = _corrected({f"{a} better than {b}": share for (a, b), share in shares.items()})
    return dict(zip(shares, said, strict=True))


def _difference(values: pd.DataFrame, a: str, b: str) -> pd.Series[float]:
    return values[a] - values[b]


def _corrected(shares: dict[str, Share]) -> list[SettingCount]:
    import numpy as np

    adjusted = holm(np.array([share.p_value for share in shares.values()]))
    return [SettingCount(about, share, float(p)) for (about, share), p in zip(shares.items(), adjusted, strict=True)]


def _different_gains(grid: SettingTable, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], float]:
    """p-value, corrected for all pairs, of equal gains in all settings; only pairs of which the errors are known."""
    import numpy as np

    found = {}
    for a, b in pairs:
        errors, runs = ((table[a], table[b]) for table in (grid.errors, grid.runs))
        found[a, b] = heterogeneity(_difference(grid.values, a, b), errors, runs)
    known = {pair: p for pair, p in found.items() if np.isfinite(p)}
    return dict(zip(known, holm(np.array(list(known.values()))).tolist(), strict=True))


def _reliable(each: SettingCount) -> bool:
    return each.more and each.share.high >= RELIABLE


def _first(one: SettingCount, every: Sequence[SettingCount]) -> list[SettingCount]:
    return [one, *(each for each in every if each is not one)]
