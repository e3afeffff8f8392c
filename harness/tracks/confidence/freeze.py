"""Pin the outcomes of a benchmark: labels and predictions of every model on every studied set.

    python -m harness.tracks.confidence.freeze leaderboards/confidence-mnist/2/benchmark.toml outcomes-2.npz

For whoever makes a new benchmark version; not needed to use one. Prints the line for the TOML file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.catalog import LoadedBenchmark, load_protocol
from harness.spec.benchmark import ConfidenceBenchmark
from harness.spec.method import Classifier
from harness.storage import file_id, write_arrays
from harness.tracks.confidence.outcomes import LABELS, PINNED, predictions
from harness.tracks.confidence.sources import open_source

if TYPE_CHECKING:
    import numpy as np

CLASSIFIERS: tuple[Classifier, ...] = ("point", "mc-mean")


def outcomes_of(protocol: LoadedBenchmark) -> dict[str, np.ndarray]:
    """Arrays of int16 as `Outcomes` reads them."""
    import numpy as np

    source, benchmark = open_source(protocol, "cpu"), protocol.of(ConfidenceBenchmark)
    arrays: dict[str, np.ndarray] = {}
    for model in benchmark.source.models:
        for name in dict.fromkeys(name for study in benchmark.studies_of(model) for name in study.sets):
            samples = source.samples(model, name)
            arrays[LABELS.format(set=name)] = samples.labels.astype(np.int16)
            for classifier in CLASSIFIERS:
                key = PINNED.format(model=model.id, set=name, classifier=classifier)
                arrays[key] = predictions(samples, classifier).astype(np.int16)
    return arrays


def main(benchmark: Path, out: Path) -> None:
    """Write the outcomes of a benchmark file to `out`."""
    import torch

    torch.set_num_threads(1)  # as in a run; also several times quicker for networks this small
    write_arrays(out, outcomes_of(load_protocol(benchmark)))
    print(f'outcomes = {{ path = "{out.name}", sha256 = "{file_id(out)}" }}')


if __name__ == "__main__":
    import sys

    main(Path(sys.argv[1]), Path(sys.argv[2]))
