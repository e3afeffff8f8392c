"""A small benchmark in a folder, methods from a few lines of text, and the real path from one to the other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np

from harness.execution.evaluate import Request, prepare, run
from harness.storage import write_arrays

CHECKOUT = Path(__file__).resolve().parents[2]
CLASSES, ROWS = 5, 600
PATIENCE = 120.0  # seconds until something counts as hanging, on however busy a machine
HONEST = "return outputs.probabilities.amax(dim=1)"
SMALLEST = 60
APART = 64  # logits of models with different behaviours
IMPORTS = "import os, sys, time, ctypes, signal, socket, subprocess\nimport numpy as np\nimport torch\nimport harness"
DECLARED = '@harness.confidence_score(version="1")\ndef zoo(outputs):'

_CHECKOUT = ("source_sha256", "git_commit", "git_dirty")
_EVALUATE = """
import sys
from pathlib import Path
from harness.execution.evaluate import Request, prepare, run
prepared = prepare(Request(sys.argv[1], sys.argv[2], out=Path(sys.argv[3]), workers=int(sys.argv[4])))
if sys.argv[5:]:
    from tests.execution.kill_point import watch_run
    watch_run(sys.argv[5], sys.argv[6], int(sys.argv[7]))
print("prepared", flush=True)
run(prepared)
"""


def write_benchmark(folder, studies, models):
    """A benchmark of tables with these models, name -> shift of its logits, and a study of 60, 61, ... samples for each name."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ['id = "small"', "version = 1", 'title = "Small"', 'task = "confidence"']
    lines += ['metrics = ["augrc", "aurc"]', "[bootstrap]", "replicates = 20", "[source]", 'kind = "table"']
    lines += ['holds = "logits"', 'values = "logits"', "[source.sets]"]
    lines += [f"{study} = {{ rows = [0, {SMALLEST + i}] }}" for i, study in enumerate(studies)]
    for seed, (name, shift) in enumerate(models.items()):
        write_table(folder / f"{name}.npz", seed, shift)
        lines += ["[[source.models]]", f'id = "{name}"', f"seed = {seed}", f'table = {{ path = "{name}.npz" }}']
    for study in studies:
        lines += ["[[studies]]", f'id = "{study}"', 'kind = "iid"', f'samples = "{study}"', f'group = "{study}"']
    path = folder / "benchmark.toml"
    path.write_text("\n".join(lines))
    return path


def write_table(path, seed, shift=0):
    """Logits of a classifier that is right about four times in five; a shift of all changes no probability."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(CLASSES, size=ROWS)
    logits = rng.normal(size=(ROWS, CLASSES)) + 2 * np.eye(CLASSES)[labels] + shift
    write_arrays(path, {"logits": logits.astype(np.float32), "labels": labels})


def write_method(folder, behaviours):
    """A method that tells the models by the shift of their logits, and on each does what the lines of its name say."""
    parts = [IMPORTS]
    for name, body in behaviours.items():
        parts.append(f"def {_function(name)}(outputs):\n{textwrap.indent(textwrap.dedent(body).strip(), '    ')}")
    parts.append(f"BEHAVIOURS = [{', '.join(map(_function, behaviours))}]")
    parts.append(f"{DECLARED}\n    return BEHAVIOURS[round(float(outputs.logits.mean()) / {APART})](outputs)")
    return _written(folder, parts)


def request(folder, behaviours, models=1, **wishes):
    """A request to run a method with these behaviours, on so many models each: with a study `one` of 60 samples."""
    shifts = {
        f"{name}-{seed}" if seed else name: APART * i for i, name in enumerate(behaviours) for seed in range(models)
    }
    return _request(folder, write_method(folder, behaviours), ("one",), shifts, **wishes)


def request_one(folder, body, models=1, **wishes):
    """A request to run a method that does the same in two studies, `one` and `two`."""
    method = _written(folder, [IMPORTS, f"{DECLARED}\n{textwrap.indent(textwrap.dedent(body).strip(), '    ')}"])
    return _request(folder, method, ("one", "two"), {f"m{seed}": 0 for seed in range(models)}, **wishes)


def _request(folder, method, studies, models, **wishes):
    benchmark = write_benchmark(folder / "benchmark", studies, models)
    wishes = {"workers": 1, "timeout": PATIENCE, "memory": 2.0, **wishes}
    return Request(str(method), str(benchmark), out=folder / "runs", device="cpu", **wishes)


def run_each(folder, behaviours, observer=None, **wishes):
    """Run every behaviour on a model of its own, without the check that would refuse most of them."""
    return run(prepare(request(folder, behaviours, **wishes)), observer)


def waiting_for(path, body=HONEST):
    """A behaviour that waits until there is such a file; the check, which has fewer classes, does not wait."""
    unit = f"outputs.logits.shape[1] == {CLASSES}"
    return f"while {unit} and not os.path.exists({str(path)!r}): time.sleep(0.02)\n{body}"


def ends(result):
    """model -> (status, reason) of a run of one study."""
    return {unit.model: (unit.status, unit.reason) for unit in result.document.units}


def untimed(*folders):
    """The bytes of sealed runs without their field `timing`.

    Where the checkout itself was edited between two of them, its description is left out too.
    """
    documents = [json.loads((folder / "run.json").read_bytes()) for folder in folders]
    checkouts = [[each["environment"].pop(name) for name in _CHECKOUT] for each in documents]
    if all(checkout == checkouts[0] for checkout in checkouts):
        for document, checkout in zip(documents, checkouts, strict=True):
            document["checkout"] = checkout
    else:
        for document in documents:
            del document["seal"]  # which covers the checkout
    for document in documents:
        del document["timing"]
    return [json.dumps(document, indent=2, sort_keys=True).encode() for document in documents]


def stored(folder):
    """name -> bytes of the stored answers of a run."""
    return {path.name: path.read_bytes() for path in sorted((folder / "outputs").iterdir())}


def start_evaluation(asked, temporary, kill_before=()):
    """A process that evaluates, returned when it has planned and is about to run.

    kill_before: the audit event, part of a path and number before which it is killed, see `kill_point`.
    """
    temporary.mkdir(exist_ok=True)
    arguments = [asked.method, asked.benchmark, str(asked.out), str(asked.workers), *map(str, kill_before)]
    process = subprocess.Popen(
        [sys.executable, "-c", _EVALUATE, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=CHECKOUT,
        env={**os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout.readline() == b"prepared\n", process.stderr.read()
    return process


def processes_with(marker):
    """Numbers of living processes whose environment or command line has the marker."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        for name in ("environ", "cmdline"):
            try:
                if marker.encode() in (entry / name).read_bytes() and int(entry.name) != os.getpid():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def descendants(pid):
    """(number, start) of all processes below one, which tells them from later ones of the same number."""
    table = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] not in "ZX":
            table[int(entry.name)] = (int(fields[1]), fields[19])
    below = {pid}
    while young := {each for each, (parent, _) in table.items() if parent in below} - below:
        below |= young
    return {(each, table[each][1]) for each in below - {pid}}


def alive(processes):
    """Those of `descendants` that still live."""
    found = set()
    for pid, started in processes:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] not in "ZX" and fields[19] == started:
            found.add((pid, started))
    return found


def soon(condition, seconds=PATIENCE):
    """Whether something comes true within so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _written(folder, parts):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "zoo.py"
    path.write_text("\n\n".join(parts) + "\n")
    return path


def _function(name):
    return "do_" + name.replace("-", "_")
