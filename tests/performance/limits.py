"""How long single things take beside what they may take, in seconds of one core. By hand: `make bench`.

Exits with 1 where a limit is missed; a busy machine proves nothing.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pandas as pd

from harness.metrics import augrc, aurc, paired_bootstrap
from harness.statistics import consensus, criterion_ranks
from tests.statistics.support import rank_table
from tests.tracks.query.outcomes import benchmark, random_counts, study, track_of, unit, volumes
from tests.tracks.support import summary


def help_of_the_command() -> Callable[[], object]:
    command = [sys.executable, "-c", "from harness.cli import main; main()", "--help"]
    return lambda: subprocess.run(command, capture_output=True, check=True)


def augrc_of_a_million_samples() -> Callable[[], object]:
    rng = np.random.default_rng(0)
    confidence, residual = rng.random(10**6), rng.random(10**6) < 0.1
    return lambda: augrc(confidence, residual)


def bootstrap_of_a_board_cell() -> Callable[[], object]:
    """AUGRC and AURC of 13 confidence scores on 10,000 samples."""
    rng = np.random.default_rng(0)
    residual = rng.random(10**4) < 0.1
    confidences = {f"csf{i}": rng.random(10**4) - 0.3 * residual for i in range(13)}
    return lambda: [paired_bootstrap(confidences, residual, metric) for metric in (augrc, aurc)]


def ranks_of_a_board() -> Callable[[], object]:
    """17 methods, 20 metrics, 9 cells, 50 observations, 1,000 replicates."""
    levels = [list("abcdefghijklmnopq"), range(9), range(20), range(50)]
    frame = pd.MultiIndex.from_product(levels, names=["method", "cell", "metric", "observation"]).to_frame(index=False)
    frame["value"] = np.random.default_rng(0).normal(size=len(frame))
    frame = frame.assign(status="ok", direction="lower", criterion=frame["metric"].map(lambda k: f"c{k // 7}"))
    return lambda: criterion_ranks(frame, cell="cell")


def consensus_of_sixty_methods() -> Callable[[], object]:
    up = {f"m{i:02}": float(i) for i in range(60)}
    return lambda: consensus(rank_table("c", {"k1": up, "k2": up}))


def scores_of_campaigns() -> Callable[[], object]:
    """5 loops, 4 seeds, 75 cases and 16 classes with 500 replicates."""
    spec = benchmark([study("low", loops=5)], seeds=(1, 2, 3, 4), replicates=500)
    counts = random_counts(np.random.default_rng(0), 0.5, cases=75, classes=16, loops=5)
    answered = {unit("low", s): volumes(counts) for s in spec.seeds}
    return lambda: summary(track_of(spec), answered)


LIMITS = {
    help_of_the_command: 0.3,
    augrc_of_a_million_samples: 0.25,
    bootstrap_of_a_board_cell: 1.5,
    ranks_of_a_board: 5.0,
    consensus_of_sixty_methods: 5.0,
    scores_of_campaigns: 2.0,
}


def main() -> None:
    missed = False
    for make, limit in LIMITS.items():
        quickest = min(_seconds(make()) for _ in range(3))
        missed |= quickest > limit
        said = "reached" if quickest <= limit else "missed"
        print(f"{make.__name__.replace('_', ' '):30}{quickest:8.3f} s, limit {limit:g} s: {said}")
    sys.exit(missed)


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
