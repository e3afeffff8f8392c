"""Make the pinned files of the embedded benchmark `query-mni152`, and measure full annotation; not needed to run it.

python -m harness.tracks.query.segmentation.making cases --out datasets/query-mni152
python -m harness.tracks.query.segmentation.making starts leaderboards/query-mni152/2/benchmark.toml --out starts.json
python -m harness.tracks.query.segmentation.making full leaderboards/query-mni152/2/benchmark.toml
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from harness.data.catalog import LoadedBenchmark, load_protocol
from harness.metrics.segmentation import mean_dice
from harness.spec.query import QueryBenchmark
from harness.storage import read_json, write_json
from harness.tracks.query.loop_files import write_loop
from harness.tracks.query.segmentation.learner import SegmentationLearner
from harness.tracks.query.sources import Setting

BIAS, NOISE = 0.1, 0.05
SLAB = (80, 4, 40)
"""Coronal slabs of the left half of the brain; the right half is its mirror image."""
FIRST = (0, 15, 9)
POOL, VALIDATION = 16, 6
_SEED = 152

app = typer.Typer(add_completion=False)


@app.command()
def cases(out: Annotated[Path, typer.Option("--out", help="The folder of the data set.")]) -> None:
    """Slabs side by side, from the back of the brain to its front; chance decides which are held out."""
    corners = [(FIRST[0], FIRST[1] + number * SLAB[1], FIRST[2]) for number in range(POOL + VALIDATION)]
    held_out = set(np.random.default_rng(_SEED).permutation(len(corners))[:VALIDATION].tolist())
    rows = [{"name": f"mni_{n:02d}", "corner": list(corner), "seed": _SEED + n} for n, corner in enumerate(corners)]
    content = {
        "shape": list(SLAB),
        "bias": BIAS,
        "noise": NOISE,
        "pool": [row for n, row in enumerate(rows) if n not in held_out],
        "validation": [row for n, row in enumerate(rows) if n in held_out],
    }
    write_json(out / "cases.json", content)


@app.command()
def starts(
    benchmark: Annotated[Path, typer.Argument(help="The benchmark's file.")],
    out: Annotated[Path, typer.Option("--out", help="The file to write.")],
    study: Annotated[str | None, typer.Option(help="By default the first.")] = None,
) -> None:
    """Draw the start of every seed, in the rows of loop files."""
    write_json(out, drawn_starts(load_protocol(benchmark), study))


@app.command()
def full(
    benchmark: Annotated[Path, typer.Argument(help="The benchmark's file.")],
    study: Annotated[str | None, typer.Option(help="By default the first.")] = None,
) -> None:
    """Print the performance of the same training on a pool that is annotated in full, for every seed."""
    protocol = load_protocol(benchmark)
    for seed in protocol.of(QueryBenchmark).seeds:
        typer.echo(f"seed {seed}: {full_performance(protocol, seed, study):.4f}")


def drawn_starts(protocol: LoadedBenchmark, study: str | None = None) -> dict[str, Any]:
    """The start of every seed of a benchmark, as `QueryStudy.starts` takes it. Raises as `SegmentationLearner.start`."""
    setting = _setting(protocol, study, pinned=False)
    found = {}
    for seed in protocol.of(QueryBenchmark).seeds:
        learner = SegmentationLearner(setting, seed, (), "cpu")
        with tempfile.TemporaryDirectory() as folder:
            found[str(seed)] = read_json(
                write_loop(Path(folder), 0, learner.ledger.patches([learner.start()]), learner.ledger.cases.file_ending)
            )
    return found


def full_performance(protocol: LoadedBenchmark, seed: int, study: str | None = None, device: str = "cpu") -> float:
    """Mean Dice on held-out data after one training with everything annotated, the ceiling of a study's curves."""
    learner = SegmentationLearner(_setting(protocol, study), seed, (), device)
    everything = [learner.ledger.everything()]
    weights = [learner.train(0, number, everything, lambda *_: None) for number in range(learner.trainings)]
    return mean_dice(learner.evaluate(0, weights, everything)["counts"])


def _setting(protocol: LoadedBenchmark, study: str | None, *, pinned: bool = True) -> Setting:
    studies = {each.id: each for each in protocol.of(QueryBenchmark).studies}
    chosen = studies[study] if study else next(iter(studies.values()))
    return Setting(protocol, chosen if pinned else chosen.model_copy(update={"starts": None}))


if __name__ == "__main__":
    app()
