"""Asks for volumes in the order of the numbers in their names, as if neighbours in the body had numbers side by side."""

import harness

TASK = "segmentation"


@harness.query_strategy(version="1", tasks=("segmentation",))
class Attack:
    def query(self, pool, budget, rng):
        names = sorted((image.name for image in pool.images), key=lambda name: int(name.rpartition("-")[2]))
        return [(name, (0, 0, 0)) for name in names[:budget]]
