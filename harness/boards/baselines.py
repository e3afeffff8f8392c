"""Baselines as submissions: made by the same runs as anybody's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.boards.submissions import submissions_folder, write_submission
from harness.data.catalog import Protocol
from harness.execution.evaluate import Listener, Request, prepare, run
from harness.methods.discovery import baseline_names

AUTHORS = ("The reliabench developers",)


def submit_baselines(
    protocol: Protocol, out: Path, listener: Listener, names: Sequence[str] | None = None
) -> Iterator[tuple[str, str]]:
    """Run baselines, by default all of the benchmark's kind, and store them. Yields each name, and where it lies or why not."""
    for name in names or baseline_names(protocol.benchmark.task):
        prepared = prepare(Request(method=name, benchmark=protocol.benchmark.name, out=out))
        result = run(prepared, listener.observer)
        if not result.complete:
            yield name, f"not stored: {result.failed[0].reason}"
            continue
        folder = submissions_folder(protocol.benchmark.name) / name
        write_submission(result, prepared.track, prepared.plan.units, folder, AUTHORS)
        yield name, str(folder)
