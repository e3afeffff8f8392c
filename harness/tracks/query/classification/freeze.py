"""Pin the parts and the starts of a benchmark on images; not needed to run it.

    python -m harness.tracks.query.classification.freeze splits datasets/query-mnist
    python -m harness.tracks.query.classification.freeze starts leaderboards/query-mnist/2/benchmark.toml datasets/query-mnist
    python -m harness.tracks.query.classification.freeze starts leaderboards/query-pneumonia/1/benchmark.toml datasets/query-pneumonia

The first writes splits.json of the digits, the second starts-<study>.json for every study and seed of a benchmark. Both
print the lines for the TOML file, and give the same bytes each time.
"""

from __future__ import annotations

import json
from pathlib import Path

from harness.data.catalog import LoadedBenchmark, load_protocol
from harness.data.class_splits import class_splits
from harness.data.embedded import mnist_5k
from harness.spec.query import QueryBenchmark
from harness.storage import file_id, write_text
from harness.tracks.query.classification.data import open_images
from harness.tracks.query.classification.starts import drawn_images
from harness.tracks.query.sources import Setting

PARTS = {"pool": 300, "validation": 20, "test": 180}  # of each digit


def make_starts(protocol: LoadedBenchmark) -> dict[str, dict[str, list[int]]]:
    """Study -> seed -> rows of the pool, as the study's rule draws them."""
    benchmark = protocol.of(QueryBenchmark)
    starts: dict[str, dict[str, list[int]]] = {}
    for study in benchmark.studies:
        starts[study.id] = {}
        for seed in benchmark.seeds:
            images = open_images(Setting(protocol, study), seed)
            drawn = drawn_images(study, seed, images.pool_targets, images.classes)
            starts[study.id][str(seed)] = drawn.tolist()
    return starts


def _write(path: Path, content: object, field: str) -> None:
    write_text(path, json.dumps(content) + "\n")
    print(f'{field} = {{ path = "{path.parent.name}/{path.name}", sha256 = "{file_id(path)}" }}')


def main(arguments: list[str]) -> None:
    """Run the command that the arguments name; see the module's docstring."""
    folder = Path(arguments[-1])
    if arguments[0] == "splits":
        _write(folder / "splits.json", class_splits(mnist_5k()[1], 10, PARTS), "splits")
    else:
        for study, starts in make_starts(load_protocol(Path(arguments[1]))).items():
            _write(folder / f"starts-{study}.json", starts, "starts")


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
