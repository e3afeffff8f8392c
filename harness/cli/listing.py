"""`harness list`: what there is, by kind of method, one line each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from harness.cli import options
from harness.cli.output import say, say_columns, say_json

_LISTED = {
    "benchmarks": ("benchmark", "what"),
    "methods": ("method", "version", "what"),
    "metrics": ("metric", "better", "criterion", "source"),
}
"""What a line shows; `--json` has all that is known."""


def listing(
    kind: Annotated[str, typer.Argument(help=f"what to list: {', '.join(_LISTED)}")] = "benchmarks",
    task: Annotated[
        str | None, typer.Option(help="only this kind: confidence, query, attribution or attribution-metric")
    ] = None,
    json: options.AsJson = False,
) -> None:
    """List the bundled benchmarks, the methods that come along or are installed, or the metrics.

    Example: harness list methods --task confidence
    """
    from harness.spec.errors import unknown
    from harness.spec.kinds import kinds

    if task is not None and task not in kinds():
        raise unknown("kind of methods", task, kinds())
    listed = {"benchmarks": _benchmarks, "methods": _methods, "metrics": _metrics}
    if kind not in listed:
        raise unknown("list", kind, listed)
    rows = [row for row in listed[kind]() if task in (None, row["task"])]
    if json:
        say_json(rows)
        return
    names = _LISTED[kind]
    for each in (task,) if task else (*kinds(), *sorted({row["task"] for row in rows} - {*kinds()})):
        if own := [row for row in rows if row["task"] == each]:
            say(str(each), "bold")
            say_columns([[row[name] for name in names] for row in own], indent=2)


def _benchmarks() -> Iterator[dict[str, str]]:
    from harness.data.catalog import benchmark_files, load_protocol

    for name, path in benchmark_files().items():
        protocol = load_protocol(path)
        benchmark = protocol.benchmark
        yield {
            "benchmark": name,
            "task": benchmark.task,
            "status": benchmark.status,
            "title": benchmark.title,
            "what": benchmark.title if benchmark.status == "open" else f"({benchmark.status}) {benchmark.title}",
            "studies": str(len(benchmark.studies)),
            "hash": protocol.hash[:12],
        }


def _methods() -> Iterator[dict[str, str]]:
    from harness.methods.discovery import baseline_names, find_method, plugin_names

    for name in (*baseline_names(), *plugin_names()):
        spec = find_method(name).spec
        yield {"method": name, "task": spec.task, "version": spec.version, "what": spec.summary}


def _metrics() -> Iterator[dict[str, str]]:
    from harness.metrics.facts import metric_facts
    from harness.spec.kinds import kinds, load

    owners = {fact.id: kind.task for kind in kinds().values() if kind.metrics for fact in load(kind.metrics)}
    for metric in metric_facts().values():
        if metric.lower_is_better is not None:
            yield {
                "metric": metric.id,
                "task": owners[metric.id],
                "criterion": metric.criterion,
                "better": "lower" if metric.lower_is_better else "higher",
                "range": "{:g} to {:g}".format(*metric.range),
                "needs": ", ".join(metric.needs),
                "source": metric.citation,
            }
