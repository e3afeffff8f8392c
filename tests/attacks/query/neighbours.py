"""Takes the neighbours of an image that it knows nothing of, which in a sorted pool share its class."""

import numpy as np

import harness

TASK, WHERE_SORTED = "classification", "lopsided"


@harness.query_strategy(version="1", tasks=("classification",))
class Attack:
    def query(self, pool, budget, rng):
        return int(rng.integers(pool.size - budget)) + np.arange(budget)
