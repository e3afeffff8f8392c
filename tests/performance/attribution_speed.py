"""How fast the attribution metrics are, beside Quantus in the same run. By hand: `python tests/performance/attribution_speed.py`.

CPU time of one thread, medians of three, in ms per sample and method, for 16 images of 32 x 32 and the maps of 14
methods that share what depends on no map. "ideal" is the time of the forwards (and gradients) alone, in the
best micro-batch, measured right before and after each metric: on a busy machine only the ratios mean something.
Both do the same work (LATEC's reading where the corrected one needs fewer forwards); Quantus gets all samples in one
batch and no warnings. Insertion and deletion stand beside a loop over pixels and single inputs, as LATEC has it.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.metrics.attribution import METRICS
from harness.metrics.attribution.base import MapMetric
from harness.metrics.attribution.explanations import Explanations
from harness.metrics.attribution.forwards import Forwards

SAMPLES, METHODS, WIDTH, REPEATS = 16, 14, 32, 3
# The targets: share of the other's time, or times the ideal.
AT_MOST_IDEAL = 1.15
FASTER = {"all that is shared": 5.0, "road": 6.0, "insertion + deletion": 3.0}


class Network(nn.Sequential):
    """Five convolutions with batch norm, 280 thousand parameters."""

    def __init__(self, channels: int) -> None:
        layers: list[nn.Module] = []
        for before, behind, pool in ((channels, 32, 2), (32, 64, 2), (64, 64, 1), (64, 128, 2), (128, 128, 1)):
            layers += [nn.Conv2d(before, behind, 3, padding=1), nn.BatchNorm2d(behind), nn.ReLU(), nn.MaxPool2d(pool)]
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10))


class Scene:
    """The network, samples, and maps of the methods: the gradient, and random ones from smooth to rough."""

    def __init__(self, channels: int) -> None:
        torch.manual_seed(0)
        self.model = Network(channels).eval()
        self.inputs = _smooth(torch.rand(SAMPLES, channels, WIDTH, WIDTH), 3)
        self.targets = torch.randint(10, (SAMPLES,))
        self.maps = [self.explain(self.inputs, self.targets)]
        self.maps += [_smooth(torch.rand_like(self.inputs), 1 + 2 * (k % 5)) for k in range(METHODS - 1)]

    def explain(self, inputs: Tensor, targets: Tensor, *, model: nn.Module | None = None) -> Tensor:
        parts = []
        for rows, wanted in zip(inputs.split(16), targets.split(16), strict=True):
            rows = rows.detach().clone().requires_grad_()
            logits = (model or self.model)(rows).gather(1, wanted[:, None])
            parts.append(torch.autograd.grad(logits.sum(), rows)[0])
        return torch.cat(parts).abs()

    def cost(self) -> tuple[float, float]:
        """Seconds of a forward, and of a gradient, of one sample in the best batch."""
        forward, gradient = [], []
        for size in (8, 16, 32):
            batch = self.inputs.repeat(2, 1, 1, 1)[:size], self.targets.repeat(2)[:size]
            with torch.inference_mode():
                forward.append(min(_seconds(self.model, batch[0]) for _ in range(5)) / size)
            gradient.append(min(_seconds(self.explain, *batch) for _ in range(3)) / size)
        return min(forward), min(gradient)


@dataclass(frozen=True)
class Case:
    """A metric, and what else scores the same samples and one map.

    shared: whether all methods share its forwards. channels: Quantus' IROF and ROAD work with one only.
    """

    metric: MapMetric
    other: Callable[[Scene], Any]
    shared: bool = False
    channels: int = 3


@dataclass(frozen=True)
class Measured:
    """Per sample and method; times in ms."""

    name: str
    forwards: float
    ours: float
    other: float
    ideal: float


def measure(scene: Scene, case: Case) -> Measured:
    methods = METHODS if case.shared else 1
    ours, other, ideal, forwards = [], [], [], 0.0
    for _ in range(REPEATS):
        before = scene.cost()
        runs = Forwards(scene.model)
        seconds = _seconds(_score, scene, case.metric, runs, methods)
        asked = _asked(scene, case.metric)
        after = scene.cost()
        cost = [min(pair) for pair in zip(before, after, strict=True)]
        forwards = runs.count / SAMPLES / methods
        ours.append(seconds / SAMPLES / methods)
        ideal.append(forwards * cost[0] + asked * cost[1])
        other.append(_seconds(case.other, scene) / SAMPLES)
    times = [1e3 * statistics.median(each) for each in (ours, other, ideal)]
    return Measured(case.metric.id, forwards, *times)


def _score(scene: Scene, metric: MapMetric, runs: Forwards, methods: int) -> None:
    for maps in scene.maps[:methods]:
        generator = torch.Generator().manual_seed(0)
        metric(runs, scene.inputs, scene.targets, maps, explain=scene.explain, generator=generator)


def _asked(scene: Scene, metric: MapMetric) -> float:
    """How many maps a sample costs beyond the stored one."""
    if "explain" not in metric.needs:
        return 0.0
    counted = Explanations(scene.explain)
    generator = torch.Generator().manual_seed(0)
    metric(Forwards(scene.model), scene.inputs, scene.targets, scene.maps[0], explain=counted, generator=generator)
    return counted.asked / SAMPLES


def cases() -> list[Case]:
    m: Any = METRICS
    latec = "latec"
    return [
        Case(
            m["faithfulness_correlation"](subset=32, reading=latec),
            _quantus("FaithfulnessCorrelation", subset_size=32),
            shared=True,
        ),
        Case(m["infidelity"](reading=latec), _captum_infidelity, shared=True),
        Case(m["sufficiency"](reading=latec), _quantus("Sufficiency"), shared=True),
        Case(m["faithfulness_estimate"](step=32, reading=latec), _quantus("FaithfulnessEstimate", features_in_step=32)),
        Case(
            m["monotonicity_correlation"](step=64, reading=latec),
            _quantus("MonotonicityCorrelation", features_in_step=64, eps=1e-9),
        ),
        Case(m["pixel_flipping"](step=32, reading=latec), _quantus("PixelFlipping", features_in_step=32)),
        Case(m["region_perturbation"](), _quantus("RegionPerturbation", patch_size=4, regions_evaluation=20)),
        Case(m["insertion"](step=50, reading=latec), lambda scene: _latec_walk(scene, insert=True)),
        Case(m["deletion"](step=50, reading=latec), lambda scene: _latec_walk(scene, insert=False)),
        Case(m["irof"](), _quantus("IROF", perturb_baseline="mean"), channels=1),
        Case(m["road"](), _quantus("ROAD", noise=0.1), channels=1),
        Case(m["local_lipschitz"](), _quantus("LocalLipschitzEstimate", nr_samples=5)),
        Case(m["max_sensitivity"](), _quantus("MaxSensitivity", nr_samples=10)),
        Case(m["continuity"](), _quantus("Continuity", nr_steps=20)),
        Case(m["relative_input_stability"](), _quantus("RelativeInputStability", nr_samples=10)),
        Case(m["relative_output_stability"](), _quantus("RelativeOutputStability", nr_samples=10)),
        Case(m["relative_representation_stability"](), _quantus("RelativeRepresentationStability", nr_samples=10)),
        Case(m["sparseness"](), _quantus("Sparseness")),
        Case(m["complexity"](), _quantus("Complexity")),
        Case(m["effective_complexity"](), _quantus("EffectiveComplexity")),
    ]


def _quantus(name: str, **constants: Any) -> Callable[[Scene], Any]:
    import quantus

    metric = getattr(quantus, name)(disable_warnings=True, display_progressbar=False, **constants)

    def explain(model: nn.Module, inputs: np.ndarray, targets: np.ndarray, **_: Any) -> np.ndarray:
        return scene_of[0].explain(torch.as_tensor(inputs).float(), torch.as_tensor(targets), model=model).numpy()

    scene_of: list[Scene] = []

    def run(scene: Scene) -> Any:
        scene_of[:] = [scene]
        arrays = {"x_batch": scene.inputs, "y_batch": scene.targets, "a_batch": scene.maps[0]}
        given = {name: each.numpy() for name, each in arrays.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return metric(model=scene.model, **given, channel_first=True, explain_func=explain, batch_size=SAMPLES)

    return run


def _captum_infidelity(scene: Scene) -> Tensor:
    """What LATEC runs, with 50 perturbations of each sample, 10 at a time."""
    from captum.metrics import infidelity

    def perturb(inputs: Tensor) -> tuple[Tensor, Tensor]:
        noise = torch.randn_like(inputs) * 0.005
        return noise, inputs - noise

    maps = scene.maps[0]
    scores: Tensor = infidelity(
        scene.model,
        perturb,
        scene.inputs,
        maps,
        target=scene.targets,
        n_perturb_samples=50,
        max_examples_per_batch=10 * SAMPLES,
    )
    return scores


def _latec_walk(scene: Scene, *, insert: bool) -> None:
    """Pixels are put in one by one, once for each channel, and each state is run by itself."""
    for image, target, values in zip(scene.inputs, scene.targets.tolist(), scene.maps[0], strict=True):
        start, end = (_smooth(image[None], 15)[0], image) if insert else (image, torch.zeros_like(image))
        state, order = start.clone(), values.flatten().argsort(descending=True).tolist()
        with torch.no_grad():
            for first in range(0, len(order) - 50, 50):
                for number in order[first : first + 50]:
                    row, column = divmod(number % (WIDTH * WIDTH), WIDTH)
                    state[:, row, column] = end[:, row, column]
                scene.model(state[None]).softmax(dim=1)[0, target].item()


def _smooth(images: Tensor, width: int) -> Tensor:
    return nn.functional.avg_pool2d(images, width, stride=1, padding=width // 2)


def _seconds(run: Callable[..., Any], *arguments: Any) -> float:
    start = time.process_time()
    run(*arguments)
    return time.process_time() - start


def _show(row: Measured) -> None:
    print(
        f"{row.name:34}{row.forwards:9.1f}{row.ours:10.2f}{row.other:10.2f}{row.other / row.ours:8.1f}x"
        f"{row.ours / row.ideal if row.ideal else float('nan'):8.2f}",
        flush=True,
    )


def _sum(name: str, rows: list[Measured]) -> Measured:
    return Measured(
        name, *(sum(getattr(row, field) for row in rows) for field in ("forwards", "ours", "other", "ideal"))
    )


def main() -> None:
    torch.set_num_threads(1)
    try:
        import captum.metrics  # noqa: F401
        import quantus  # noqa: F401
    except ImportError as error:
        print(f"Nothing to compare with: {error.name} is not installed.")
        return
    np.trapz = np.trapezoid  # type: ignore[attr-defined]  # Quantus calls what NumPy 2.4 no longer has
    scenes = {channels: Scene(channels) for channels in (1, 3)}
    print(f"{sum(each.numel() for each in scenes[3].model.parameters()):,} parameters; ms per sample and method")
    print(f"{'metric':34}{'forwards':>9}{'ours':>10}{'other':>10}{'faster':>9}{'/ideal':>8}")
    found, shared = {}, []
    for case in cases():
        row = measure(scenes[case.channels], case)
        found[row.name] = row
        shared += [row] if case.shared else []
        _show(row)
    found["all that is shared"] = _sum("all that is shared", shared)
    found["insertion + deletion"] = _sum("insertion + deletion", [found["insertion"], found["deletion"]])
    for name, factor in FASTER.items():
        _show(found[name])
        reached = found[name].other / found[name].ours
        print(f"  target {factor:g}x: {'reached' if reached >= factor else 'missed'}")
    forward_bound = ("faithfulness_estimate", "monotonicity_correlation", "pixel_flipping", "insertion", "deletion")
    for name in forward_bound:
        times = found[name].ours / found[name].ideal
        print(
            f"  {name}: {times:.2f} of the ideal {'(at most' if times <= AT_MOST_IDEAL else '(more than'} {AT_MOST_IDEAL})"
        )


if __name__ == "__main__":
    main()
