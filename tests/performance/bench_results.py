"""What `make bench` writes: tables of this harness beside something else, and a plot of how many times better it is.

    results = Results("Boards: processor time", packages=("torch", "numpy"))
    results.table("board", "s", "limit", [Row("200 submissions", 12.3, 20.0)])
    results.write(Path("runs/bench"), "boards")

Machine and versions stand in the head. Each row is printed as soon as it is measured.
"""

from __future__ import annotations

import importlib.metadata
import math
import platform
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path("runs/bench")


@dataclass(frozen=True)
class Row:
    """A quantity of which less is better (seconds, bytes), of the harness and of what it is compared with.

    target: how many times better the harness shall be; 1 where `other` is what it may take at most. note: for the
    table's last column.
    """

    name: str
    ours: float
    other: float
    target: float = 1.0
    note: str = ""

    @property
    def times(self) -> float:
        return self.other / self.ours if self.ours else math.inf

    @property
    def reached(self) -> bool:
        return self.times >= self.target


class Results:
    """A page of tables. packages: those whose versions stand in the head, of which a missing one is left out."""

    def __init__(self, title: str, packages: Iterable[str] = ()) -> None:
        self.rows: list[Row] = []
        self._lines: list[str] = []
        self.say(f"# {title}\n\n{head(packages)}")

    def say(self, text: str) -> None:
        """Print a paragraph and keep it for the page."""
        print(f"{text}\n", flush=True)
        self._lines.append(f"{text}\n")

    def table(self, what: str, unit: str, other: str, rows: Iterable[Row], note: str = "") -> list[Row]:
        """Print and keep a table of rows, of which each may be measured only when it is asked for; answers with them.

        what: names the rows. other: names what the harness is compared with. note: heads the last column.
        """
        lines = [f"| {what} | harness, {unit} | {other}, {unit} | times better | target | | {note} |"]
        lines.append("|---|--:|--:|--:|--:|---|--:|")
        print("\n".join(lines), flush=True)
        measured = []
        for row in rows:
            verdict = "reached" if row.reached else "**missed**"
            numbers = f"{row.ours:.3g} | {row.other:.3g} | {row.times:.2f} | {row.target:g}"
            lines.append(f"| {row.name} | {numbers} | {verdict} | {row.note} |")
            print(lines[-1], flush=True)
            measured.append(row)
        print(flush=True)
        self._lines.append("\n".join(lines) + "\n")
        self.rows += measured
        return measured

    def write(self, folder: Path, name: str) -> None:
        """Write `name`.md, and `name`.svg of all rows."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.md").write_text("\n".join(self._lines), encoding="utf-8")
        plot(self.rows, folder / f"{name}.svg")


def head(packages: Iterable[str] = ()) -> str:
    """Machine, Python, versions of packages, and the day, as one line."""
    versions = []
    for name in packages:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    said = ", ".join([f"Python {platform.python_version()}", *versions])
    return f"{_processor()}; {platform.system()}; {said}; {time.strftime('%Y-%m-%d')}"


def plot(rows: list[Row], path: Path) -> None:
    """How many times better, with the target of each row as a line."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.25 * len(rows) + 1), layout="constrained")
    axes = figure.subplots()
    colours = ["tab:blue" if row.reached else "tab:orange" for row in rows]
    axes.barh([row.name for row in rows], [row.times for row in rows], color=colours)
    axes.plot([row.target for row in rows], [row.name for row in rows], "k|", markersize=10, label="target")
    axes.set(xscale="log", xlabel="times better (orange: target missed)")
    axes.invert_yaxis()
    axes.legend()
    figure.savefig(path)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (named or [platform.processor() or platform.machine()])[0]
