"""Asks for volumes in the order in which their files were written, or lie on the disk."""

import harness

TASK = "segmentation"


@harness.query_strategy(version="1", tasks=("segmentation",))
class Attack:
    def query(self, pool, budget, rng):
        folder = pool._files._folder
        facts = {image.name: (folder / f"{image.number}.labels.npy").stat() for image in pool.images}
        names = sorted(facts, key=lambda name: (facts[name].st_mtime_ns, facts[name].st_ino))
        return [(name, (0, 0, 0)) for name in names[:budget]]
