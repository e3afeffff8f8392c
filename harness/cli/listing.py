"""`harness list`: what there is."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from harness.cli import options
from harness.cli.output import print_table, say_json

_WIDE = 120  # columns of a terminal, from which on there is room for ranges and sources of metrics
_LONG = ("needs", "source", "title", "what")  # texts that may take several lines


class ListTopic(str, Enum):
    """What can be listed."""

    benchmarks = "benchmarks"
    methods = "methods"
    metrics = "metrics"


def listing(
    kind: Annotated[ListTopic, typer.Argument(help="what to list")] = ListTopic.benchmarks,
    json: options.AsJson = False,
) -> None:
    """List the bundled benchmarks, the methods that come along or are installed, or the metrics.

    Example: harness list methods
    """
    from rich.console import Console

    rows = {ListTopic.benchmarks: _benchmarks, ListTopic.methods: _methods, ListTopic.metrics: _metrics}[kind]()
    if json:
        say_json(rows)
        return
    wide = Console().width >= _WIDE
    headings = [name for name in (rows[0] if rows else ["nothing"]) if wide or name not in ("range", "source")]
    print_table(
        {name: {"no_wrap": name not in _LONG, "overflow": "fold"} for name in headings},
        [[row[name] for name in headings] for row in rows],
        title=kind.value,
        framed=True,
    )


def _benchmarks() -> list[dict[str, str]]:
    from harness.data.catalog import benchmark_files, load_protocol

    rows = []
    for name, path in benchmark_files().items():
        protocol = load_protocol(path)
        benchmark = protocol.benchmark
        rows.append(
            {"benchmark": name, "task": benchmark.task, "status": benchmark.status, "title": benchmark.title}
            | {"studies": str(len(benchmark.studies)), "hash": protocol.hash[:12]}
        )
    return rows


def _methods() -> list[dict[str, str]]:
    from harness.methods.discovery import baseline_names, find_method, plugin_names

    rows = []
    for name in (*baseline_names(), *plugin_names()):
        spec = find_method(name).spec
        rows.append({"method": name, "task": spec.task, "version": spec.version, "what": spec.summary})
    return rows


def _metrics() -> list[dict[str, str]]:
    from harness.metrics.facts import metric_facts

    return [
        {
            "metric": metric.id,
            "criterion": metric.criterion,
            "better": "lower" if metric.lower_is_better else "higher",
            "range": "{:g} to {:g}".format(*metric.range),
            "needs": ", ".join(metric.needs),
            "source": metric.citation,
        }
        for metric in metric_facts().values()
        if metric.lower_is_better is not None
    ]
