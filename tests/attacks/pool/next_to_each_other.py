"""Where a pool is sorted by class, neighbours have one class: whoever knows one label knows those around it."""

import numpy as np

import harness

SORTED = "one-sided"


@harness.query_strategy(version="1", tasks=("classification",))
class Attack:
    def query(self, pool, budget, rng):
        return int(rng.integers(pool.size - budget)) + np.arange(budget)
