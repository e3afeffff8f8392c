"""Takes the neighbours of the labelled image that comes first, as if labelled images came as they lie in the data."""

import numpy as np

import harness

TASK, WHERE_SORTED = "classification", "lopsided"


@harness.query_strategy(version="1", tasks=("classification",), needs=("features",))
class Attack:
    def query(self, pool, budget, rng):
        first = np.linalg.norm(pool.features - pool.labelled_features[0], axis=1).argmin()
        return min(int(first), pool.size - budget) + np.arange(budget)
