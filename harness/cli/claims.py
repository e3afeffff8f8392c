"""`harness claims`: the findings of papers, held against numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options
from harness.cli.output import LEFT, RIGHT, print_table, say, say_json

if TYPE_CHECKING:
    from harness.boards.findings.judgement import Comparison, Judgement

_STYLES = {"supported": "green", "contradicted": "red", "undecided": "dim"}


def claims(
    targets: Annotated[
        list[str] | None, typer.Argument(help="a benchmark, or folders of runs on one; default: all published numbers")
    ] = None,
    benchmark: options.OwnBenchmark = None,
    details: Annotated[bool, typer.Option("--details", help="every comparison behind a finding")] = False,
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
    columns = ("holds in", "share", "95 % interval", "p")
    heads = {"finding": LEFT, "numbers": LEFT, **dict.fromkeys(columns, RIGHT), "verdict": LEFT}
    print_table(heads, [_row(each) for each in found])
    for each in found:
        say(f"{each.finding} ({each.paper}): {each.claim}")
        say(f"  {each.verdict} by {each.evidence}: {each.reason}", _STYLES[each.verdict])
        if details and each.comparisons:
            print_table({"": LEFT, **dict.fromkeys(columns, RIGHT)}, map(_compared, each.comparisons))


def _row(judgement: Judgement) -> list[str]:
    style = _STYLES[judgement.verdict]
    numbers = _compared(judgement.comparisons[0])[1:] if judgement.comparisons else ["–"] * 4
    return [judgement.finding, judgement.evidence, *numbers, f"[{style}]{judgement.verdict}[/]"]


def _compared(each: Comparison) -> list[str]:
    share = each.share
    value = "–" if not share.trials else f"{share.share:.2f}"
    return [each.about, f"{share.count} of {share.trials}", value, f"{share.low:.2f} to {share.high:.2f}", f"{each.p_value:.2g}"]


def _plain(judgement: Judgement) -> dict[str, object]:
    """As JSON: a share of no settings is null."""
    from dataclasses import asdict

    plain = asdict(judgement)
    for each in plain["comparisons"]:
        if not each["share"]["trials"]:
            each["share"]["share"] = None
    return plain
