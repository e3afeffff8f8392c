"""Make the models and severities of a benchmark whose source is images; not needed to run it.

    python -m harness.tracks.confidence.training train confidence-mnist --out datasets/confidence-mnist
    python -m harness.tracks.confidence.training calibrate confidence-mnist --out datasets/confidence-mnist

`train` reads training.toml in the folder (see `Recipe`) and the sets of the benchmark, and writes splits.json and
models/<model>.safetensors, the same bytes each time on the same machine and torch version. `calibrate` reads what it
wrote, writes severities.toml and prints accuracies.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from harness.data.catalog import LoadedBenchmark, find_protocol
from harness.data.class_splits import class_splits
from harness.data.corruptions import CORRUPTIONS, corrupt
from harness.data.embedded import Labels
from harness.data.toml import read_extended
from harness.spec.base import Spec
from harness.spec.benchmark import ConfidenceBenchmark
from harness.spec.errors import UsageError
from harness.spec.sources import ImageSet, ImageSource
from harness.tracks.confidence.images import BenchmarkImages, SetImages
from harness.tracks.confidence.networks import (
    ConfidenceNetwork,
    NetworkOutputs,
    build_network,
    load_network,
    to_inputs,
)
from harness.tracks.torch_state import compute_same_bytes

_LEARNING_RATE, _WEIGHT_DECAY = 1.5e-3, 1e-2
_BUDGET = 0.3  # DeVries: the mean of -log(confidence) that the branch may spend on hints
_SEVERITIES = 5
_STRONGEST = {  # search limits of the calibration, in each corruption's own unit
    "brightness": 0.99,
    "contrast": 0.999,
    "defocus_blur": 8.0,
    "elastic_transform": 8.0,
    "fog": 20.0,
    "frost": 4.0,
    "gaussian_noise": 2.0,
    "glass_blur": 10.0,
    "impulse_noise": 1.0,
    "jpeg_compression": 1000.0,
    "motion_blur": 28.0,
    "pixelate": 12.0,
    "shot_noise": 20.0,
    "snow": 2.0,
    "zoom_blur": 3.0,
}
Loss = Callable[[NetworkOutputs, Tensor], Tensor]

app = typer.Typer(add_completion=False)
Name = Annotated[str, typer.Argument(help="The benchmark, or the path of its TOML file.")]
Folder = Annotated[Path, typer.Option("--out", help="The folder of the data set, with training.toml.")]


class Splits(Spec):
    """Parts of the images that one set is chosen from, drawn by class, see `class_splits`.

    of: that set. parts: numbers of images of each class, or shares of each class.
    """

    of: str
    parts: dict[str, int] | dict[str, float]
    seed: int = 0


class Recipe(Spec):
    """How the networks of a benchmark are trained, and how far corruptions go.

    epochs: by family; head_epochs: of the ConfidNet head, on the finished plain network. reward: of Deep Gamblers, the
    pay-off of a right answer against a reservation; above the number of classes, none would ever be worth it.
    accuracies: of the plain models on the validation set at the mildest and at the harshest severity, between which it
    falls in even steps. strongest: limits of the search for strengths, where not those of `_STRONGEST`.
    """

    splits: Splits
    batch: int = Field(ge=1)
    epochs: dict[str, int]
    head_epochs: int = Field(ge=1)
    reward: float = Field(gt=1)
    accuracies: tuple[float, float]
    strongest: dict[str, float] = Field(default_factory=dict)


@dataclass(frozen=True)
class TrainingJob:
    """A benchmark, the recipe in a folder, and its labelled images."""

    benchmark: ConfidenceBenchmark
    source: ImageSource
    images: BenchmarkImages
    recipe: Recipe
    folder: Path

    def load(self, name: str | None) -> SetImages:
        """The images of a set, in the order of what they were chosen from."""
        found = self.images.load(self.set(name), self.folder / "splits.json")
        return found.take(np.argsort(found.positions))  # the models shall not depend on the order of a list

    def set(self, name: str | None) -> ImageSet:
        return next(each for each in self.source.sets if each.id == name)


@app.command()
def train(benchmark: Name, out: Folder) -> None:
    """Write the splits and train all models, deterministically."""
    from safetensors.torch import save

    compute_same_bytes()
    job = _job(find_protocol(benchmark), out)
    whole = job.set(job.recipe.splits.of).model_copy(update={"split": None, "classes": None, "shuffle": None})
    splits = make_splits(job.recipe.splits, job.images.load(whole, out).labels, job.source.classes)
    (out / "models").mkdir(parents=True, exist_ok=True)
    (out / "splits.json").write_text(json.dumps(splits) + "\n")
    training = job.load(job.benchmark.reference.train)
    tested = {
        study.id: job.load(study.samples) for study in job.benchmark.studies if study.kind in ("iid", "domain-shift")
    }
    for model in job.source.models:
        network = train_network(model.family, model.seed, _inputs(job, training), training.labels, job.recipe)
        (out / "models" / f"{model.id}.safetensors").write_bytes(save(network.state_dict()))
        reached = (f"{name} {_accuracy(network, _inputs(job, of), of.labels):.4f}" for name, of in tested.items())
        typer.echo(f"{model.id}: accuracy on {', '.join(reached)}")


@app.command()
def calibrate(benchmark: Name, out: Folder) -> None:
    """Choose the strength of each corruption and severity by the accuracy of the plain models."""
    torch.set_num_threads(1)
    plain = _PlainModels(_job(find_protocol(benchmark), out))
    lines = ["[corruptions]  # strengths at severities 1 to 5, and the accuracies they gave"]
    limits = {**_STRONGEST, **plain.job.recipe.strongest}
    for name in CORRUPTIONS:
        accuracy = partial(plain.accuracy, name)
        strengths = calibrate_strengths(accuracy, limits[name], plain.job.recipe.accuracies)
        reached = ", ".join(f"{accuracy(strength):.3f}" for strength in strengths)
        lines.append(f"{name} = [{', '.join(f'{strength:.4g}' for strength in strengths)}]  # {reached}")
        typer.echo(lines[-1])
    (out / "severities.toml").write_text("\n".join(lines) + "\n")


def read_recipe(folder: Path) -> Recipe:
    """The training.toml of a data set's folder."""
    return Recipe.model_validate(read_extended(folder / "training.toml"))


def make_splits(wanted: Splits, labels: Labels, classes: int) -> dict[str, list[int]]:
    """Indices of the parts of the classes 0 to classes - 1, see `class_splits`."""
    return class_splits(labels, classes, wanted.parts, seed=wanted.seed, ascending=True)


def train_network(family: str, seed: int, inputs: Tensor, labels: Labels, recipe: Recipe) -> ConfidenceNetwork:
    """Train one network on inputs (n, 1, 28, 28) with labels (n,), which are the numbers of all classes."""
    torch.manual_seed(seed)
    network = build_network(family, int(labels.max()) + 1)
    fit, epochs = _Trainer(network, inputs, torch.from_numpy(labels), recipe.batch), recipe.epochs[family]
    if family == "plain":
        fit(_cross_entropy, epochs)
        fit(_confidnet, recipe.head_epochs, part=network.head)
    elif family == "devries":
        fit(DeVriesLoss(), epochs)
    else:  # gambling pays only once the network knows something
        fit(_cross_entropy, epochs // 3)
        fit(partial(_gamblers, recipe.reward), epochs - epochs // 3)
    return network.eval()


def calibrate_strengths(
    accuracy: Callable[[float], float], strongest: float, accuracies: tuple[float, float]
) -> list[float]:
    """Rising strengths up to `strongest` at which the accuracy falls in even steps, found by bisection.

    It falls from the first of `accuracies` to the second, or to what the strongest leaves where that is more.
    """
    strengths = [0.0]
    mildest, harshest = accuracies
    for target in np.linspace(mildest, max(harshest, accuracy(strongest)), _SEVERITIES):
        weak, strong = strengths[-1], strongest
        for _ in range(12):
            middle = (weak + strong) / 2
            weak, strong = (middle, strong) if accuracy(middle) > target else (weak, middle)
        strengths.append(float(f"{strong:.4g}"))
    return strengths[1:]


class DeVriesLoss:
    """Learn c = confidence by buying hints: -log(c p + (1 - c) y) - weight log(c) (DeVries & Taylor 2018).

    Only half of the batch, drawn at random, may take hints, so that the classifier goes on learning. The
    weight follows the budget: what is spent on hints stays near `_BUDGET`.
    """

    def __init__(self) -> None:
        self.weight = 0.1

    def __call__(self, outputs: NetworkOutputs, targets: Tensor) -> Tensor:
        confidence = outputs.confidence.clamp(1e-6, 1 - 1e-6)
        hinted = torch.rand(len(targets)) < 0.5
        trusted = torch.where(hinted, confidence, torch.ones_like(confidence))[:, None]
        truth = F.one_hot(targets, outputs.logits.shape[1])
        mixed = trusted * outputs.logits.softmax(dim=1) + (1 - trusted) * truth
        spent = -confidence.log().mean()
        loss = F.nll_loss(mixed.clamp_min(1e-12).log(), targets) + self.weight * spent
        self.weight *= 1 / 1.01 if spent.item() < _BUDGET else 1 / 0.99
        return loss


def _cross_entropy(outputs: NetworkOutputs, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs.logits, targets)


def _confidnet(outputs: NetworkOutputs, targets: Tensor) -> Tensor:
    """Squared error of the head to the probability of the true class (Corbière et al. 2019)."""
    true_probability = outputs.logits.softmax(dim=1).gather(1, targets[:, None])[:, 0]
    return F.mse_loss(outputs.confidence, true_probability.detach())


def _gamblers(reward: float, outputs: NetworkOutputs, targets: Tensor) -> Tensor:
    """-log(p_y + p_reservation / reward) in the softmax over classes + 1 (Liu et al. 2019)."""
    log_p = torch.cat([outputs.logits, outputs.head_logit[:, None]], dim=1).log_softmax(dim=1)
    bet = log_p.gather(1, targets[:, None])[:, 0]
    return -torch.logaddexp(bet, log_p[:, -1] - math.log(reward)).mean()


class _Trainer:
    """AdamW with a cosine schedule over augmented batches."""

    def __init__(self, network: ConfidenceNetwork, inputs: Tensor, targets: Tensor, batch: int) -> None:
        self.network, self.inputs, self.targets, self.batch = network, inputs, targets, batch

    def __call__(self, loss: Loss, epochs: int, part: nn.Module | None = None) -> None:
        """Train the network, or only a part of it while the rest stays as it is."""
        parameters = list((part or self.network).parameters())
        optimiser = torch.optim.AdamW(parameters, lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
        steps = epochs * math.ceil(len(self.targets) / self.batch)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        self.network.train()
        for _ in range(epochs):
            for batch in torch.randperm(len(self.targets)).split(self.batch):
                optimiser.zero_grad()
                outputs = self.network.outputs(augment(self.inputs[batch]))
                loss(outputs, self.targets[batch]).backward()
                optimiser.step()
                schedule.step()


def augment(inputs: Tensor) -> Tensor:
    """Rotate (up to 5 degrees), scale (5 %) and shift (0.4 pixels) each of inputs (n, 1, 28, 28)."""
    turn, scale, right, down = (2 * torch.rand(4, len(inputs)) - 1) * torch.tensor(_AUGMENT)[:, None]
    cos, sin = (1 + scale) * turn.cos(), (1 + scale) * turn.sin()
    matrices = torch.stack([cos, -sin, right, sin, cos, down], dim=1).view(-1, 2, 3)
    grid = F.affine_grid(matrices, list(inputs.shape), align_corners=False)
    return F.grid_sample(inputs, grid, padding_mode="border", align_corners=False)


# Largest turn, scale and shifts (half a side = 1). Little, so that about 1 in 25 test digits is a failure.
_AUGMENT = (math.radians(5), 0.05, 0.03, 0.03)


class _PlainModels:
    """The models of the default family on the validation set, which `calibrate` corrupts."""

    def __init__(self, job: TrainingJob) -> None:
        self.job, self.validation = job, job.load(job.benchmark.reference.validation)
        chosen = (model for model in job.source.models if job.benchmark.runs_by_default(model))
        paths = [(job.folder / "models" / f"{model.id}.safetensors", model.family) for model in chosen]
        self.networks = [load_network(path, family, job.source.classes) for path, family in paths]

    def accuracy(self, name: str, strength: float) -> float:
        of = self.validation
        corrupted = replace(of, images=corrupt(of.images, name, strength, seed=0, ids=of.positions))
        inputs = _inputs(self.job, corrupted)
        return float(np.mean([_accuracy(network, inputs, of.labels) for network in self.networks]))


def _job(protocol: LoadedBenchmark, out: Path) -> TrainingJob:
    benchmark = protocol.of(ConfidenceBenchmark)
    if not isinstance(benchmark.source, ImageSource):
        raise UsageError(
            f"{benchmark.name} has no networks of its own to train: its source is {benchmark.source.kind}."
        )
    recipe = read_recipe(out)
    if recipe.reward > benchmark.source.classes:
        raise UsageError(f"{out / 'training.toml'}: the reward must not exceed the {benchmark.source.classes} classes.")
    return TrainingJob(benchmark, benchmark.source, BenchmarkImages(protocol, benchmark.source), recipe, out)


def _inputs(job: TrainingJob, of: SetImages) -> Tensor:
    return to_inputs(of.images, job.source.mean, job.source.std)


@torch.inference_mode()
def _accuracy(network: ConfidenceNetwork, inputs: Tensor, labels: Labels) -> float:
    return float((network.eval()(inputs).argmax(dim=1).numpy() == labels).mean())


if __name__ == "__main__":
    app()
