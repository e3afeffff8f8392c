"""The faithfulness metrics as their definitions read: one sample and one index at a time, in numpy."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.ndimage import convolve1d
from scipy.stats import pearsonr, spearmanr


class Hand:
    """One sample: its input, target, map, and what its own streams draw."""

    def __init__(self, world, samples, row):
        self.model = world.model
        self.samples, self.row = samples, row
        self.x = world.inputs[row].numpy()
        self.target = int(world.targets[row])
        self.map = np.broadcast_to(world.maps[row].numpy(), self.x.shape).copy()
        self.p = self.probability(self.x)

    def said(self, x, reading):
        """What falls when attribution is removed: LATEC's logit, else the probability."""
        return self.logits(x)[self.target] if reading == "latec" else self.probability(x)

    def rng(self, purpose):
        return self.samples.generators(purpose)[self.row]

    def logits(self, x):
        with torch.no_grad():
            return self.model(torch.from_numpy(np.ascontiguousarray(x, dtype=self.x.dtype))[None])[0].double().numpy()

    def probability(self, x):
        exponents = np.exp(self.logits(x) - self.logits(x).max())
        return exponents[self.target] / exponents.sum()

    def scores(self, reading):
        """What is ranked, flat, of largest |value| 1."""
        flat = self.map.reshape(-1) if reading == "latec" else self.map.mean(axis=0).reshape(-1)
        return flat / np.abs(flat).max()

    def order(self, reading):
        return np.argsort(-self.scores(reading), kind="stable")

    def put(self, x, index, value, reading):
        """x with one number, or in the corrected reading one position, replaced; value may be an input."""
        x = x.copy().reshape(-1) if reading == "latec" else x.copy().reshape(len(x), -1)
        value = np.broadcast_to(value, self.x.shape).reshape(x.shape)
        x[..., index] = value[..., index]
        return x.reshape(self.x.shape)

    def steps(self, count, step, reading):
        """Lists of places."""
        number = math.ceil(count / step)
        if reading == "latec":
            return [list(range(k * step, min((k + 1) * step, count))) for k in range(number)]
        return [list(range(k * count // number, (k + 1) * count // number)) for k in range(number)]

    def colour(self, draw, reading):
        return draw if reading == "latec" else self.x.min() + draw * (self.x.max() - self.x.min())


def faithfulness_correlation(hand, metric):
    scores, rng = hand.scores(metric.reading), hand.rng(metric.id)
    sums, drops = [], []
    for _ in range(metric.runs):
        subset = rng.choice(len(scores), metric.subset, replace=False, shuffle=False)
        x = hand.x
        for index in subset:
            x = hand.put(x, index, hand.x.min(), metric.reading)
        sums.append(sum(scores[index] for index in subset))
        drops.append(hand.said(hand.x, metric.reading) - hand.said(x, metric.reading))
    return pearsonr(sums, drops)[0]


def faithfulness_estimate(hand, metric):
    scores, order = hand.scores(metric.reading), hand.order(metric.reading)
    worth, drops = [], []
    for step in hand.steps(len(order), metric.step, metric.reading):
        x = hand.x
        for place in step:
            x = hand.put(x, order[place], hand.x.min(), metric.reading)
        worth.append(np.sum(scores[order[step]]) if metric.reading == "latec" else np.mean(scores[order[step]]))
        drops.append(hand.said(hand.x, metric.reading) - hand.said(x, metric.reading))
    return pearsonr(worth, drops)[0]


def monotonicity_correlation(hand, metric):
    scores = np.abs(hand.scores(metric.reading))
    order = np.argsort(scores, kind="stable")
    steps = hand.steps(len(order), metric.step, metric.reading)
    drawn = hand.rng(metric.id).random((len(steps), metric.draws))
    worth, reaction = [], []
    for step, draws in zip(steps, drawn, strict=True):
        changes = []
        for draw in draws:
            x = hand.x
            for place in step:
                x = hand.put(x, order[place], hand.colour(draw, metric.reading), metric.reading)
            changes.append((hand.probability(x) - hand.p) ** 2)
        worth.append(np.sum(scores[order[step]]) if metric.reading == "latec" else np.mean(scores[order[step]]))
        reaction.append(np.mean(changes) / hand.p**2)
    return spearmanr(worth, reaction)[0]


def pixel_flipping(hand, metric):
    order, x, curve = hand.order(metric.reading), hand.x, []
    for step in hand.steps(len(order), metric.step, metric.reading):
        for place in step:
            x = hand.put(x, order[place], hand.x.min(), metric.reading)
        curve.append(hand.probability(x))
    return np.trapezoid(curve) if metric.reading == "latec" else np.trapezoid([hand.p, *curve]) / len(curve)


def region_perturbation(hand, metric):
    if metric.reading == "latec":
        return _windows_perturbed(hand, metric)
    regions = _patches(hand.x.shape[1:], metric.patch)
    if hand.x.ndim == 2:
        regions = _groups(_clusters(hand, metric.clusters))
    scores = hand.map.sum(axis=0).reshape(-1)
    worth = [np.mean(scores[region]) for region in regions]
    drawn = hand.rng("baseline").random(min(metric.regions, len(regions)))
    x, drops = hand.x, []
    for region, draw in zip(np.argsort(-np.array(worth), kind="stable"), drawn, strict=False):
        for position in regions[region]:
            x = hand.put(x, position, hand.colour(draw, metric.reading), "corrected")
        drops.append(hand.p - hand.probability(x))
    return np.trapezoid([0, *drops]) / len(drops)


def _windows_perturbed(hand, metric):
    """Cubes over all axes, channels too, that begin at any number; sorted, then taken unless they overlap."""
    windows = []
    for corner in np.ndindex(hand.x.shape):
        window = tuple(slice(first, first + metric.patch) for first in corner)
        windows.append((hand.map[window].sum(), corner, window))
    taken, drops, x = [], [], hand.x.copy()
    drawn = hand.rng("baseline").random(metric.regions)
    for _, corner, window in sorted(windows, key=lambda each: -each[0]):
        if all(max(abs(np.subtract(corner, other))) >= metric.patch for other in taken):
            padded = np.pad(x, metric.patch - 1, mode="edge")
            x[window] = padded.mean() if metric.baseline == "mean" else drawn[len(taken)]
            taken.append(corner)
            drops.append(hand.p - hand.probability(x))
        if len(taken) == metric.regions:
            break
    return np.trapezoid(drops)


def irof(hand, metric):
    from skimage.segmentation import slic

    if hand.x.ndim == 2:
        labels = _clusters(hand, metric.clusters)
    elif hand.x.ndim == 4 and metric.reading == "latec":
        flat = slic(np.moveaxis(hand.x[0], 0, -1), n_segments=metric.segments, start_label=0, channel_axis=-1)
        labels = np.stack([flat] * hand.x.shape[1])
    else:
        labels = slic(np.moveaxis(hand.x, 0, -1), n_segments=metric.segments, start_label=0, channel_axis=-1)
    segments = _groups(labels)
    scores = hand.map.mean(axis=0).reshape(-1)
    x, share = hand.x, []
    mean = hand.x.reshape(len(hand.x), -1).mean(axis=1).reshape(-1, *[1] * (hand.x.ndim - 1))
    plane = math.prod(hand.x.shape[2:] if hand.x.ndim == 4 else hand.x.shape[1:])
    for segment in np.argsort([-np.mean(scores[segment]) for segment in segments], kind="stable"):
        if metric.reading == "latec":  # places of the first plane, as places of the whole
            x = x.copy()
            x.reshape(-1)[[position for position in segments[segment] if position < plane]] = x.mean()
        else:
            for position in segments[segment]:
                x = hand.put(x, position, mean, "corrected")
        share.append(hand.probability(x) / hand.p)
    if metric.reading == "latec":
        return len(segments) - np.trapezoid(share)
    return 1 - np.trapezoid([1, *np.minimum(share, 1)]) / len(segments)


def insertion(hand, metric):
    if hand.x.ndim == 3 or (hand.x.ndim == 4 and metric.reading == "corrected"):
        start = _blurred(hand.x, metric.sigma, metric.kernel)
    else:
        start = hand.x + hand.rng(metric.id).normal(0, metric.noise, hand.x.shape)
    return _walk(hand, metric, start, hand.x)


def deletion(hand, metric):
    return _walk(hand, metric, hand.x, np.zeros_like(hand.x))


def road(hand, metric):
    noise = hand.rng(metric.id).normal(0, metric.noise, hand.x.shape)
    latec = metric.reading == "latec"
    noisy_only = hand.x.ndim == 2 or (hand.x.ndim == 4 and latec)
    order, hits = hand.order("latec" if latec and hand.x.ndim == 4 else "corrected"), []
    numbers = hand.x.size if latec and (hand.x.ndim == 2 or metric.counted == "numbers") else len(order)
    for percentage in metric.percentages:
        removed = order[: int(numbers * percentage / 100)]
        if noisy_only:
            filled = hand.x + noise
        else:
            filled = imputed_directly(hand.x, removed) if len(removed) < len(order) else np.zeros_like(hand.x)
            filled = filled + noise
        x = hand.x
        for index in removed:  # of a cloud's flat indices only the first coordinate is hit
            x = hand.put(x, index, filled, "latec" if latec and noisy_only else "corrected")
        hits.append(float(np.argmax(hand.logits(x)) == hand.target))
    return np.trapezoid(hits) if metric.reading == "latec" else np.mean(hits)


def infidelity(hand, metric):
    shape = (metric.draws, *hand.x.shape) if metric.reading == "latec" else (metric.draws, 1, *hand.x.shape[1:])
    noise = hand.rng(metric.id).standard_normal(shape, dtype="float32") * np.float32(metric.noise)
    whole = hand.logits(hand.x)[hand.target]
    changes = np.array([whole - hand.logits(hand.x - each)[hand.target] for each in noise])
    products = np.array([np.sum(each * hand.map) for each in noise.astype(float)])
    if metric.reading == "latec":
        return np.mean((products - changes) ** 2)
    factor = max(0.0, np.dot(products, changes) / np.dot(products, products))
    return np.mean((factor * products - changes) ** 2) / np.mean(changes**2)


def imputed_directly(x, removed):
    """The sparse system of the imputation, solved at once; x (c, *spatial), removed: positions."""
    from itertools import product

    from scipy.sparse import lil_matrix
    from scipy.sparse.linalg import spsolve

    spatial = x.shape[1:]
    number = {int(position): k for k, position in enumerate(removed)}
    places = list(product(*map(range, spatial)))
    positions = {place: position for position, place in enumerate(places)}
    flat = x.reshape(len(x), -1).astype(float)
    matrix, right = lil_matrix((len(removed), len(removed))), np.zeros((len(removed), len(x)))
    share = {2: {1: 1 / 6, 2: 1 / 12}, 3: {1: 1 / 14, 2: 1 / 28, 3: 1 / 56}}[len(spatial)]
    offsets = [
        (offset, share[sum(map(abs, offset))]) for offset in product((-1, 0, 1), repeat=len(spatial)) if any(offset)
    ]
    for position, k in number.items():
        for offset, weight in offsets:
            there = tuple(a + b for a, b in zip(places[position], offset, strict=True))
            if there not in positions:
                continue
            matrix[k, k] += weight
            if positions[there] in number:
                matrix[k, number[positions[there]]] = -weight
            else:
                right[k] += weight * flat[:, positions[there]]
    if len(removed):
        flat[:, np.asarray(removed)] = spsolve(matrix.tocsc(), right).reshape(len(removed), -1).T
    return flat.reshape(x.shape)


def _walk(hand, metric, start, end):
    """Area under the probability while start becomes end."""
    order, x, curve = hand.order(metric.reading), start, []
    for step in hand.steps(len(order), metric.step, metric.reading):
        for place in step:
            index = order[place]
            if metric.reading == "latec" and hand.x.ndim == 3:
                x = hand.put(x, index % hand.x[0].size, end, "corrected")
            else:
                x = hand.put(x, index, end, metric.reading)
        curve.append(hand.probability(x))
    if metric.reading == "latec":
        return np.trapezoid(curve[:-1]) / len(curve[:-1])
    return np.trapezoid([hand.probability(start), *curve]) / len(curve)


def _blurred(x, sigma, kernel):
    weights = np.exp(-0.5 * (np.arange(kernel) - kernel // 2) ** 2 / sigma**2)
    for axis in range(1, x.ndim):
        x = convolve1d(x, weights / weights.sum(), axis=axis, mode="mirror")
    return x


def _patches(spatial, width):
    """Lists of positions, in the order of patches in space."""
    numbers = np.arange(math.prod(spatial)).reshape(spatial)
    corners = np.ndindex(*[math.ceil(size / width) for size in spatial])
    return [numbers[tuple(slice(c * width, (c + 1) * width) for c in corner)].reshape(-1) for corner in corners]


def _clusters(hand, clusters):
    from sklearn.cluster import KMeans

    seed = int(hand.rng("clusters").integers(2**31))
    return KMeans(clusters, n_init=1, random_state=seed).fit_predict(hand.x.T.astype(float))


def _groups(labels):
    return [np.flatnonzero(labels.reshape(-1) == label) for label in np.unique(labels)]
