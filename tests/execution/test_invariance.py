"""How many workers there are, in which order units end and what ran before change no number."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from harness.execution.evaluate import prepare, run
from harness.execution.executor import LocalExecutor
from harness.execution.job import Job
from harness.storage import IntegrityError, write_arrays

from .support import HONEST, ends, request, stored, untimed

# Uses the seeded generators, so that a wrong seed, or one shared between units, would be seen.
NOISY = "return outputs.probabilities.amax(1).double() + 1e-6 * (torch.rand(len(outputs)) + np.random.rand(1)[0])"
# Goes by what it was asked first, as far as its module and its folder remember.
REMEMBERING = """
scale = globals().setdefault("SCALE", float(outputs.logits.abs().max()))
if not os.path.exists("scale"):
    with open("scale", "w") as file:
        file.write(str(scale))
with open("scale") as file:
    return outputs.probabilities.amax(1).double() * (scale + float(file.read()))
"""
BEHAVIOURS = {"first": NOISY, "second": HONEST, "third": NOISY, "fourth": REMEMBERING}


class Backwards:
    """An executor that takes the units from the last to the first."""

    def __init__(self, prepared):
        job = Job(prepared.protocol.path, prepared.method, prepared.plan.folder, prepared.limits)
        self._local = LocalExecutor(job, 1)

    def run(self, units):
        self.taken = list(reversed(units))
        return self._local.run({key: units[key] for key in self.taken})


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return run(prepare(request(tmp_path_factory.mktemp("reference"), BEHAVIOURS, models=2))).folder


@pytest.mark.parametrize("workers", [2, 3])
def test_the_number_of_workers(tmp_path, reference, workers):
    folder = run(prepare(request(tmp_path, BEHAVIOURS, models=2, workers=workers))).folder
    several, one = untimed(folder, reference)
    assert several == one
    assert stored(folder) == stored(reference)


def test_the_order_of_units(tmp_path, reference):
    prepared = prepare(request(tmp_path, BEHAVIOURS, models=2))
    executor = Backwards(prepared)
    ended = []

    class Order:
        def started(self, done, total): ...
        def finished(self, end):
            ended.append(end.result.unit)

        def sealing(self): ...

    folder = run(prepared, Order(), executor).folder
    assert ended == executor.taken == list(reversed(prepared.plan.units))
    backwards, forwards = untimed(folder, reference)
    assert backwards == forwards


def test_limits_and_folders_are_not_part_of_the_run(tmp_path, reference):
    asked = request(tmp_path, BEHAVIOURS, models=2, timeout=33.0, memory=1.0)
    folder = run(prepare(dataclasses.replace(asked, out=tmp_path / "elsewhere"))).folder
    elsewhere, here = untimed(folder, reference)
    assert elsewhere == here
    assert folder.name == reference.name


def test_another_seed_is_another_run(tmp_path, reference):
    folder = run(prepare(request(tmp_path, BEHAVIOURS, models=2, seed=1))).folder
    assert folder.name != reference.name
    assert not set(stored(folder)) & set(stored(reference))
    assert set(stored(folder).values()) - set(stored(reference).values()), "the seed reaches the method"


def test_a_benchmark_edited_between_plan_and_run_stops_it(tmp_path):
    """Else its numbers would stand under the name of another protocol."""
    prepared = prepare(request(tmp_path, BEHAVIOURS))
    path = tmp_path / "benchmark" / "benchmark.toml"
    path.write_text(path.read_text().replace('title = "Small"', 'title = "Edited"'))
    with pytest.raises(
        IntegrityError, match=r"benchmark\.toml was changed after the run was planned; start it again\."
    ):
        run(prepared)


@pytest.mark.parametrize("what", ["gone", "changed"])
def test_stored_answers_that_are_gone_are_asked_for_again_and_changed_ones_refused(tmp_path, what):
    prepared = prepare(request(tmp_path, BEHAVIOURS))
    folder = run(prepared).folder
    before = untimed(folder), stored(folder)
    path = sorted((folder / "outputs").iterdir())[0]
    if what == "gone":
        path.unlink()
        run(prepared)
        assert (untimed(folder), stored(folder)) == before
    else:
        write_arrays(path, {"confidence": np.linspace(0, 1, 60, dtype=np.float32)})
        with pytest.raises(IntegrityError, match="was changed after it was scored; use --fresh"):
            run(prepared)


def test_a_method_whose_file_cannot_be_run_twice_gets_a_new_process_each_time(tmp_path):
    once = "import builtins\nassert not hasattr(builtins, 'ran')\nbuiltins.ran = True\n"
    asked = request(tmp_path, {"first": HONEST, "second": HONEST}, models=2)
    path = Path(asked.method)
    path.write_text(once + path.read_text())
    assert {status for status, _ in ends(run(prepare(asked))).values()} == {"ok"}


def test_what_a_method_kept_for_another_network_takes_no_memory(tmp_path):
    """240 MB for each of five, where it may grow by half a GiB."""
    keeping = f"globals().setdefault('KEPT', np.ones(30_000_000))\n{HONEST}"
    asked = request(tmp_path, {"first": keeping}, models=5, memory=0.5)
    assert {status for status, _ in ends(run(prepare(asked))).values()} == {"ok"}
