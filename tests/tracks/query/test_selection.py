"""Patch scores and the greedy query against brute force, and what must not change them."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.tracks.query import PatchGrid, select_patches
from harness.tracks.query import selection as module
from harness.tracks.query.aggregation import patch_means
from harness.tracks.query.selection import candidates
from tests.tracks.query import references

seeds = st.integers(0, 2**32)


def as_dict(means, stride):
    return {tuple(int(i * s) for i, s in zip(place, stride, strict=True)): m for place, m in np.ndenumerate(means)}


class TestMeans:
    @given(references.scenes(1))
    def test_of_whole_numbers_are_exact(self, scene):
        maps, patch, stride, _ = scene
        expected, _ = references.patch_means(maps["image 0"], patch, stride)
        assert as_dict(patch_means(maps["image 0"], patch, stride), stride) == expected

    @pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4"])
    @pytest.mark.parametrize("stride", [(1, 1, 1), (2, 3, 1), (4, 4, 4)])
    def test_equal_those_of_cut_out_patches(self, dtype, stride):
        values = np.random.default_rng(3).gamma(0.3, size=(13, 17, 11)).astype(dtype)
        expected, _ = references.patch_means(values, (5, 4, 20), stride)
        found = as_dict(patch_means(values, (5, 4, 20), stride), stride)
        assert found.keys() == expected.keys()
        assert [found[c] for c in expected] == pytest.approx(list(expected.values()), rel=1e-9)

    @pytest.mark.parametrize("scale", [1e-280, 1e-30, 1.0, 1e30, 1e300])
    def test_keep_their_precision_at_any_scale_and_beside_an_outlier(self, scale):
        values = np.random.default_rng(0).normal(size=(40, 9, 9)) * scale
        values[0, 0, 0] = 1000 * scale
        expected, _ = references.patch_means(values, (7, 3, 3), (1, 1, 1))
        found = as_dict(patch_means(values, (7, 3, 3), (1, 1, 1)), (1, 1, 1))
        assert [found[c] for c in expected] == pytest.approx(list(expected.values()), rel=1e-9, abs=1e-11 * scale)

    def test_of_equal_patches_are_equal_wherever_they_lie(self):
        """Rounding that depends on the position would break ties by position."""
        tile = np.random.default_rng(1).random((4, 4, 4))
        assert len(np.unique(patch_means(np.tile(tile, (6, 5, 7)), (4, 4, 4), (4, 4, 4)))) == 1
        assert len(np.unique(patch_means(np.full((30, 20, 20), 0.1), (3, 5, 7), (1, 1, 1)))) == 1

    def test_do_not_overflow(self):
        """Sums over the volume exceed what one patch may reach."""
        values = np.full((70, 60, 60), np.finfo(np.float64).max)
        assert patch_means(values, (2, 2, 2), (1, 1, 1)) == pytest.approx(values[0, 0, 0], rel=1e-12)
        assert patch_means(values, (69, 60, 59), (1, 1, 1)) == pytest.approx(values[0, 0, 0], rel=1e-12)
        assert patch_means(-values, (2, 2, 2), (2, 2, 2)) == pytest.approx(-values[0, 0, 0], rel=1e-12)

    @pytest.mark.parametrize(("stride", "tables"), [((1, 1, 1), 1.25), ((4, 4, 4), 0.1)])
    def test_take_one_table_of_memory(self, stride, tables):
        values = np.random.default_rng(0).random((60, 200, 200), dtype=np.float32)
        tracemalloc.start()
        patch_means(values, (10, 10, 10), stride)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < tables * values.size * 8

    @pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
    def test_of_maps_that_are_not_finite_do_not_exist(self, wrong):
        values = np.zeros((4, 5, 6))
        values[1, 2, 3] = wrong
        with pytest.raises(ValueError, match=r"finite: voxel \(1, 2, 3\) is -?(nan|inf), 1 in all"):
            patch_means(values, (2, 2, 2), (1, 1, 1))

    @pytest.mark.parametrize(
        ("values", "patch", "stride", "message"),
        [
            (np.zeros((4, 0)), (2, 2), (1, 1), "real numbers"),
            (np.zeros((4, 4), dtype=complex), (2, 2), (1, 1), "real numbers"),
            (np.zeros((4, 4)), (2, 2, 2), (1, 1, 1), "has 3 axes, the image has 2"),
            (np.zeros((4, 4)), (2, 0), (1, 1), "must be positive"),
            (np.zeros((4, 4)), (2, 2), (1, 0), "stride"),
            (np.zeros((4, 4)), (2, 2), (1,), "stride"),
        ],
    )
    def test_of_input_that_does_not_fit_raise(self, values, patch, stride, message):
        with pytest.raises(ValueError, match=message):
            patch_means(values, patch, stride)


class TestQuery:
    @settings(max_examples=300)
    @given(references.scenes(), st.integers(1, 6), st.integers(1, 12))
    def test_equals_brute_force(self, scene, most, budget):
        """Ties included, in the published order."""
        maps, patch, stride, annotated = scene
        pool = []
        for image, values in maps.items():
            own = references.candidates(values, patch, stride, annotated[image], most)
            pool += [(image, *candidate) for candidate in own]
        grid = PatchGrid(patch, stride, most)
        assert candidates(maps, grid, annotated) == pool
        if len(pool) < budget:
            with pytest.raises(ValueError, match=f"only {len(pool)} patches fit, the budget is {budget}"):
                select_patches(maps, grid, annotated, budget)
        else:
            expected = sorted(pool, key=lambda row: -row[3])[:budget]
            assert select_patches(iter(maps.items()), grid, annotated, budget) == expected

    @given(references.scenes(), st.integers(1, 6), seeds)
    def test_with_a_generator_is_greedy_in_any_order_of_ties(self, scene, most, seed):
        maps, patch, stride, annotated = scene
        grid = PatchGrid(patch, stride, most)
        found = candidates(maps, grid, annotated, np.random.default_rng(seed))
        for image, values in maps.items():
            means, size = references.patch_means(values, patch, stride)
            covered = set().union(*(references.voxels(box, values.shape) for box in annotated[image]))
            own = [row for row in found if row.image == image]
            for row in [*own, None]:
                free = {c: m for c, m in means.items() if not references.voxels((c, size), values.shape) & covered}
                if row is None:
                    assert len(own) == most or not free  # nothing that fits is left out
                else:
                    assert row.size == size
                    assert row.score == free[row.corner] == max(free.values())
                    covered |= references.voxels((row.corner, size), values.shape)

    @given(references.scenes(), st.integers(1, 6), st.integers(-1000, 1000), st.one_of(st.none(), seeds))
    def test_is_unchanged_when_all_scores_move_by_a_constant(self, scene, most, constant, seed):
        maps, patch, stride, annotated = scene
        # Means of 2 ** n voxels are exact before and after; images of 4 voxels or more do not clip a patch to 3.
        patch = tuple({3: 2}.get(p, p) for p in patch)
        maps = {k: np.tile(v.astype(np.float64), [4 if n < 4 else 1 for n in v.shape]) for k, v in maps.items()}
        grid = PatchGrid(patch, stride, most)

        def chosen(shift):
            rng = None if seed is None else np.random.default_rng(seed)
            rows = candidates({image: values + shift for image, values in maps.items()}, grid, annotated, rng)
            return [row.patch for row in rows]

        assert chosen(constant) == chosen(0)

    @given(references.scenes(), seeds)
    def test_with_a_generator_does_not_depend_on_the_order_of_images(self, scene, seed):
        maps, patch, stride, annotated = scene
        grid = PatchGrid(patch, stride, 4)
        turned = dict(reversed(maps.items()))
        budget = max(1, len(candidates(maps, grid, annotated)) // 2)
        try:
            found = select_patches(maps, grid, annotated, budget, np.random.default_rng(seed))
        except ValueError:
            return  # nothing fits, or less than without a generator
        assert select_patches(turned, grid, annotated, budget, np.random.default_rng(seed)) == found

    def test_breaks_ties_at_random_and_not_by_position_or_image(self):
        maps = {"a": np.zeros((1, 40)), "b": np.zeros((1, 40))}
        grid = PatchGrid((1, 4), (1, 4), 10)
        counts = dict.fromkeys([(image, 4 * k) for image in maps for k in range(10)], 0)
        for seed in range(1000):
            rng = np.random.default_rng(seed)
            for patch in select_patches(maps, grid, {}, 5, rng):
                counts[patch.image, patch.corner[1]] += 1
        # 1000 draws of 5 of 20 equals: binomial(1000, 1/4), 5 standard deviations.
        assert all(abs(count - 250) < 5 * np.sqrt(1000 * 3 / 16) for count in counts.values())

    def test_takes_any_of_equal_positions_of_an_image(self):
        grid = PatchGrid((1, 4), (1, 4), 1)
        draws = (candidates({"a": np.zeros((1, 40))}, grid, {}, np.random.default_rng(seed)) for seed in range(1000))
        counts = np.bincount([patch.corner[1] // 4 for (patch,) in draws], minlength=10)
        assert (abs(counts - 100) < 5 * np.sqrt(1000 * 9 / 100)).all()

    def test_looks_as_far_down_the_ranking_as_it_must(self, monkeypatch):
        """Everything but the worst corner is annotated or covered: all portions of the ranking are read."""
        monkeypatch.setattr(module, "_LOOK_AHEAD", 7)
        monkeypatch.setattr(module, "_SAMPLE", 10)
        values = np.add.outer(np.arange(60.0), np.arange(50.0))
        found = candidates(
            {"a": values}, PatchGrid((5, 5), (1, 1), 1000), {"a": [((5, 0), (55, 50)), ((0, 5), (5, 45))]}
        )
        assert [(row.corner, row.score) for row in found] == [((0, 0), 4.0)]
        assert candidates({"a": values}, PatchGrid((60, 50), (1, 1), 3), {"a": [((0, 0), "whole")]}) == []
        # Without annotations, squares of 5 tile the image from its best corner on.
        tiled = candidates({"a": values}, PatchGrid((5, 5), (1, 1), 1000), {})
        assert {row.corner for row in tiled} == {(i, j) for i in range(0, 60, 5) for j in range(0, 50, 5)}

    def test_leaves_the_maps_alone(self):
        values = np.random.default_rng(0).random((6, 6))
        values.flags.writeable = False
        assert len(select_patches({"a": values}, PatchGrid((2, 2), (1, 1), 5), {}, 5)) == 5

    @pytest.mark.parametrize(
        ("maps", "annotated", "budget", "message"),
        [
            ([("a", np.zeros((4, 4))), ("a", np.zeros((4, 4)))], {}, 1, "'a' has two score maps"),
            ({"a": np.full((4, 4), np.nan)}, {}, 1, "image 'a': a score map must be finite"),
            ({"a": np.zeros((4, 4))}, {"a": [((3, 3), (2, 2))]}, 1, "image 'a': .* leaves the image"),
            ({"a": np.zeros((4, 4))}, {}, 5, "only 4 patches fit, the budget is 5"),
            ({"a": np.zeros((4, 4))}, {"a": [((0, 0), "whole")]}, 1, "only 0 patches fit, the budget is 1"),
            ({"a": np.zeros((4, 4))}, {}, 0, "at least 1"),
        ],
    )
    def test_says_what_is_wrong(self, maps, annotated, budget, message):
        with pytest.raises(ValueError, match=message):
            select_patches(maps, PatchGrid((2, 2), (2, 2), 9), annotated, budget)
        with pytest.raises(ValueError, match="max_per_image"):
            PatchGrid((2, 2), (2, 2), 0)
