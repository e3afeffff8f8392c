"""How fast the attribution metrics and methods are, beside Quantus and captum in the same run. By hand: `make bench`.

Processor time of one thread, medians of three with both sides in turn, of short cases up to 31, in ms per sample and
map, for 16 images of 32 x 32. Both do the same work (LATEC's reading where the corrected one needs fewer forwards); Quantus gets all samples
in one batch and no warnings. Insertion and deletion stand beside a loop over pixels and single inputs, as LATEC has it.
As in a run of the harness, metrics share a network prepared for inference (what that takes is a line of its own),
micro-batches are chosen by the harness, all share the logits of the inputs, 14 methods what depends on no map, the three
relative stabilities (together in the sums) maps of the same inputs; and freed memory is kept, for both sides. Both ask
the same function for maps: a plain gradient.
"alone" is the time of these forwards and gradients by themselves, before and after each metric.

Known limits: the maps that robustness asks for are nine tenths of its time, and the same on both sides. DeepLIFT runs
networks in double precision, three times as expensive, captum in single, but its baselines once for all inputs, and goes
back in single precision through networks of convolutions, ReLU and pooling. Guided backpropagation
looks at each call, so that it does not matter how a ReLU is written: networks that are not of a few known calls alone are
followed by single operations, which takes a fifth longer. A plain gradient is a plain gradient.

Writes runs/bench/attribution.md and a plot (another folder: first argument).
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import inspect
import math
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.methods.context import Context
from harness.methods.discovery import find_method, load_baseline
from harness.metrics.attribution import METRICS
from harness.metrics.attribution.base import MapMetric
from harness.metrics.attribution.explanations import Explanations
from harness.metrics.attribution.forwards import Forwards
from harness.metrics.attribution.map_batch import MapBatch
from harness.tracks.torch_state import keep_freed_memory
from tests.performance.bench_results import FOLDER, Results, Row

SAMPLES, METHODS, WIDTH = 16, 14, 32
PACKAGES = ("torch", "numpy", "quantus", "captum")
TOGETHER = "three stabilities together"
REPEATS, MOST_REPEATS = 3, 31
FEW_SECONDS, ENOUGH_SECONDS = 5, 30  # of both sides together: repeated more often until, and not at all after
# The targets: how many times faster.
METRIC, ALL, ALL_BUT_SLOWEST, SLOWEST = 1.5, 10.0, 5.0, "monotonicity_correlation"
NEVER_SLOWER = 1.0
METHODS_OF_CAPTUM = {
    "saliency": NEVER_SLOWER,
    "input-x-gradient": NEVER_SLOWER,
    "guided-backprop": NEVER_SLOWER,
    "integrated-gradients": 1.5,
    "expected-gradients": 1.5,
    "smooth-grad": NEVER_SLOWER,
    "occlusion": NEVER_SLOWER,
    "deep-lift": NEVER_SLOWER,
    "deep-lift-shap": 1.5,
}


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
        start = time.process_time()
        self.runs = Forwards(self.model, prepare=True)
        self.runs.logits(self.inputs)
        self.preparing = time.process_time() - start

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
                forward.append(min(_seconds(self.runs.logits, batch[0]) for _ in range(5)) / size)
            gradient.append(min(_seconds(self.explain, *batch) for _ in range(3)) / size)
        return min(forward), min(gradient)


@dataclass(frozen=True)
class Case:
    """A metric, or several that share maps, and what else scores the same samples and one map.

    shared: whether all methods share a part of its work. channels: Quantus' IROF and ROAD work with one only.
    """

    metric: MapMetric | tuple[MapMetric, ...]
    other: Callable[[Scene], Any]
    shared: bool = False
    channels: int = 3


@dataclass(frozen=True)
class Measured(Row):
    """Times in ms per sample and map. alone: those of the forwards and gradients by themselves."""

    alone: float = math.nan


def measure(scene: Scene, case: Case) -> Measured:
    methods = METHODS if case.shared else 1
    metrics = case.metric if isinstance(case.metric, tuple) else (case.metric,)
    ours, other, alone = [], [], []
    while _once_more(len(ours), methods * sum(ours) + sum(other)):
        runs, explanations = Forwards(scene.model, prepare=True), [Explanations(scene.explain) for _ in range(methods)]
        runs._prepared = scene.runs._prepared  # of the same network
        runs.base(MapBatch(scene.inputs, scene.targets, scene.maps[0], 0))  # all metrics share it
        before, count = scene.cost(), runs.count
        ours.append(_seconds(_score, scene, metrics, runs, explanations) / SAMPLES / methods)
        other.append(_seconds(case.other, scene) / SAMPLES)
        cost = [min(pair) for pair in zip(before, scene.cost(), strict=True)]
        asked = sum(each.asked for each in explanations)
        alone.append(((runs.count - count) * cost[0] + asked * cost[1]) / SAMPLES / methods)
    times = [1e3 * statistics.median(each[1:] or each) for each in (ours, other, alone)]
    name = TOGETHER if len(metrics) > 1 else metrics[0].id
    return Measured(name, times[0], times[1], METRIC, f"{times[2]:.2f}", times[2])


def _once_more(measured: int, seconds: float) -> bool:
    """Whether a case that took so many seconds a sample is measured again; the first time is not counted."""
    spent = SAMPLES * seconds
    wanted = REPEATS if spent > FEW_SECONDS else MOST_REPEATS
    return measured <= wanted and spent <= ENOUGH_SECONDS


def _score(scene: Scene, metrics: tuple[MapMetric, ...], runs: Forwards, explanations: list[Explanations]) -> None:
    """Of as many methods as there are objects that ask them."""
    for maps, explain in zip(scene.maps, explanations, strict=False):
        for metric in metrics:
            generator = torch.Generator().manual_seed(0)
            metric(runs, scene.inputs, scene.targets, maps, explain=explain, generator=generator)


def methods() -> Iterator[Row]:
    """Reference methods of the harness beside the same of captum, which gets all inputs at once."""
    from captum import attr

    scene = Scene(3)
    background = torch.rand(64, 3, WIDTH, WIDTH)
    window, stride = (3, 7, 7), (3, 4, 4)
    given = {"inputs": scene.inputs, "target": scene.targets}
    model = scene.model
    captum = {
        "saliency": lambda: attr.Saliency(model).attribute(**given),
        "input-x-gradient": lambda: attr.InputXGradient(model).attribute(**given),
        "guided-backprop": lambda: attr.GuidedBackprop(model).attribute(**given),
        "integrated-gradients": lambda: attr.IntegratedGradients(model).attribute(**given, n_steps=30),
        "expected-gradients": lambda: attr.GradientShap(model).attribute(
            **given, baselines=background, n_samples=40, stdevs=0.001
        ),
        "smooth-grad": lambda: attr.NoiseTunnel(attr.Saliency(model)).attribute(**given, nt_samples=50, stdevs=0.15),
        "occlusion": lambda: attr.Occlusion(model).attribute(
            **given, sliding_window_shapes=window, strides=stride, perturbations_per_eval=16
        ),
        "deep-lift": lambda: attr.DeepLift(model).attribute(**given),
        "deep-lift-shap": lambda: attr.DeepLiftShap(model).attribute(**given, baselines=background[:16]),
    }
    for name, target in METHODS_OF_CAPTUM.items():
        method, ours, other = load_baseline(find_method(name).spec), [], []
        while _once_more(len(ours), sum(ours) + sum(other)):
            context = Context(model, "image", "cnn", background=background)
            asked = (model, scene.inputs, scene.targets)
            takes_context = "context" in inspect.signature(method).parameters
            ours.append(_seconds(method, *asked, *([context] if takes_context else [])) / SAMPLES)
            other.append(_seconds(captum[name]) / SAMPLES)
        yield Row(name, *(1e3 * statistics.median(each[1:]) for each in (ours, other)), target)


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
        Case(m["irof"](), _quantus("IROF", perturb_baseline="mean"), shared=True, channels=1),
        Case(m["road"](), _quantus("ROAD", noise=0.1), channels=1),
        Case(m["local_lipschitz"](), _quantus("LocalLipschitzEstimate", nr_samples=5)),
        Case(m["max_sensitivity"](), _quantus("MaxSensitivity", nr_samples=10)),
        Case(m["continuity"](), _quantus("Continuity", nr_steps=20), shared=True),
        Case(m["relative_input_stability"](), _quantus("RelativeInputStability", nr_samples=10), shared=True),
        Case(m["relative_output_stability"](), _quantus("RelativeOutputStability", nr_samples=10), shared=True),
        Case(
            m["relative_representation_stability"](),
            _quantus("RelativeRepresentationStability", nr_samples=10),
            shared=True,
        ),
        Case(
            tuple(m[f"relative_{of}_stability"]() for of in ("input", "output", "representation")),
            lambda scene: [
                _quantus(f"Relative{of}Stability", nr_samples=10)(scene) for of in ("Input", "Output", "Representation")
            ],
            shared=True,
        ),
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


def sums(rows: list[Measured], preparing: float) -> Iterator[Row]:
    """Over all metrics; the relative stabilities as in a run, where they share maps."""
    counted = [row for row in rows if not row.name.startswith("relative_")]
    for name, target, some in (
        ("all metrics", ALL, counted),
        (f"all but {SLOWEST}", ALL_BUT_SLOWEST, [row for row in counted if row.name != SLOWEST]),
    ):
        ours, other, alone = (sum(getattr(row, field) for row in some) for field in ("ours", "other", "alone"))
        yield Row(name, ours + 1e3 * preparing / SAMPLES / METHODS, other, target, f"{alone:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    folder = parser.parse_args().folder
    torch.set_num_threads(1)
    keep_freed_memory()
    warnings.simplefilter("ignore")
    try:
        import captum.metrics  # noqa: F401
        import quantus  # noqa: F401
    except ImportError as error:
        print(f"Nothing to compare with: {error.name} is not installed.")
        return
    np.trapz = np.trapezoid  # type: ignore[attr-defined]  # Quantus calls what NumPy 2.4 no longer has
    scenes = {channels: Scene(channels) for channels in (1, 3)}
    results = Results("Attribution metrics and methods: processor time of one thread", PACKAGES)
    unit, alone = "ms per sample and map", "forwards alone"
    measured = (measure(scenes[case.channels], case) for case in cases())
    single = [row for row in results.table("metric", unit, "Quantus", measured, alone) if isinstance(row, Measured)]
    results.say(f"Preparing a network takes {scenes[3].preparing:.2f} s, once for all metrics and methods.")
    results.table("sum", unit, "Quantus", sums(single, scenes[3].preparing), alone)
    results.table("method", unit, "captum", methods())
    results.write(folder, "attribution")


if __name__ == "__main__":
    main()
