"""Robustness: maps of inputs that hardly differ should hardly differ.

The method is asked again for maps of perturbed inputs; those are read as the stored map is, number by number (a
single channel counts for all), and compared with it. Noise comes from each sample's own stream.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.metrics.attribution._neighbours import (
    asked,
    measured,
    noisy,
    norm,
    patch_largest,
    patch_sums,
    shifted,
    translated,
)
from harness.metrics.attribution.base import MapMetric, check_patch, require
from harness.metrics.attribution.map_batch import MapBatch, Reading

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from harness.metrics.attribution._neighbours import Near
    from harness.metrics.attribution.forwards import Forwards

_TINY = 1e-10


@dataclass(frozen=True, kw_only=True)
class LocalLipschitz(MapMetric):
    r"""Largest ||a - a'|| / ||x - x'|| over `draws` inputs x' = x + N(0, std²), with maps a, a' of largest |value| 1.

    $$ \max_d \frac{\lVert a - a_d \rVert}{\lVert x - x_d \rVert} $$

    $x_d$: draw $d$ of an input nearby, $a_d$: its map.

    Lower is better; in [0, inf). 0 for a method that answers the same to all inputs. Alvarez-Melis & Jaakkola 2018.

    LATEC's reading leaves the first number of each sample without noise (see
    `harness.metrics.attribution._neighbours.noisy`). It takes 5 draws with std 0.1 for images (0.00002 for OCT) and
    point clouds, 10 with 0.2 for volumes.
    """

    id = "local_lipschitz"
    title = "Local Lipschitz estimate"
    criterion = "robustness"
    direction = "lower"
    range = (0.0, math.inf)
    citation = "Alvarez-Melis & Jaakkola 2018, On the Robustness of Interpretability Methods"
    needs = frozenset({"explain"})

    draws: int = 5
    std: float = 0.1
    reading: Reading = "corrected"

    def __post_init__(self) -> None:
        require(self.draws >= 1 and self.std > 0, "draws must be at least 1 and std above 0")

    def _score(self, forwards: Forwards, samples: MapBatch) -> Tensor:
        import torch

        def slope(rows: slice, inputs: Tensor, maps: Tensor) -> Tensor:
            moved = inputs - samples.inputs[rows].flatten(1).to(torch.float64)[:, None]
            return norm(maps - samples.compared(self.reading)[rows][:, None]) / (norm(moved) + _TINY)

        def noise(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
            return generator.normal(0.0, self.std, shape)

        near = noisy(samples, self.id, self.draws, noise, self.reading)
        return asked(samples, self.draws, near, self.reading, slope).amax(dim=1)


@dataclass(frozen=True, kw_only=True)
class MaxSensitivity(MapMetric):
    r"""Largest ||a - a'|| / ||a|| over `draws` inputs x' = x + U(-radius, radius), with maps of largest |value| 1.

    $$ \max_d \frac{\lVert a - a_d \rVert}{\lVert a \rVert} $$

    $x_d$: draw $d$ of an input nearby, $a_d$: its map.

    Lower is better; in [0, inf). 0 for a method that answers the same to all inputs. Yeh et al. 2019.

    LATEC's reading divides by ||x||, which is the same for all methods and so favours maps of small norm, and leaves
    the first number of each sample without noise (see `harness.metrics.attribution._neighbours.noisy`).
    """

    id = "max_sensitivity"
    title = "Max-Sensitivity"
    criterion = "robustness"
    direction = "lower"
    range = (0.0, math.inf)
    citation = "Yeh et al. 2019, On the (In)fidelity and Sensitivity of Explanations"
    needs = frozenset({"explain"})

    draws: int = 10
    radius: float = 0.2
    reading: Reading = "corrected"

    def __post_init__(self) -> None:
        require(self.draws >= 1 and self.radius > 0, "draws must be at least 1 and radius above 0")

    def _score(self, forwards: Forwards, samples: MapBatch) -> Tensor:
        import torch

        def change(rows: slice, inputs: Tensor, maps: Tensor) -> Tensor:
            return norm(maps - samples.compared(self.reading)[rows][:, None])

        def noise(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
            return generator.uniform(-self.radius, self.radius, shape)

        near = noisy(samples, self.id, self.draws, noise, self.reading)
        whole = samples.inputs.flatten(1).to(torch.float64) if self.reading == "latec" else samples.elements
        return asked(samples, self.draws, near, self.reading, change).amax(dim=1) / norm(whole).clamp_min(_TINY)


@dataclass(frozen=True, kw_only=True)
class Continuity(MapMetric):
    r"""How far the attribution of each part of the input goes with the probability of the target while the input moves.

    $$ \frac{1}{|Q|} \sum_{q \in Q} \mathrm{spearman}_k \left( \sum_{i \in q} |a_{k,i}|, \; f(x_k) \right) $$

    $q$: a patch; $x_k$: the input after move $k$, $a_k$: its map; $f$: probability of the target.

    Mean, over patches, of the Spearman correlation over `steps` moves between the sum of |attribution| within the
    patch (maps of largest |value| 1) and the target's probability. Higher is better; in [-1, 1]. A patch whose
    attribution never changes counts 0, so that a method that answers the same to all inputs gets 0. After Montavon
    et al. 2018, as made a correlation by Quantus.

    Corrected reading: images and volumes are moved by 1, 2, ..., steps / 2 pixels in both directions along their last
    axis, and filled with their smallest value; point clouds by as many times `offset` along their first coordinate.

    LATEC's: steps k = 1, 2, ... of k * floor(pixels / steps) pixels to the right, filled with a random colour, which
    leaves nothing of a usual image; of a volume each slice along the first axis with a number of its own. Clouds move
    by 2k / steps, and points of which a coordinate is then beyond [-1, 1] are set to 0. The attribution of a patch is
    divided by its largest |value| before it is summed, and a map of zeros, such as that of a cloud at the origin, stays
    zero; of a cloud only the points 0, patch, 2 * patch, ... count, each a patch. It is the target's logit that they go
    with.

    patch: width, along each axis, of patches (the last may be smaller). For clouds the number of successive points:
    1, unless their order means something. LATEC takes 56 for images, 7 for volumes, 3 for point clouds.
    """

    id = "continuity"
    title = "Continuity"
    criterion = "robustness"
    direction = "higher"
    range = (-1.0, 1.0)
    citation = (
        "Montavon et al. 2018, Methods for Interpreting and Understanding Deep Neural Networks; "
        "Hedström et al. 2023, Quantus"
    )
    needs = frozenset({"explain"})

    steps: int = 20
    patch: int = 4
    offset: float = 0.02
    reading: Reading = "corrected"

    def __post_init__(self) -> None:
        require(self.steps >= 2 and self.steps % 2 == 0, "steps must be even and at least 2")
        require(self.patch >= 1 and self.offset > 0, "patch must be at least 1 and offset above 0")

    def _score(self, forwards: Forwards, samples: MapBatch) -> Tensor:
        from harness.metrics.attribution._correlation import spearman

        check_patch(self.patch, samples)

        def patches(rows: slice, inputs: Tensor, maps: Tensor) -> Tensor:
            return self._patches(maps.abs().view(-1, *samples.inputs.shape[1:])).view(*maps.shape[:2], -1)

        sums = asked(samples, self.steps, self._moved(samples), self.reading, patches).transpose(1, 2)
        # Rounded, because single-precision noise must not put sums in order that are equal.
        largest = sums.amax(dim=(1, 2), keepdim=True)
        sums = (sums / largest.where(largest > 0, 1.0)).round(decimals=6)
        return spearman(sums, self._of_target(forwards, samples)[:, None].expand_as(sums)).mean(dim=1)

    def _patches(self, sizes: Tensor) -> Tensor:
        """Attribution (m, patches) of |maps| (m, c, *spatial) of largest value 1."""
        if self.reading == "corrected":
            return patch_sums(sizes, self.patch)
        width = self.patch
        if sizes.ndim == 3:
            sizes, width = sizes[..., :: self.patch], 1
        largest = patch_largest(sizes, width)
        return patch_sums(sizes, width) / largest.where(largest > 0, 1.0)

    def _of_target(self, forwards: Forwards, samples: MapBatch) -> Tensor:
        """(n, steps): probability of the target, or logit, after each move."""
        from harness.metrics.attribution.forwards import of_targets

        def of_target(rows: slice, inputs: Tensor) -> Tensor:
            targets = samples.targets[rows].repeat_interleave(self.steps)
            return of_targets(forwards.logits(inputs), targets, "logit" if self.reading == "latec" else "probability")

        def compute() -> dict[str, Tensor]:
            return {"of_target": measured(samples, self.steps, self._moved(samples), of_target)}

        constants = {"steps": self.steps, "offset": self.offset, "reading": self.reading}
        return forwards.shared(self.id, constants, samples, compute)["of_target"]

    def _moved(self, samples: MapBatch) -> Near:
        cloud = samples.inputs.ndim == 3
        if self.reading == "latec":
            return self._moved_far_cloud(samples) if cloud else self._moved_far(samples)
        half = self.steps // 2
        moves = [*range(-half, 0), *range(1, half + 1)]
        if cloud:
            return lambda row: translated(samples.inputs[row], [self.offset * move for move in moves])
        if half >= samples.inputs.shape[-1]:
            raise ValueError(f"continuity: {self.steps} steps leave an image of width {samples.inputs.shape[-1]}.")
        black = samples.inputs.flatten(1).amin(dim=1)[:, None, None].expand(-1, self.steps, samples.inputs.shape[1])
        return lambda row: shifted(samples.inputs[row], moves, black[row])

    def _moved_far(self, samples: MapBatch) -> Near:
        import torch

        generators = samples.generators(self.id)
        channels, *spatial = samples.inputs.shape[1:]
        stride = math.prod(spatial) // self.steps
        moves = [stride * step for step in range(1, self.steps + 1)]

        def near(row: int) -> Tensor:
            if len(spatial) == 3:
                slices = torch.from_numpy(generators[row].random((self.steps, spatial[0])))
                return shifted(samples.inputs[row], moves, slices[:, None].expand(-1, channels, -1))
            return shifted(samples.inputs[row], moves, torch.from_numpy(generators[row].random((self.steps, channels))))

        return near

    def _moved_far_cloud(self, samples: MapBatch) -> Near:
        moves = [2 * step / self.steps for step in range(1, self.steps + 1)]

        def near(row: int) -> Tensor:
            moved = translated(samples.inputs[row], moves)
            return moved.masked_fill((moved.abs() > 1).any(dim=1, keepdim=True), 0.0)

        return near
