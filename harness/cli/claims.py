"""`harness claims`: the findings of papers, held against numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options
from harness.cli.output import LEFT, RIGHT, print_table, say, say_json

if TYPE_CHECKING:
    from harness.boards.findings.judgement import Judged, SettingCount

_TITLES = {"published": "On published numbers", "board": "On the board", "runs": "On these runs"}
_STYLES = {"supported": "green", "contradicted": "red", "undecided": "dim"}


def claims(
    targets: Annotated[
        list[str] | None, typer.Argument(help="a benchmark, or folders of runs on one; default: all published numbers")
    ] = None,
    benchmark: options.OwnBenchmark = None,
    details: Annotated[bool, typer.Option("--details", help="the rule of each finding and every comparison")] = False,
    json: options.AsJson = False,
) -> None:
    """Say what published numbers, a board or your own runs make of the findings that papers state.

    A finding is supported, contradicted or undecided: by the share of settings in which it holds, the share's exact 95 %
    interval, and the sign test, corrected for all comparisons of the finding. Settings are taken as independent.

    Example: harness claims query-realistic-al
    """
    from harness.boards.findings.evaluate import claims as judged

    found = judged(targets or [], benchmark)
    if json:
        say_json([_plain(each) for each in found])
        return
    for origin, title in _TITLES.items():
        of = [each for each in found if each.origin == origin]
        if of:
            _print(of, title, details)


def _print(found: list[Judged], title: str, details: bool) -> None:
    numbers = dict.fromkeys(("holds in", "95 %", "p"), RIGHT)
    heads = {"finding": LEFT, "benchmark": {"overflow": "fold"}, **numbers, "verdict": LEFT}
    print_table(heads, [_row(each) for each in found], title=title)
    for each in found:
        say(f"{each.finding} ({each.paper}): {each.claim}")
        say(f"  {each.verdict}: {each.reason}", _STYLES[each.verdict])
        if details:
            say(f"  {each.rule}", "dim")
        if details and each.comparisons:
            print_table({"": LEFT, **numbers}, map(_compared, each.comparisons))


def _row(judgement: Judged) -> list[str]:
    style = _STYLES[judgement.verdict]
    numbers = _compared(judgement.comparisons[0])[1:] if judgement.comparisons else ["–"] * 3
    return [judgement.finding, judgement.benchmark, *numbers, f"[{style}]{judgement.verdict}[/]"]


def _compared(each: SettingCount) -> list[str]:
    share = each.share
    interval = f"{share.low:.2f}–{share.high:.2f}"
    return [each.about, f"{share.count} of {share.trials}", interval, f"{each.p_value:.2g}"]


def _plain(judgement: Judged) -> dict[str, object]:
    """As JSON: a share of no settings is null."""
    from dataclasses import asdict

    plain = asdict(judgement)
    for each in plain["comparisons"]:
        if not each["share"]["trials"]:
            each["share"]["share"] = None
    return plain
