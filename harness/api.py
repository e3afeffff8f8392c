"""The Python mirror of the command line."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.execution.child import read_no_further
from harness.execution.evaluate import Request
from harness.execution.evaluate import evaluate as _evaluate
from harness.execution.run_result import RunResult as _RunResult
from harness.methods.interface import DECLARATION
from harness.spec.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


class Result(_RunResult):
    """A sealed run, with what a notebook shows of it."""

    def board(self) -> pd.DataFrame | str:
        """The run's place in every column of its board, one row a column: rank with its interval, value, and who is not
        told apart; or why it has none."""
        import pandas as pd

        from harness.boards.place import place_of

        places = place_of(self)
        return places if isinstance(places, str) else pd.DataFrame([vars(each) for each in places]).set_index("column")

    def plot(self, metric: str | None = None) -> Axes:
        """A metric (by default the first) of every study over all seeds, with its 95 % interval, by matplotlib."""
        import numpy as np
        from matplotlib import pyplot

        from harness.metrics.facts import metric_facts

        frame = self.to_frame(summary=True)
        frame = frame[frame["value"].notna()]
        names = [name for name in dict.fromkeys(frame["metric"]) if metric_facts()[name].lower_is_better is not None]
        if not names or (metric is not None and metric not in names):
            raise UsageError(
                f"this run has no scores of {metric or 'any metric'}; it has: {', '.join(names) or 'none'}."
            )
        fact = metric_facts()[metric or names[0]]
        shown = frame[frame["metric"] == fact.id].iloc[::-1]
        values, low, high = (shown[name].to_numpy() * fact.scale for name in ("value", "low", "high"))
        axes = pyplot.subplots(figsize=(6, 1 + 0.35 * len(shown)))[1]
        axes.errorbar(values, shown["study"], xerr=np.abs([values - low, high - values]), fmt="o", capsize=3)
        axes.set_xlabel(fact.heading + (f" × {fact.scale:g}" if fact.scale != 1 else ""))
        axes.set_title(f"{self.document.spec.method.name} on {self.document.spec.benchmark}")
        return axes

    def __repr__(self) -> str:
        spec, units = self.document.spec, self.document.units
        scored = sum(unit.status == "ok" for unit in units)
        return (
            f"<RunResult {spec.method.name} on {spec.benchmark}: {scored} of {len(units)} units scored, {self.folder}>"
        )

    def _repr_html_(self) -> str:
        """Study by metric, as notebooks show it."""
        from html import escape

        from harness.metrics.facts import metric_facts

        rows = [row for row in self.document.summary if row.part_of is None]
        studies = list(dict.fromkeys(row.study for row in rows))
        cells = {(row.metric, row.study): row for row in rows}

        def shown(metric: str, study: str) -> str:
            row, text = cells.get((metric, study)), metric_facts()[metric].text
            if row is None or row.value is None:
                return "<td>–</td>"
            interval = (
                "" if row.low is None or row.high is None else f"<br><small>{text(row.low)}–{text(row.high)}</small>"
            )
            return f"<td>{text(row.value)}{interval}</td>"

        head = "".join(f"<th>{escape(study)}</th>" for study in studies)
        body = "".join(
            f"<tr><th>{escape(metric_facts()[metric].heading)}</th>{''.join(shown(metric, study) for study in studies)}</tr>"
            for metric in dict.fromkeys(row.metric for row in rows)
        )
        return f"<p>{escape(repr(self)[1:-1])}</p><table><tr><th></th>{head}</tr>{body}</table>"


RunResult = Result
"""As users know it."""


def evaluate(
    method: str | Path | Any, benchmark: str | None = None, *, progress: bool = True, **options: Any
) -> RunResult:
    """Run a method under a benchmark's protocol, as `harness evaluate` does.

    method: what the command line takes (file, `file.py:name`, `package/name`, a baseline's name), or a
        decorated function or class that is defined at the top level of a file.
    benchmark: `id`, `id@version` or the path of a `.toml`; by default the embedded one.
    options, as on the command line: out (folder for runs), limit (samples of each set), seed, device
        ("auto", "cpu", "cuda"), workers, timeout (seconds a call), memory (GiB), fresh (start over), fence, allow_read
        (files and folders that the method may read beside its own folder).

    progress: whether to show on standard error what is being done: checks and a bar in a terminal or a notebook, else a
        line at least every 30 s.

    A script may define the method and call this, too: the method's process reads it as far as the call.

    Raises UsageError with one sentence for a mistake to mend. Units that fail are part of the result.
    """
    read_no_further()
    unknown = set(options) - set(Request.__dataclass_fields__)
    if unknown:
        raise UsageError(f"evaluate has no option {', '.join(sorted(unknown))}; see harness.evaluate's documentation.")
    if "out" in options:
        options["out"] = Path(options["out"])
    if "allow_read" in options:
        options["allow_read"] = tuple(map(Path, options["allow_read"]))
    from harness.cli.progress import run_bar

    request = Request(method=target_of(method), benchmark=benchmark, **options)
    with run_bar("checking the method", quiet=not progress) as bar:
        result = _evaluate(request, bar.listener)
    return RunResult(result.document, result.folder, result._answers, result._scored)


def target_of(method: str | Path | Any) -> str:
    """How the command line would name a method."""
    if isinstance(method, str | Path):
        return str(method)
    if not hasattr(method, DECLARATION):
        raise UsageError(f"{method!r} is neither a name nor decorated; put @confidence_score above its definition.")
    if not hasattr(method, "__qualname__"):
        name = type(method).__name__
        raise UsageError(f"{method!r} is an object of {name}; give the class itself: harness.evaluate({name}).")
    try:
        path = inspect.getsourcefile(method)
    except (TypeError, OSError):  # OSError: of a class whose module has no file
        path = None
    if path is None or not Path(path).is_file():
        raise UsageError(
            f"{method.__qualname__} was not defined in a file, so a fresh process cannot load it; in a notebook, put "
            '`%%writefile my_method.py` in the first line of its cell, run it, and evaluate "my_method.py".'
        )
    return f"{path}:{method.__qualname__}"
