"""Make the models and severities of the embedded benchmark `confidence-mnist`; not needed to run it.

    python -m harness.tracks.confidence.training train --out datasets/confidence-mnist
    python -m harness.tracks.confidence.training calibrate --out datasets/confidence-mnist

`train` writes splits.json and models/<family>-<seed>.safetensors, the same bytes each time on the same
machine and torch version. `calibrate` reads them, writes severities.toml and prints accuracies.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from torch import Tensor, nn
from torch.nn import functional as F

from harness.data.class_splits import class_splits
from harness.data.corruptions import CORRUPTIONS, corrupt
from harness.data.embedded import Images, Labels, mnist_5k
from harness.tracks.confidence.networks import (
    FAMILIES,
    ConfidenceNetwork,
    NetworkOutputs,
    build_network,
    load_network,
    to_inputs,
)
from harness.tracks.torch_state import compute_same_bytes

CLASSES = 8  # digits 0-7; 8 and 9 are the new classes
SEEDS = (0, 1, 2)
_PARTS = {"train": 100, "validation": 75, "test": 325}  # of each digit
_BATCH = 50
_EPOCHS = {"plain": 140, "devries": 200, "deep-gamblers": 140}
_HEAD_EPOCHS = 100  # of the ConfidNet head, on the finished plain network
_LEARNING_RATE, _WEIGHT_DECAY = 1.5e-3, 1e-2
_REWARD = 3.0  # Deep Gamblers: the pay-off o of a right answer against a reservation
_BUDGET = 0.3  # DeVries: the mean of -log(confidence) that the branch may spend on hints
_SEVERITIES, _MILDEST, _HARSHEST = 5, 0.90, 0.45  # accuracy of the plain models at severities 1 and 5
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
Folder = Annotated[Path, typer.Option("--out", help="The folder of the data set.")]


@app.command()
def train(out: Folder) -> None:
    """Write the splits and train all models, deterministically."""
    from safetensors.torch import save

    compute_same_bytes()
    images, labels = mnist_5k()
    splits = make_splits(labels)
    chosen = np.sort(splits["train"])  # the models shall not depend on the order of a list
    (out / "models").mkdir(parents=True, exist_ok=True)
    (out / "splits.json").write_text(json.dumps(splits) + "\n")
    for family in FAMILIES:
        for seed in SEEDS:
            network = train_network(family, seed, images[chosen], labels[chosen])
            (out / "models" / f"{family}-{seed}.safetensors").write_bytes(save(network.state_dict()))
            accuracy = _accuracy(network, images[splits["test"]], labels[splits["test"]])
            typer.echo(f"{family}-{seed}: accuracy on the iid test {accuracy:.4f}")


@app.command()
def calibrate(out: Folder) -> None:
    """Choose the strength of each corruption and severity by the accuracy of the plain models."""
    torch.set_num_threads(1)
    images, labels = mnist_5k()
    chosen = np.array(json.loads((out / "splits.json").read_text())["validation"])
    plain = _PlainModels(out, images[chosen], labels[chosen], chosen)
    lines = ["[corruptions]  # strengths at severities 1 to 5, and the accuracies they gave"]
    for name in CORRUPTIONS:
        accuracy = partial(plain.accuracy, name)
        strengths = calibrate_strengths(accuracy, _STRONGEST[name])
        reached = ", ".join(f"{accuracy(strength):.3f}" for strength in strengths)
        lines.append(f"{name} = [{', '.join(f'{strength:.4g}' for strength in strengths)}]  # {reached}")
        typer.echo(lines[-1])
    (out / "severities.toml").write_text("\n".join(lines) + "\n")


def make_splits(labels: Labels, seed: int = 0) -> dict[str, list[int]]:
    """Indices of the three parts of digits 0-7, see `class_splits`."""
    return class_splits(labels, CLASSES, _PARTS, seed=seed, ascending=True)


def train_network(family: str, seed: int, images: Images, labels: Labels) -> ConfidenceNetwork:
    """Train one network on images (n, 28, 28) with labels (n,) below `CLASSES`."""
    torch.manual_seed(seed)
    network = build_network(family, CLASSES)
    fit = _Trainer(network, to_inputs(images), torch.from_numpy(labels))
    if family == "plain":
        fit(_cross_entropy, _EPOCHS[family])
        fit(_confidnet, _HEAD_EPOCHS, part=network.head)
    elif family == "devries":
        fit(DeVriesLoss(), _EPOCHS[family])
    else:  # gambling pays only once the network knows something
        fit(_cross_entropy, _EPOCHS[family] // 3)
        fit(_gamblers, _EPOCHS[family] - _EPOCHS[family] // 3)
    return network.eval()


def calibrate_strengths(accuracy: Callable[[float], float], strongest: float) -> list[float]:
    """Rising strengths up to `strongest` at which the accuracy falls in even steps, found by bisection.

    It falls from `_MILDEST` to `_HARSHEST`, or to what the strongest leaves where that is more.
    """
    strengths = [0.0]
    for target in np.linspace(_MILDEST, max(_HARSHEST, accuracy(strongest)), _SEVERITIES):
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
        truth = F.one_hot(targets, CLASSES)
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


def _gamblers(outputs: NetworkOutputs, targets: Tensor) -> Tensor:
    """-log(p_y + p_reservation / reward) in the softmax over classes + 1 (Liu et al. 2019)."""
    log_p = torch.cat([outputs.logits, outputs.head_logit[:, None]], dim=1).log_softmax(dim=1)
    bet = log_p.gather(1, targets[:, None])[:, 0]
    return -torch.logaddexp(bet, log_p[:, -1] - math.log(_REWARD)).mean()


class _Trainer:
    """AdamW with a cosine schedule over augmented batches."""

    def __init__(self, network: ConfidenceNetwork, inputs: Tensor, targets: Tensor) -> None:
        self.network, self.inputs, self.targets = network, inputs, targets

    def __call__(self, loss: Loss, epochs: int, part: nn.Module | None = None) -> None:
        """Train the network, or only a part of it while the rest stays as it is."""
        parameters = list((part or self.network).parameters())
        optimiser = torch.optim.AdamW(parameters, lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
        steps = epochs * math.ceil(len(self.targets) / _BATCH)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        self.network.train()
        for _ in range(epochs):
            for batch in torch.randperm(len(self.targets)).split(_BATCH):
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
    """The plain models on some labelled images, which `calibrate` corrupts."""

    def __init__(self, folder: Path, images: Images, labels: Labels, ids: Labels) -> None:
        weights = [folder / "models" / f"plain-{seed}.safetensors" for seed in SEEDS]
        self.networks = [load_network(path, "plain", CLASSES) for path in weights]
        self.images, self.labels, self.ids = images, labels, ids

    def accuracy(self, name: str, strength: float) -> float:
        corrupted = corrupt(self.images, name, strength, seed=0, ids=self.ids)
        return float(np.mean([_accuracy(network, corrupted, self.labels) for network in self.networks]))


@torch.inference_mode()
def _accuracy(network: ConfidenceNetwork, images: Images, labels: Labels) -> float:
    return float((network.eval()(to_inputs(images)).argmax(dim=1).numpy() == labels).mean())


if __name__ == "__main__":
    app()
