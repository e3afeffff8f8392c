"""Baselines whose source was written anew since they were submitted answer as the source that their rows stand for."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.boards.sources import find_source
from harness.boards.submissions import StoredSubmission, read_submissions
from harness.data.catalog import bundled_folder
from harness.methods.discovery import find_method, load_baseline
from harness.tracks.attribution_metric.host import _own_metric
from tests.methods.attribution.nets import network, samples, surroundings
from tests.methods.query.support import asked
from tests.methods.query.test_contract import images, volumes
from tests.methods.tasks import Task, confidence


def written_anew() -> Iterator[tuple[str, StoredSubmission]]:
    """Those of the same version; one of a new version will replace its row."""
    for benchmark in sorted(path.name for path in bundled_folder("submissions").iterdir()):
        for each in read_submissions(benchmark)[0]:
            shipped, submitted = find_method(each.about.name).spec, each.about.method
            if shipped.version == submitted.version and shipped.source_sha256 != submitted.source_sha256:
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
    if task == "attribution-metric":
        yield from (scores(method, modality) for modality in ("image", "volume", "point-cloud"))
        return
    if task == "attribution":
        yield from (maps(method, modality) for modality in ("image", "volume", "point-cloud"))
        return
    assert task == "query", "say how methods of this kind are compared"
    pools = [volumes(folder, 0, oracle)] if "segmentation" in tasks else []
    pools += [images(folder, 0)] if "classification" in tasks else []
    for pool, budget in product(pools, (1, 5, 8, 12)):
        yield from (asked(method, pool, loop=loop, budget=budget) for loop in range(pool["loops"]))


def scores(method: Any, modality: str) -> list[float]:
    """What a metric says of gradients."""
    (net, anatomy), (inputs, targets) = network(modality, "cnn"), samples(modality)
    inputs.requires_grad_()
    (maps,) = torch.autograd.grad(net(inputs)[range(4), targets].sum(), inputs)
    context = surroundings(net, modality, "cnn", anatomy, metrics=partial(_own_metric, 0))
    call = load_baseline(find_method(method).spec) if isinstance(method, str) else method
    values: list[float] = call(net, inputs.detach(), targets, maps, context).tolist()
    return values


def maps(method: Any, modality: str) -> np.ndarray:
    """A method's maps of a network with batch norm."""
    pytest.importorskip("captum")
    (net, anatomy), (inputs, targets) = network(modality, "cnn"), samples(modality)
    context = surroundings(net, modality, "cnn", anatomy)
    call = load_baseline(find_method(method).spec) if isinstance(method, str) else method
    wanted = [context] if "context" in inspect.signature(call).parameters else []
    return np.asarray(call(net, inputs, targets, *wanted).detach())


@pytest.mark.parametrize("name", SUBMITTED)
def test_it_answers_the_same_and_declares_the_same(tmp_path: Path, name: str) -> None:
    submitted = SUBMITTED[name].about.method
    shipped = find_method(submitted.name).spec
    assert shipped.model_copy(update={"source_sha256": submitted.source_sha256}) == submitted
    about = (shipped.task, getattr(shipped, "tasks", ()), shipped.oracle, tmp_path)
    then, now = (list(answers(method, *about)) for method in (stored(SUBMITTED[name]), shipped.name))
    if shipped.task == "attribution":  # sums may be taken in another order
        then = [pytest.approx(each, rel=0, abs=1e-5 * float(np.abs(each).max())) for each in then]
    assert then == now
    assert len(now) >= 1
