"""Make the splits and networks of `attribution-mnist`, and the networks of `attribution-pneumonia`; not needed to run them.

    python -m harness.tracks.attribution.training train --out datasets/attribution-mnist
    python -m harness.tracks.attribution.training xrays --out datasets/attribution-pneumonia

They write models/<family>.safetensors, the first splits.json too: the same bytes each time on the same machine and torch
version. They print the accuracies that stand in the data sets' cards. X-rays need `harness data fetch pneumoniamnist`.
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
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from harness.data.class_splits import class_splits
from harness.data.digits import DigitSamples, Variant, digits
from harness.data.embedded import Labels, mnist_5k
from harness.data.image_sets import part_images
from harness.data.manifests import find_dataset
from harness.storage import write_bytes
from harness.tracks.attribution.networks import FAMILIES, build_network
from harness.tracks.torch_state import compute_same_bytes

CLASSES = 10
SEED = 0  # of the samples that are explained and tested; training sees others
VARIANTS: tuple[Variant, ...] = ("plain", "distractor")
_PARTS = {"train": 350, "validation": 50, "observations": 6, "test": 94}  # of each digit
_BACKGROUND = 16
_EPOCHS = {
    "cnn": 20,
    "resnet": 12,
    "vit": 10,
    "cnn3d": 14,
    "resnet3d": 8,
    "vit3d": 10,
    "pointnet": 15,
    "dgcnn": 16,
    "point-transformer": 9,
}
_XRAY_EPOCHS = {"cnn": 20, "resnet": 12, "vit": 20}
_BATCH = 16
_LEARNING_RATE, _WEIGHT_DECAY = 3e-3, 1e-2

app = typer.Typer(add_completion=False)


@app.callback()
def _main() -> None:
    """Keeps `train` a word of the command line."""


@app.command()
def train(
    out: Annotated[Path, typer.Option("--out", help="The folder of the data set.")],
    family: Annotated[list[str] | None, typer.Option(help="Train only these families.")] = None,
) -> None:
    """Write the splits and train the networks, deterministically."""
    compute_same_bytes()
    splits = make_splits(mnist_5k()[1])
    (out / "models").mkdir(parents=True, exist_ok=True)
    (out / "splits.json").write_text(json.dumps(splits) + "\n")
    for name in family or FAMILIES:
        write_network(name, splits, out / "models" / f"{name}.safetensors")


@app.command()
def xrays(
    out: Annotated[Path, typer.Option("--out", help="The folder of the data set.")],
    family: Annotated[list[str] | None, typer.Option(help="Train only these families.")] = None,
) -> None:
    """Train the networks for images on PneumoniaMNIST's training images, deterministically."""
    from safetensors.torch import save

    compute_same_bytes()
    parts = {part: xray_images(part) for part in ("train", "val", "test")}
    (out / "models").mkdir(parents=True, exist_ok=True)
    for name in family or _XRAY_EPOCHS:
        network = train_on_xrays(name, *parts["train"])
        write_bytes(out / "models" / f"{name}.safetensors", save(network.state_dict()))
        reached = [f"{part} {_shares_right(network, *parts[part])}" for part in ("val", "test")]
        typer.echo(f"{name}: accuracy, and that of normal and of pneumonia, on {'; '.join(reached)}")


def write_network(family: str, splits: dict[str, list[int]], path: Path, seed: int = SEED) -> None:
    """Train a network, write its weights, and print how many test samples it gets right. See `train_network`."""
    from safetensors.torch import save

    network = train_network(family, np.array(splits["train"]), seed=seed)
    write_bytes(path, save(network.state_dict()))
    reached = [f"{variant} {accuracy(network, family, variant, splits['test']):.4f}" for variant in VARIANTS]
    typer.echo(f"{path.stem}: accuracy on the test {', '.join(reached)}")


def make_splits(labels: Labels, seed: int = 0) -> dict[str, list[int]]:
    """Indices of disjoint parts, see `class_splits`: train 3,500, validation 500, observations 60 (what is explained) and
    test 940; and background, the first 16 of train."""
    splits = class_splits(labels, CLASSES, _PARTS, seed=seed)
    return splits | {"background": splits["train"][:_BACKGROUND]}


def train_network(family: str, indices: Labels, epochs: int | None = None, seed: int = SEED) -> nn.Module:
    """Train one network on the digits with these indices, half of them beside distractors at ever new places.

    seed: of the first weights and of the order of samples; every training sees the same samples.
    """
    torch.manual_seed(seed)
    network = build_network(family, CLASSES)
    samples = partial(_both, family, indices)
    fit(network, lambda epoch: samples(SEED + 1 + epoch), len(VARIANTS) * len(indices), epochs or _EPOCHS[family])
    return network


def train_on_xrays(family: str, images: Tensor, labels: Tensor, epochs: int | None = None) -> nn.Module:
    """Train one network on X-rays (n, 1, h, w) that are turned, moved and scaled a little anew in every epoch.

    Both classes count the same.
    """
    torch.manual_seed(SEED)
    network = build_network(family, classes=2)
    weight = len(labels) / (2 * torch.bincount(labels))
    fit(network, lambda epoch: (_moved(images), labels), len(labels), epochs or _XRAY_EPOCHS[family], weight)
    return network


def fit(
    network: nn.Module,
    samples: Callable[[int], tuple[Tensor, Tensor]],
    count: int,
    epochs: int,
    weight: Tensor | None = None,
) -> None:
    """Train a network in place, for so many epochs, on the `count` inputs and targets that `samples` gives for each.

    weight (classes,): of a sample of a class in the loss.
    """
    insert_norms(network.train())
    steps = epochs * math.ceil(count / _BATCH)
    optimiser = torch.optim.AdamW(network.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _LEARNING_RATE, total_steps=steps, pct_start=0.1)
    for epoch in range(epochs):
        inputs, targets = samples(epoch)
        for batch in torch.randperm(len(targets)).split(_BATCH):
            optimiser.zero_grad()
            F.cross_entropy(network(inputs[batch]), targets[batch], weight).backward()
            optimiser.step()
            schedule.step()
    network.eval()
    fuse_norms(network)


def insert_norms(network: nn.Module) -> None:
    """Put a batch normalisation behind each convolution."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Conv1d | nn.Conv2d | nn.Conv3d):
                setattr(module, name, nn.Sequential(child, _NORMS[type(child)](child.out_channels)))


def fuse_norms(network: nn.Module) -> None:
    """Undo `insert_norms` by changing the weights of the convolutions, without changing what the network computes.

    Normalisation helps training, but is one more thing that attribution methods would have to know.
    """
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Sequential) and isinstance(child[-1], _BatchNorm):
                setattr(module, name, fuse_conv_bn_eval(*child))


_NORMS: dict[type[nn.Module], Callable[[int], nn.Module]] = {
    nn.Conv1d: nn.BatchNorm1d,
    nn.Conv2d: nn.BatchNorm2d,
    nn.Conv3d: nn.BatchNorm3d,
}


@torch.inference_mode()
def accuracy(network: nn.Module, family: str, variant: Variant, indices: list[int]) -> float:
    """Share of the digits with these indices that a trained network of the family gets right."""
    samples = digits(FAMILIES[family].modality, variant, np.array(indices), SEED)
    logits = torch.cat([network(part) for part in torch.from_numpy(samples.inputs).split(_BATCH)])
    return float((logits.argmax(dim=1).numpy() == samples.targets).mean())


def xray_images(part: str) -> tuple[Tensor, Tensor]:
    """Images (n, 1, 28, 28) from 0 to 1 and labels (n,) of a part of PneumoniaMNIST. Raises UsageError if not fetched."""
    found = part_images(find_dataset("pneumoniamnist"), part)
    return torch.from_numpy(found.images[:, None]).float() / 255, torch.from_numpy(found.labels)


def _moved(images: Tensor) -> Tensor:
    """Each turned by at most 10 degrees, moved by at most 2 of 28 pixels and scaled by .9 to 1.1; edges go on outside."""
    turn, scale, right, down = (torch.rand(4, len(images)) * 2 - 1) * torch.tensor(
        [[math.pi / 18], [0.1], [1 / 7], [1 / 7]]
    )
    cosine, sine = torch.cos(turn) * (1 + scale), torch.sin(turn) * (1 + scale)
    matrices = torch.stack([cosine, -sine, right, sine, cosine, down], dim=1).view(-1, 2, 3)
    grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


@torch.inference_mode()
def _shares_right(network: nn.Module, images: Tensor, labels: Tensor) -> str:
    right = torch.cat([network(part) for part in images.split(_BATCH)]).argmax(dim=1) == labels
    shares = [right, *(right[labels == label] for label in range(2))]
    return ", ".join(f"{share.float().mean():.4f}" for share in shares)


def _both(family: str, indices: Labels, seed: int) -> tuple[Tensor, Tensor]:
    """Inputs and targets of both variants."""
    parts: list[DigitSamples] = [digits(FAMILIES[family].modality, variant, indices, seed) for variant in VARIANTS]
    inputs, targets = (np.concatenate([getattr(part, name) for part in parts]) for name in ("inputs", "targets"))
    return torch.from_numpy(inputs), torch.from_numpy(targets)


if __name__ == "__main__":
    app()
