"""Made-up benchmarks, and outputs of campaigns as the track stores them."""

from pathlib import Path

import numpy as np

from harness.data.catalog import LoadedBenchmark
from harness.spec.method import QueryMethod
from harness.spec.protocols import read_benchmark
from harness.spec.run import Unit
from harness.tracks.leaderboard import Entry
from harness.tracks.query.leaderboard import QueryLeaderboard
from harness.tracks.query.track import QueryTrack
from tests.tracks.support import measured

ZERO = "0" * 64
SGD = {"kind": "sgd", "learning_rate": 0.1}
CNN = {"kind": "classifier", "id": "net", "network": "small-cnn", "epochs": 1, "batch_size": 8, "optimiser": SGD}
DIGITS = {"kind": "digits", "id": "digits", "splits": {"path": "splits.json"}}
FOLDER = {"kind": "nnunet-raw", "id": "volumes", "folder": "Dataset001_Volumes"}
NNUNET = {"kind": "nnunet", "id": "net", "epochs": 1}
PATCHES = {"size": [4, 4, 4], "stride": [1, 1, 1], "max_per_image": 2}
LOOPS, START, QUERY = 4, 6, 5


def study(name, group=None, volumes=True, **more):
    data = {"patches": PATCHES, "start_rule": "all-classes", "dataset": "volumes"} if volumes else {"dataset": "digits"}
    budget = {"start": START, "query": QUERY, "loops": LOOPS}
    return {"id": name, "group": group or name, "training": "net", **budget, **data, **more}


def benchmark(studies, *, performance="dice", seeds=(1, 2, 3), replicates=60):
    volumes = performance == "dice"
    return read_benchmark(
        {
            "id": "toy",
            "version": 1,
            "title": "Toy",
            "task": "query",
            "source": {"datasets": [FOLDER if volumes else DIGITS]},
            "trainings": [NNUNET if volumes else CNN],
            "studies": studies,
            "seeds": list(seeds),
            "performance": performance,
            "bootstrap": {"replicates": replicates, "seed": 3},
        }
    )


def protocol_of(spec, path="/nowhere/benchmark.toml"):
    return LoadedBenchmark(spec, ZERO, Path(path))


def method(name="mine", reference=False):
    return QueryMethod(
        task="query",
        name=name,
        version="1",
        origin="file",
        target=name,
        symbol=name,
        source_sha256=ZERO,
        reference=reference,
    )


def track_of(spec, targets=None, **about):
    """A track whose held-out images have these classes."""
    track = QueryTrack(protocol_of(spec), method(**about))
    for setting in track.settings.values():
        setting.targets = lambda: targets
    return track


def unit(study_id, seed, limit=None):
    return Unit(
        task="query",
        benchmark_hash=ZERO,
        method_hash=ZERO,
        model=f"net-{seed}",
        model_seed=seed,
        artefacts_hash=ZERO,
        study=study_id,
        seed=0,
        device="cpu",
        limit=limit,
        metrics_hash=ZERO,
    )


def picks(loops=LOOPS, width=1):
    return {f"picks.{k}": np.zeros((QUERY if k else START, width), dtype=np.int64) for k in range(loops)}


def images(predictions):
    """A campaign of classification from predictions (loops, n)."""
    loops = len(predictions)
    total = START + QUERY * np.arange(loops)
    return {
        **picks(loops),
        "evaluation.predictions": np.asarray(predictions, dtype=np.uint8),
        "effort.images": total,
        "effort.labels": np.tile(total[:, None], (1, 3)),
        "effort.pool_images": np.full(loops, 500),
    }


def volumes(counts, share=None):
    """A campaign of segmentation from counts (loops, cases, classes, 4) and annotated shares of the foreground."""
    loops, _, classes, _ = np.shape(counts)
    share = np.linspace(0.01, 0.2, loops) if share is None else np.asarray(share)
    pool = np.full((loops, classes), 100_000)
    return {
        **picks(loops, 7),
        "evaluation.counts": np.asarray(counts, dtype=np.int64),
        "effort.voxels": np.round(pool * share[:, None]).astype(np.int64),
        "effort.pool_voxels": pool,
        "effort.patches": np.ones((loops, classes), dtype=np.int64),
        "effort.images": np.arange(1, loops + 1),
        "effort.total_patches": START + QUERY * np.arange(loops),
        "effort.pool_images": np.full(loops, 40),
    }


def random_counts(rng, quality, cases=8, classes=3, loops=LOOPS, absent=0.2):
    """Counts whose Dice rises from loop to loop; the labels of the cases are drawn first, then the mistakes."""
    reference = rng.integers(50, 400, size=(cases, classes)) * (rng.random((cases, classes)) > absent)
    reference[0] = 100
    counts = np.zeros((loops, cases, classes, 4), dtype=np.int64)
    for k in range(loops):
        right = np.clip(quality + 0.08 * k + 0.05 * rng.normal(size=reference.shape), 0, 1)
        tp = np.round(reference * right).astype(np.int64)
        fp = np.round(reference * (1 - right)).astype(np.int64)
        counts[k] = np.stack([tp, fp, reference - tp, 5000 - reference - fp], axis=-1)
    return counts


def entries(spec, outputs, targets=None, references=()):
    """Leaderboard and entries, of outputs by method, study and seed."""
    board = QueryLeaderboard(protocol_of(spec))
    found = []
    for name, of in outputs.items():
        track = track_of(spec, targets, name=name, reference=name in references)
        answered = {unit(s, seed): campaign for (s, seed), campaign in of.items()}
        units = len(spec.studies) * len(spec.seeds)
        found.append(Entry(track.method, board.entry(track, measured(track, answered)), len(answered), units))
    return board, found
