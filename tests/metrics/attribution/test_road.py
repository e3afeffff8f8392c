from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from harness.metrics.attribution._imputation import imputed
from harness.metrics.attribution.faithful_removal import ROAD

from ._by_hand import imputed_directly
from ._worlds import world

KINDS = ("random", "smooth", "corner")


def image(shape, rng):
    values = gaussian_filter(rng.random(shape), 1.0)
    return (values - values.min()) / np.ptp(values)


def order(kind, shape, rng):
    """Positions in the order of removal: scattered, in blobs, or from one corner on, which leaves the largest hole."""
    scores = {
        "random": rng.random(shape),
        "smooth": gaussian_filter(rng.random(shape), max(shape) / 10),
        "corner": -np.sum(np.indices(shape), axis=0) + 1e-3 * rng.random(shape),
    }[kind]
    return np.argsort(-scores.reshape(-1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(28, 28), (32, 17), (6, 9, 7), (9, 10, 9)])
def test_equal_to_the_direct_solution(shape, kind):
    rng = np.random.default_rng(0)
    x = np.stack([image(shape, rng), image(shape, rng) - 1])
    places = order(kind, shape, rng)
    removed = [places[: places.size * percentage // 100] for percentage in (11, 51, 91, 99)]
    missing = torch.zeros(4, places.size, dtype=torch.bool)
    for row, positions in zip(missing, removed, strict=True):
        row[torch.from_numpy(positions.copy())] = True
    filled = imputed(torch.from_numpy(x).float().expand(4, *x.shape), missing)
    for one, positions in zip(filled, removed, strict=True):
        np.testing.assert_allclose(one.numpy(), imputed_directly(x, positions), rtol=0, atol=1e-5)


@settings(max_examples=40)
@given(
    shape=st.one_of(st.tuples(*[st.integers(1, 9)] * 2), st.tuples(*[st.integers(1, 5)] * 3)),
    seed=st.integers(0, 10**6),
    share=st.floats(0.0, 0.99),
)
def test_any_holes(shape, seed, share):
    rng = np.random.default_rng(seed)
    x, size = rng.random((1, *shape)), int(np.prod(shape))
    removed = rng.permutation(size)[: int(share * size)]
    missing = torch.zeros(1, size, dtype=torch.bool)
    missing[0, torch.from_numpy(removed)] = True
    filled = imputed(torch.from_numpy(x)[None], missing)
    assert filled.dtype == torch.float64
    np.testing.assert_allclose(filled[0].numpy(), imputed_directly(x, removed), rtol=0, atol=1e-5)
    known = ~missing.view(1, 1, *shape).expand_as(filled)
    torch.testing.assert_close(filled[known], torch.from_numpy(x)[None][known], rtol=0, atol=1e-7)


def test_what_lies_on_a_plane_is_imputed_exactly():
    """Away from the border the mean of the neighbours of a plane is the plane; the border is known here."""
    rows, columns = np.mgrid[:12, :12]
    plane = torch.from_numpy(0.03 * rows + 0.05 * columns).float()[None, None]
    missing = torch.zeros(12, 12, dtype=torch.bool)
    missing[1:-1, 1:-1] = True
    torch.testing.assert_close(imputed(plane, missing.view(1, -1)), plane, rtol=0, atol=1e-5)


def test_one_missing_pixel_is_the_weighted_mean_of_its_neighbours():
    x = torch.rand(1, 1, 3, 3)
    missing = torch.zeros(1, 9, dtype=torch.bool)
    missing[0, 4] = True
    weights = torch.tensor([[1, 2, 1], [2, 0, 2], [1, 2, 1]]) / 12
    assert float(imputed(x, missing)[0, 0, 1, 1]) == pytest.approx(float((x[0, 0] * weights).sum()), abs=1e-6)
    corner = torch.zeros(1, 9, dtype=torch.bool)
    corner[0, 0] = True
    expected = (2 * x[0, 0, 0, 1] + 2 * x[0, 0, 1, 0] + x[0, 0, 1, 1]) / 5
    assert float(imputed(x, corner)[0, 0, 0, 0]) == pytest.approx(float(expected), abs=1e-6)


def test_a_system_is_solved_alike_in_any_company():
    rng = np.random.default_rng(0)
    x = torch.from_numpy(image((20, 20), rng)).float()[None, None].expand(60, 1, 20, 20)
    places = torch.from_numpy(np.stack([order(kind, (20, 20), rng) for kind in KINDS * 20]))
    ranks = places.argsort(dim=1)
    missing = ranks < torch.linspace(10, 399, 60)[:, None]
    together = imputed(x, missing)
    for row in (0, 31, 59):
        torch.testing.assert_close(imputed(x[:1], missing[row : row + 1])[0], together[row], rtol=0, atol=1e-6)


def test_iterations_hardly_grow_with_size():
    """What makes it fast: four times the width would need four times the iterations of plain conjugate gradients."""
    from harness.metrics.attribution import _imputation

    def iterations(width):
        rng = np.random.default_rng(0)
        places = torch.from_numpy(order("corner", (width, width), rng))
        missing = places.argsort()[None] < width * width * 91 // 100
        calls, dot = [], _imputation._dot
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_imputation, "_dot", lambda a, b: calls.append(1) or dot(a, b))
            imputed(torch.from_numpy(image((width, width), rng)).float()[None, None], missing)
        return len(calls) / 2

    assert iterations(96) <= 2 * iterations(24)


@pytest.mark.parametrize("modality", ["image", "volume", "cloud"])
def test_without_noise_and_evidence_all_percentages_count(modality):
    """A model that always predicts the target scores 1 (LATEC: the area under ones), one that never does 0."""
    given_ = world(modality, samples=3)
    with torch.no_grad():
        given_.model[-1].weight.zero_()
        given_.model[-1].bias.copy_(torch.tensor([0.0, 1.0, 0.0]))
    given_.targets.copy_(torch.tensor([1, 0, 1]))
    assert given_.score(ROAD(percentages=(10, 50, 90))).tolist() == [1.0, 0.0, 1.0]
    assert given_.score(ROAD(percentages=(10, 50, 90), reading="latec")).tolist() == [2.0, 0.0, 2.0]
