"""`board build`: a pure function of the files in a checkout, the same bytes every time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from harness.boards.render import board_csv, board_markdown
from harness.boards.scores import Scores, columns_of, submission_scores
from harness.boards.submissions import read_submissions
from harness.data.catalog import Protocol
from harness.metrics.registry import METRICS
from harness.ranking.uncertainty import rank_with_uncertainty
from harness.spec.board import Board, Cell, Row, Unranked
from harness.spec.errors import UsageError
from harness.storage import IntegrityError, read_json, write_json, write_text
from harness.tracks.confidence.scoring import interval

Ranks = Mapping[str, Mapping[str, Mapping[str, int]]]
"""column -> method -> rank, rank_low, rank_high, group."""

SIGNIFICANT_DIGITS = 6

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Standings:
    """Scores of all complete methods, and why the others are not ranked."""

    scores: tuple[Scores, ...]
    unranked: tuple[Unranked, ...]


def build_board(protocol: Protocol, progress: Progress = lambda done, total: None) -> Board:
    """Score and rank all submissions to a benchmark."""
    standings = read_standings(protocol, progress)
    columns = columns_of(protocol)
    metric = METRICS[protocol.benchmark.primary]
    tables = {column: rank_column(standings.scores, column, metric.lower_is_better) for column in columns}
    rows = [_row(scores, columns, tables, metric.display_scale) for scores in standings.scores]
    rows.sort(key=lambda row: (row.cells[columns[-1]].rank or 0, row.method))
    return Board(
        benchmark=protocol.benchmark.name,
        benchmark_hash=protocol.hash,
        metric=metric.id,
        lower_is_better=metric.lower_is_better,
        scale=metric.display_scale,
        columns=columns,
        groups={column: max((row["group"] for row in table.values()), default=0) for column, table in tables.items()},
        rows=tuple(rows),
        unranked=standings.unranked,
    )


def write_board(board: Board, protocol: Protocol) -> tuple[str, ...]:
    """Write `board.json`, `.csv` and `.md` beside the benchmark's file. Returns their paths."""
    folder = protocol.path.parent
    write_json(folder / "board.json", board.canonical())
    write_text(folder / "board.csv", board_csv(board))
    write_text(folder / "board.md", board_markdown(board, protocol.benchmark))
    return tuple(str(folder / f"board.{ending}") for ending in ("json", "csv", "md"))


def read_standings(protocol: Protocol, progress: Progress = lambda done, total: None) -> Standings:
    """Score every submission that this benchmark can rank, telling `progress` how many are done of how many."""
    readable, unreadable = read_submissions(protocol.benchmark.name)
    unranked = [Unranked(method=name, reason=reason) for name, reason in unreadable.items()]
    scores = []
    for done, submission in enumerate(readable):
        progress(done, len(readable))
        name = submission.about.name
        if submission.about.benchmark_hash != protocol.hash:
            unranked.append(Unranked(method=name, reason="made for another state of the benchmark (its hash differs)"))
            continue
        try:
            found = submission_scores(protocol, submission)
        except (IntegrityError, UsageError) as error:
            unranked.append(Unranked(method=name, reason=str(error)))
            continue
        if found.complete:
            scores.append(found)
        else:
            unranked.append(Unranked(method=name, reason=f"{found.scored} of {found.planned} units are there"))
    return Standings(tuple(scores), tuple(sorted(unranked, key=lambda each: each.method)))


def rank_column(scores: tuple[Scores, ...], column: str, lower_is_better: bool) -> dict[str, dict[str, int]]:
    """method -> rank, rank_low, rank_high, group, best first; reference rows take no rank."""
    import pandas as pd

    competitors = [each for each in scores if not each.method.reference]
    if not competitors:
        return {}
    values = pd.Series({each.method.name: each.values[column] for each in competitors}, dtype=float)
    replicates = pd.DataFrame({each.method.name: each.replicates[column] for each in competitors})
    table = rank_with_uncertainty(values, replicates, lower_is_better=lower_is_better)
    ranks = table[["rank", "rank_low", "rank_high", "group"]].astype(int)
    return {str(name): {str(key): int(value) for key, value in row.items()} for name, row in ranks.iterrows()}


def _row(scores: Scores, columns: tuple[str, ...], tables: Ranks, scale: float) -> Row:
    cells = {}
    for column in columns:
        value = scores.values[column]
        low, high = interval(scores.replicates[column])
        cells[column] = Cell(
            value=_rounded(value * scale),
            low=_rounded(low * scale),
            high=_rounded(high * scale),
            **tables[column].get(scores.method.name, {}),
        )
    return Row(
        method=scores.method.name,
        version=scores.method.version,
        head=scores.method.head,
        reference=scores.method.reference,
        units=f"{scores.scored}/{scores.planned}",
        cells=cells,
    )


def _rounded(value: float) -> float:
    """Six significant digits: what remains the same when another processor adds in another order."""
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")


def read_board(protocol: Protocol) -> Board:
    """The board as last built. Raises UsageError if there is none, IntegrityError if it is damaged."""
    path = protocol.path.parent / "board.json"
    if not path.is_file():
        raise UsageError(
            f"{protocol.benchmark.name} has no board yet; run: harness board build {protocol.benchmark.name}"
        )
    try:
        return Board.model_validate(read_json(path))
    except ValidationError as error:
        raise IntegrityError(f"{path} is not a board: {error.errors()[0]['msg']}; build it again.") from error
