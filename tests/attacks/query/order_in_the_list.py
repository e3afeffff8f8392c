"""Asks for volumes in the order in which they are listed."""

import harness

TASK = "segmentation"


@harness.query_strategy(version="1", tasks=("segmentation",))
class Attack:
    def query(self, pool, budget, rng):
        return [(image.name, (0, 0, 0)) for image in pool.images][:budget]
