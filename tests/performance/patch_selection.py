"""How fast patches are selected. By hand: `python tests/performance/patch_selection.py [--small]`.

Beside it, in the same run, the published way: patch means by a strided convolution with a box, the positions in
descending order, each compared with a list of all patches so far. One thread; CPU seconds, medians of three; the
convolution once, as it takes long. Peak memory is what numpy allocates on top of the map.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import statistics
import sys
import time
import tracemalloc
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter, uniform_filter

from harness.tracks.query import PatchGrid, select_patches

AT_MOST = 0.1  # the target: share of the other's time
MOST, ANNOTATED = 20, 20
PATCH, STRIDE = (64, 64, 64), (8, 8, 8)


def overlap(one: Any, other: Any) -> bool:
    return all(a < b + q and b < a + p for a, p, b, q in zip(*one, *other, strict=True))


def convolved(scores: np.ndarray, size: tuple[int, ...], stride: tuple[int, ...]) -> np.ndarray:
    kernel = torch.full((1, 1, *size), 1.0 / np.prod(size))
    means = torch.nn.functional.conv3d(torch.from_numpy(scores)[None, None], kernel, stride=stride)
    return np.asarray(means[0, 0])


def filtered(scores: np.ndarray, size: tuple[int, ...], stride: tuple[int, ...]) -> np.ndarray:
    """The same means in float64: a convolution in float32 errs by more than neighbours in the ranking differ."""
    means = uniform_filter(scores, size, output=np.float64)
    return means[
        tuple(slice(p // 2, n - p + p // 2 + 1, s) for n, p, s in zip(scores.shape, size, stride, strict=True))
    ]


def scanned(means: np.ndarray, size: tuple[int, ...], stride: tuple[int, ...], annotated: list[Any]) -> list[Any]:
    boxes, found = list(annotated), []
    for index in np.argsort(means, axis=None)[::-1]:
        corner = tuple(int(i) * s for i, s in zip(np.unravel_index(index, means.shape), stride, strict=True))
        if not any(overlap((corner, size), box) for box in boxes):
            boxes.append((corner, size))
            found.append(corner)
            if len(found) == MOST:
                break
    return found


def measured(call: Any, repeats: int) -> tuple[float, Any]:
    times, result = [], None
    for _ in range(repeats):
        start = time.process_time()
        result = call()
        times.append(time.process_time() - start)
    return statistics.median(times), result


def compare(shape: tuple[int, ...], patch: tuple[int, ...], stride: tuple[int, ...], *, reference: bool = True) -> bool:
    rng = np.random.default_rng(0)
    scores = gaussian_filter(rng.random(shape, dtype=np.float32), 4)
    size = tuple(map(min, patch, shape))
    corners = [tuple(int(rng.integers(n - p + 1)) for n, p in zip(shape, size, strict=True)) for _ in range(ANNOTATED)]
    annotated = [(corner, tuple(max(1, p // 4) for p in size)) for corner in corners]
    grid = PatchGrid(patch, stride, MOST)

    def ours() -> list[Any]:
        return select_patches({"case": scores}, grid, {"case": annotated}, 1)

    seconds, _ = measured(ours, 3)
    tracemalloc.start()
    ours()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    line = f"{shape} patch {patch} stride {stride}: {seconds:.3f} s, peak {peak / 2**20:.1f} MiB"
    line += f" beside a map of {scores.nbytes / 2**20:.0f} MiB"
    if not reference:
        print(line)
        return True
    theirs, _ = measured(lambda: scanned(convolved(scores, size, stride), size, stride, annotated), 1)
    expected = scanned(filtered(scores, size, stride), size, stride, annotated)
    found = select_patches({"case": scores}, grid, {"case": annotated}, min(MOST, len(expected)))
    same = [patch.corner for patch in found] == expected
    print(
        f"{line}; published {theirs:.2f} s, share {seconds / theirs:.4f}, same patches in float64: {same}",
        flush=True,
    )
    return same and seconds <= AT_MOST * theirs


def main() -> int:
    torch.set_num_threads(1)
    met = [compare((100, 256, 256), PATCH, STRIDE)]
    if "--small" not in sys.argv[1:]:
        met.append(compare((200, 512, 512), PATCH, STRIDE))
        compare((200, 512, 512), PATCH, (1, 1, 1), reference=False)
        met.append(compare((50, 35, 40), (20, 20, 20), (1, 1, 1)))
    print("target met" if all(met) else f"TARGET MISSED: the same patches in at most {AT_MOST} of the published time")
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
