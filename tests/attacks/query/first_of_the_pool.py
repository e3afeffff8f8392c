"""Takes the first images, which in a sorted pool are of one class."""

import harness

TASK, WHERE_SORTED = "classification", "lopsided"


@harness.query_strategy(version="1", tasks=("classification",))
class Attack:
    def query(self, pool, budget, rng):
        return range(budget)
