"""Candidates and queries as nnActive's own code selects them."""

from __future__ import annotations

import numpy as np
import pytest

from harness.tracks.query import PatchGrid, select_patches
from harness.tracks.query.selection import candidates
from tests.oracles import oracle

_PUBLISHED = oracle("patch_selection")


@pytest.mark.parametrize("rng", [None, 0])
@pytest.mark.parametrize("case", _PUBLISHED["cases"], ids=lambda case: f"stride {case['stride']}")
def test_candidates_and_query(case, rng):
    """Published scores come from float32 convolutions at strides above 1: equal to 1e-6. There are no ties."""
    maps = {image: np.array(values, dtype=np.float32) for image, values in case["maps"].items()}
    annotated = {}
    for row in case["annotated"]:
        annotated.setdefault(row["file"], []).append((tuple(row["coords"]), tuple(row["size"])))
    grid = PatchGrid(tuple(case["patch"]), tuple(case["stride"]), case["max_per_image"])
    generator = None if rng is None else np.random.default_rng(rng)
    same(candidates(maps, grid, annotated, generator), case["candidates"])
    same(select_patches(maps, grid, annotated, case["query_size"], generator), case["selected"])


def same(found, published):
    assert [(p.image, list(p.corner), list(p.size)) for p in found] == [
        (row["file"], row["coords"], row["size"]) for row in published
    ]
    assert [p.score for p in found] == pytest.approx([row["score"] for row in published], rel=1e-6)
