"""Where a pool is sorted by class, picks at even distances have as many images of each class, without a single label."""

import numpy as np

import harness

SORTED = "balanced"


@harness.query_strategy(version="1", tasks=("classification",))
class Attack:
    def query(self, pool, budget, rng):
        return np.linspace(0, pool.size - 1, budget).round().astype(int)
