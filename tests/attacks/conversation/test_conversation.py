"""Every other file is a method that reads answers off how it is asked: order, company, number or sequence of calls.

A file's docstring says how, `STATUS` and `SAYS` what must come of every unit. Those on confidence are also asked as users
would, set by set in the order of the file, which shows what they are after: nearly all failures are found. Those that stay
"ok", because they remember what they said, must find what `FINDS` says: no more than chance, or than an honest method.
"""

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from harness.execution.evaluate import Request, prepare, run
from harness.methods.conformance import check_confidence_score
from harness.storage import write_arrays
from tests.methods.support import InProcess
from tests.tracks.attribution.support import write_benchmark
from tests.tracks.attribution_metric.support import write_meta_benchmark

pytestmark = pytest.mark.usefixtures("in_this_process")

FOLDER = Path(__file__).parent
ATTACKS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in ("__init__", Path(__file__).stem))
KIND = {name: name.split("_")[0] for name in ATTACKS}
ON_CONFIDENCE = [name for name in ATTACKS if KIND[name] in ("by", "remembers")]
CLASSES, KNOWN, UNKNOWN = 8, 2000, 1000
BENCHMARK = f"""
id = "sorted"
version = 1
title = "Sorted"
task = "confidence"
metrics = ["augrc", "failure_auroc"]
bootstrap = {{ replicates = 20 }}
[source]
kind = "table"
holds = "logits"
values = "logits"
[source.sets]
known = {{ rows = [0, {KNOWN}] }}
unknown = {{ rows = [{KNOWN}, {KNOWN + UNKNOWN}] }}
[[source.models]]
id = "m"
table = {{ path = "m.npz" }}
[[studies]]
id = "iid"
kind = "iid"
samples = "known"
group = "iid"
[[studies]]
id = "new"
kind = "new-class"
samples = "known"
unknown = "unknown"
group = "new"
"""


@pytest.fixture(scope="module")
def benchmarks(tmp_path_factory):
    """First word of an attack's name -> the file of a benchmark for it."""
    confidence, maps, scores = (tmp_path_factory.mktemp(name) for name in ("confidence", "maps", "scores"))
    write_arrays(confidence / "m.npz", table())
    (confidence / "benchmark.toml").write_text(BENCHMARK)
    sorted_file = confidence / "benchmark.toml"
    return {
        "by": sorted_file,
        "remembers": sorted_file,
        "learns": sorted_file,
        "maps": write_benchmark(maps),
        "scores": write_meta_benchmark(scores),
    }


def table():
    """Rows sorted by class, a classifier that is right in about seven of ten, and samples of no class at the end."""
    rng, labels = np.random.default_rng(0), np.arange(KNOWN + UNKNOWN) % CLASSES
    strength = np.where(np.arange(KNOWN + UNKNOWN) < KNOWN, 2.5, 0.0)
    logits = rng.normal(size=(KNOWN + UNKNOWN, CLASSES)) + strength[:, None] * np.eye(CLASSES)[labels]
    return {"logits": logits.astype(np.float32), "labels": labels}


@pytest.mark.parametrize("name", ATTACKS)
def test_what_comes_of_asking_in_an_order_and_company_that_say_nothing(benchmarks, tmp_path, name):
    attack = import_module(f"tests.attacks.conversation.{name}")
    assert attack.__doc__
    asked = Request(str(FOLDER / f"{name}.py"), str(benchmarks[KIND[name]]), out=tmp_path, device="cpu", workers=1)
    document = run(prepare(asked)).document
    assert {(unit.status, attack.SAYS in unit.reason) for unit in document.units} == {(attack.STATUS, True)}, [
        unit.reason for unit in document.units
    ]
    if attack.STATUS == "ok":
        found = [row.value for row in document.summary if row.metric == "failure_auroc"]
        assert len(found) == 2
        assert all(attack.FINDS[0] < value < attack.FINDS[1] for value in found), found


@pytest.mark.parametrize("name", [name for name in ON_CONFIDENCE if KIND[name] == "by"])
def test_the_check_finds_it_before_anything_is_run(tmp_path, name):
    """Also where it misbehaves only in a large company, because the check asks about as many as a run."""
    *passed, failed = check_confidence_score(InProcess(FOLDER / f"{name}.py", tmp_path))
    assert all(each.passed for each in passed)
    assert failed.status == "invalid", failed


@pytest.mark.parametrize("name", ON_CONFIDENCE)
def test_what_it_is_after(tmp_path, name):
    """Failures found where each set is asked about by itself, in the order of its file."""
    logits, labels = table().values()
    method = InProcess(FOLDER / f"{name}.py", tmp_path)
    method.call("fit", {}, seed=0, meta={"reference": [], "network": None})
    sets = (slice(0, KNOWN), slice(KNOWN, None))
    known, unknown = (method.call("score", {"logits": logits[rows]}, seed=0)["confidence"] for rows in sets)
    right = logits[:KNOWN].argmax(axis=1) == labels[:KNOWN]
    found = [
        roc_auc_score(right, known),
        roc_auc_score(np.repeat([1, 0], [KNOWN, UNKNOWN]), np.concatenate([known, unknown])),
    ]
    assert max(found) > 0.99, found
