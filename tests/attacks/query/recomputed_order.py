"""Draws the order as the harness does, from what it is shown and knows, sorts the pool back by it, and spreads its picks."""

import numpy as np

import harness
from harness.storage import array_id
from harness.tracks.query.order import shown_order

TASK, WHERE_SORTED = "classification", "any"


@harness.query_strategy(version="1", tasks=("classification",), needs=("inputs",))
class Attack:
    def query(self, pool, budget, rng):
        contents = array_id(pool.inputs.numpy()[:1000])
        place = np.argsort(shown_order(pool.size, contents, pool.seed, pool.loop + 1, ""))
        return place[np.linspace(0, pool.size - 1, budget).round().astype(int)]
