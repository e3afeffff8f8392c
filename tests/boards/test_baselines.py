"""Baselines whose source was written anew since they were submitted answer as the source that their rows stand for."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.boards.sources import find_source
from harness.boards.submissions import StoredSubmission, read_submissions
from harness.data.catalog import bundled_folder
from harness.methods.discovery import find_method
from tests.methods.query.support import asked
from tests.methods.query.test_contract import images, volumes
from tests.methods.tasks import Task, confidence


def written_anew() -> Iterator[tuple[str, StoredSubmission]]:
    for benchmark in sorted(path.name for path in bundled_folder("submissions").iterdir()):
        for each in read_submissions(benchmark)[0]:
            if find_method(each.about.name).spec.source_sha256 != each.about.method.source_sha256:
                yield f"{benchmark}/{each.about.name}", each


SUBMITTED = dict(written_anew())


def stored(submission: StoredSubmission) -> Any:
    """The decorated method in the source that the submission was made with."""
    path = find_source(submission.folder, submission.about)
    spec = importlib.util.spec_from_file_location(f"stored_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, submission.about.method.symbol)


def answers(method: Any, task: str, tasks: tuple[str, ...], oracle: bool, folder: Path) -> Iterator[Any]:
    """What a method, or the baseline of a name, says of made-up outputs or pools."""
    if task == "confidence":
        yield confidence(method, Task(np.random.default_rng(3))).tolist()
        return
    assert task == "query", "say how methods of this kind are compared"
    pools = [volumes(folder, 0, oracle)] if "segmentation" in tasks else []
    pools += [images(folder, 0)] if "classification" in tasks else []
    for pool, budget in product(pools, (1, 5, 8, 12)):
        yield from (asked(method, pool, loop=loop, budget=budget) for loop in range(pool["loops"]))


@pytest.mark.parametrize("name", SUBMITTED)
def test_it_answers_the_same_and_declares_the_same(tmp_path: Path, name: str) -> None:
    submitted = SUBMITTED[name].about.method
    shipped = find_method(submitted.name).spec
    assert shipped.model_copy(update={"source_sha256": submitted.source_sha256}) == submitted
    about = (shipped.task, getattr(shipped, "tasks", ()), shipped.oracle, tmp_path)
    then, now = (list(answers(method, *about)) for method in (stored(SUBMITTED[name]), shipped.name))
    assert then == now
    assert len(now) >= 1
