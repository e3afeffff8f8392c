"""What a run on one device says beside a run on another, as rows of tables: measured, and agreeing or not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from harness.boards.repetition import OutputComparison
from harness.execution.answers import measured, outputs_id
from tests.performance.gpu.units import Case, CaseRun, Ran

TRAINED = 0.15
"""Of a performance, in [0, 1]: how far campaigns may be apart whose networks were trained on different devices. Those are
other networks, as those of other seeds are: on the boards of the embedded benchmarks, these performances have standard
deviations of up to 0.039 between seeds, and a difference of two has 0.055. This is not quite three of these."""
PERFORMANCES = ("aubc", "final_performance")
_START = "picks.0"


@dataclass(frozen=True)
class Row:
    """A line of a table, and what is wrong, if anything."""

    cells: tuple[str, ...]
    problems: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        return "; ".join(self.problems) or "ok"


def measured_rows(case: Case, *runs: CaseRun) -> Iterator[Row]:
    """A row for each unit: seconds and memory in each run."""
    for label in runs[0].units:
        found = [each.units[label] for each in runs]
        seconds, memory = (
            " / ".join(f"{value:.1f}" for value in each) for each in zip(*map(_costs, found), strict=True)
        )
        cards = [each.card for each in found if each.card is not None]
        problems = [f"{each.end.result.status}: {each.end.result.reason}" for each in found if not each.ok]
        card = f"{max(cards):.2f}" if cards else "–"
        yield Row((case.kind, label, found[-1].end.fence or "–", seconds, memory, card), tuple(problems))


def compared_rows(case: Case, what: str, one: CaseRun, other: CaseRun, *, trained: bool) -> Iterator[Row]:
    """A row for each output of the units, or, where the networks of both were trained on different devices, for each
    performance: the largest difference and what is allowed."""
    if trained:
        yield from _performances(case, what, one, other)
        return
    comparison, problems = OutputComparison(other.track, None), []
    for label, again in other.units.items():
        before = one.units[label]
        found = [*comparison.differences(before.answers, again.answers, again.end.result)]
        if not found and before.answers is not None and again.answers is not None:
            found = [*comparison.worth(again.unit, before.answers, again.answers)]
        problems += [f"{label}: {sentence}" for sentence in found]
    whole = sum(
        outputs_id(each.answers) == outputs_id(one.units[label].answers) for label, each in _answered(other, one)
    )
    for name, each in _gathered(comparison):
        difference = "no number" if each.found is None else f"{each.found:.1e}"
        forked = f", {each.forked} values more" if each.forked else ""
        yield Row((case.kind, what, name, difference + forked, f"{each.allowed:g} ({each.reason})"))
    same = f"{whole} of {len(other.units)} units byte for byte"
    yield Row((case.kind, what, "all outputs", same, "as the kind of method says"), tuple(problems))


def _performances(case: Case, what: str, one: CaseRun, other: CaseRun) -> Iterator[Row]:
    for label, again in other.units.items():
        before = one.units[label]
        if before.answers is None or again.answers is None:
            yield Row((case.kind, what, label, "no answers", "–"), ("a campaign has no answers",))
            continue
        same = (before.answers[_START] == again.answers[_START]).all()
        problem = () if same else ("campaigns start with other samples",)
        yield Row((case.kind, what, f"{label}: start", "equal" if same else "differs", "equal"), problem)
        values = [_scores(one.track, before), _scores(other.track, again)]
        for name in PERFORMANCES:
            old, new = (each.get(name) for each in values)
            apart = float("inf") if old is None or new is None else abs(old - new)
            wrong = () if apart <= TRAINED else (f"{name} of {label} is {new}, and was {old}",)
            yield Row((case.kind, what, f"{label}: {name}", f"{apart:.3f}", f"{TRAINED:g} (other networks)"), wrong)


def _scores(track: object, ran: Ran) -> dict[str, float | None]:
    assert ran.answers is not None
    return {name: each.value for name, each in measured(track, ran.unit, ran.answers).scores.items()}  # type: ignore[arg-type]


def _answered(run: CaseRun, beside: CaseRun) -> Iterable[tuple[str, Ran]]:
    return [
        (label, each)
        for label, each in run.units.items()
        if each.answers is not None and beside.units[label].answers is not None
    ]


def _gathered(comparison: OutputComparison) -> Iterator[tuple[str, object]]:
    """Allowances, of many outputs of one sort the largest: `score.*`, `picks.*`."""
    largest: dict[str, object] = {}
    for name, each in comparison.allowances.items():
        sort = re.sub(r"\..+$", ".*", name)
        before = largest.get(sort)
        if before is None or (each.found or 0.0) > (before.found or 0.0):  # type: ignore[attr-defined]
            largest[sort] = each
    yield from largest.items()


def _costs(ran: Ran) -> tuple[float, float]:
    return ran.seconds, ran.end.memory or 0.0
