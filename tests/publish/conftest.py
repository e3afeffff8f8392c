from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.execution.evaluate import Listener, Request, prepare, run
from harness.execution.run_result import RunResult
from tests.hub_server.fixtures import hub
from tests.tracks.attribution.support import write_benchmark

__all__ = ["hub"]


@dataclass(frozen=True)
class Workshop:
    """Real runs of two methods on a benchmark in miniature."""

    benchmark: Path
    runs: tuple[RunResult, ...]

    @property
    def folders(self) -> list[Path]:
        return [each.folder for each in self.runs]


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    folder = tmp_path_factory.mktemp("workshop")
    kept = os.environ.get("HARNESS_CACHE")
    os.environ["HARNESS_CACHE"] = str(folder / "cache")
    try:
        path = write_benchmark(folder)
        made = []
        for method in ("saliency", "input-x-gradient"):
            prepared = prepare(Request(method=method, benchmark=str(path), out=folder / "runs", workers=1))
            made.append(run(prepared, Listener().observer))
        return Workshop(path, tuple(made))
    finally:
        os.environ.pop("HARNESS_CACHE")
        if kept is not None:
            os.environ["HARNESS_CACHE"] = kept
