"""How long a board takes: 200 submissions x 9,000 samples x 20 studies, 500 replicates. By hand: `make bench-board`.

Prints seconds of a build from nothing, of one from the cache, and of one with a single new submission, each in a fresh
process. Goals on two cores: 20 s from nothing, 2 s for one new submission.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tomli_w

from harness.spec.method import ConfidenceMethod
from harness.spec.submission import Submission
from harness.storage import file_id, write_arrays

CLASSES = 4
BUILD = """
import sys
from pathlib import Path
from harness.data import catalog
catalog._PACKAGE = Path(sys.argv[1]) / "harness"
from harness.boards.build import build_board, write_board
if __name__ == "__main__":
    protocol = catalog.load_protocol(Path(sys.argv[1]) / "leaderboards/speed/1/benchmark.toml")
    board = build_board(protocol, workers=int(sys.argv[2]))
    write_board(board, protocol)
    assert len(board.rows) == int(sys.argv[3]), board.unranked[:1]
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--submissions", type=int, default=200)
    parser.add_argument("--samples", type=int, default=9_000)
    parser.add_argument("--studies", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    for name, (clock, processors) in builds(given.submissions, given.samples, given.studies, given.workers):
        print(f"{name + ':':20}{clock:6.1f} s, {processors:6.1f} s of processors")


def builds(submissions: int, samples: int, studies: int, workers: int) -> Iterator[tuple[str, tuple[float, float]]]:
    """What is built, and `seconds` that it took."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        hash_, wrong = write_benchmark(root, samples, studies)
        for number in range(submissions):
            write_submission(root, hash_, wrong, number)
        (root / "build.py").write_text(BUILD)
        yield "from nothing", seconds(root, workers, submissions)
        yield "from the cache", seconds(root, workers, submissions)
        write_submission(root, hash_, wrong, submissions)
        yield "one new submission", seconds(root, workers, submissions + 1)


def write_benchmark(root: Path, samples: int, studies: int) -> tuple[str, np.ndarray]:
    """A benchmark of made-up logits; its hash, and (studies, samples) where its one model errs."""
    from harness.data.catalog import load_protocol

    folder = root / "leaderboards" / "speed" / "1"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    labels = rng.integers(CLASSES, size=studies * samples)
    logits = rng.normal(size=(studies * samples, CLASSES)) + 1.8 * np.eye(CLASSES)[labels]
    np.savez(folder / "one.npz", logits=logits.astype(np.float32), labels=labels)
    text = 'schema_version = 1\nid = "speed"\nversion = 1\ntitle = "Speed"\ntask = "confidence"\nmetrics = ["augrc"]\n'
    text += '[bootstrap]\nreplicates = 500\n[source]\nkind = "table"\nholds = "logits"\nvalues = "logits"\n'
    text += '[[source.models]]\nid = "one"\ntable = { path = "one.npz" }\n[source.sets]\n'
    names = [f"s{number}" for number in range(studies)]
    text += "".join(f"{name} = {{ rows = [{i * samples}, {(i + 1) * samples}] }}\n" for i, name in enumerate(names))
    text += "".join(f'[[studies]]\nid = "{n}"\nkind = "iid"\nsamples = "{n}"\ngroup = "{n}"\n' for n in names)
    (folder / "benchmark.toml").write_text(text)
    wrong = (logits.argmax(axis=1) != labels).reshape(studies, samples)
    return load_protocol(folder / "benchmark.toml").hash, wrong


def write_submission(root: Path, benchmark_hash: str, wrong: np.ndarray, number: int) -> None:
    """A score that tells failures from successes better, the higher its number."""
    rng = np.random.default_rng(number)
    name = f"method-{number:03}"
    folder = root / "submissions" / "speed@1" / name
    folder.mkdir(parents=True)
    scores = (rng.normal(size=wrong.shape) - (1 + number / 200) * wrong).astype(np.float32)
    write_arrays(folder / "outputs.npz", {f"one--s{i}--confidence": scores[i] for i in range(len(scores))})
    method = ConfidenceMethod(
        task="confidence",
        name=name,
        version="1.0",
        origin="file",
        target=f"{name}.py",
        symbol="score",
        source_sha256="0" * 64,
    )
    about = Submission(
        benchmark="speed@1",
        benchmark_hash=benchmark_hash,
        method=method,
        run="0" * 64,
        outputs={"outputs.npz": file_id(folder / "outputs.npz")},
    )
    (folder / "submission.toml").write_text(tomli_w.dumps(about.model_dump(mode="json", exclude_none=True)))


def seconds(root: Path, workers: int, rows: int) -> tuple[float, float]:
    """Wall-clock time, and processor time of all processes: what counts on a machine that others use too."""
    environment = {**os.environ, "HARNESS_CACHE": str(root / "cache"), "OMP_NUM_THREADS": "1"}
    start, spent = time.perf_counter(), processor_time()
    command = [sys.executable, root / "build.py", root, str(workers), str(rows)]
    subprocess.run(command, check=True, env=environment)
    return time.perf_counter() - start, processor_time() - spent


def processor_time() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
