"""Baselines as submissions: made by the same runs as anybody's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

from harness.boards.disclosure import Disclosure, found_hardware
from harness.boards.sources import share_source
from harness.boards.submissions import ABOUT, read_about, submissions_folder, write_about, write_submission
from harness.data.catalog import LoadedBenchmark
from harness.execution.evaluate import Listener, Request, prepare, run
from harness.methods.discovery import baseline_names

AUTHORS = ("The reliabench developers",)
LICENCE = "Apache-2.0"
TRAINING_DATA = "none beyond the benchmark's reference sets"
_NOTHING_TO_CITE = "none: part of the harness"
_OF_THE_FIRST_RUN = ("submitted", "hardware", "cost")


def submit_baselines(
    protocol: LoadedBenchmark, out: Path, listener: Listener, names: Sequence[str] | None = None
) -> Iterator[tuple[str, str]]:
    """Run baselines, by default all of the benchmark's kind, and store them. Yields each name, and where it lies or why not.

    One whose outputs are those it had keeps its date and its cost, so that a board does not change with the day on
    which it is made.
    """
    hardware = found_hardware()
    for name in names or baseline_names(protocol.benchmark.task):
        prepared = prepare(Request(method=name, benchmark=protocol.benchmark.name, out=out))
        result = run(prepared, listener.observer)
        if not result.complete:
            yield name, f"not stored: {(result.failed or result.not_applicable)[0].reason}"
            continue
        folder = submissions_folder(protocol.benchmark.name) / name
        earlier = read_about(folder) if (folder / ABOUT).is_file() else None
        citation = prepared.method.spec.citation or _NOTHING_TO_CITE
        disclosure = Disclosure(AUTHORS, LICENCE, citation, TRAINING_DATA, hardware)
        about = write_submission(result, prepared.track, prepared.plan.units, folder, disclosure, date.today())
        if earlier is not None and earlier.outputs == about.outputs:
            kept = {each: getattr(earlier, each) for each in _OF_THE_FIRST_RUN if getattr(earlier, each)}
            write_about(folder, about.model_copy(update=kept))
        share_source(folder)
        yield name, str(folder)
