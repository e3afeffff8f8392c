"""Memory and time of building a large meta-evaluation set from made-up maps.

    python tests/performance/meta_evaluation_memory.py --maps 20000 --out /tmp/large

prints the peak resident size before and after, in MB. Needs 300 kB of disk a map of 3x224x224.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.data.meta_evaluation import MapRecord, ScoreRecord
from harness.publish.meta_evaluation import build
from harness.publish.schema import MapConfig
from harness.publish.shards import ShardLimits

_SET = MapConfig("image", "made-up")


@dataclass(frozen=True)
class MadeUp:
    """`count` maps of noise, each different, none kept."""

    count: int
    shape: tuple[int, ...] = (3, 224, 224)
    protocol: str = "made-up@1"

    def facts(self) -> dict[str, Any]:
        return {"protocol": self.protocol, "count": self.count, "licence": "none", "citations": ["none"]}

    def configs(self) -> tuple[MapConfig, ...]:
        return (_SET,)

    def maps(self, config: MapConfig) -> Iterator[MapRecord]:
        rng = np.random.default_rng(0)
        noise = rng.normal(size=self.shape).astype(np.float32)
        for number in range(self.count):
            map = np.roll(noise, number, axis=-1) * np.float32(1 + number % 7)
            yield MapRecord("image", _SET.dataset, "net", f"method-{number % 17}", str(number // 17), 1, 1, map)

    def scores(self) -> Iterator[ScoreRecord]:
        for number in range(self.count):
            yield ScoreRecord(
                *("image", _SET.dataset, "net", f"method-{number % 17}", str(number // 17)),
                *("sparseness", "1", "higher", number / self.count),
            )


def peak() -> float:
    """Largest resident size of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--maps", type=int, default=2000)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--file-megabytes", type=int, default=256)
    chosen = parser.parse_args()
    build([MadeUp(2, (1, 2, 2))], chosen.out / "imports")  # what the libraries take
    before, started = peak(), time.perf_counter()
    built = build([MadeUp(chosen.maps)], chosen.out / "set", limits=ShardLimits(file=chosen.file_megabytes << 20))
    seconds = time.perf_counter() - started
    size = sum(size.bytes for size in built.sizes.values()) / 1e9
    print(f"{chosen.maps} maps, {len(built.shards)} files, {size:.2f} GB, {seconds:.0f} s")
    print(f"peak resident size: {before:.0f} MB before, {peak():.0f} MB after")


if __name__ == "__main__":
    main()
