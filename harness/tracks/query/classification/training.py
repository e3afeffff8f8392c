"""How a classifier is trained on what is labelled: from scratch, from a pre-trained encoder, or with FixMatch."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from harness.spec.query import ClassifierTraining, FixMatch
from harness.tracks.query.classification.augmentation import Augmentation, steps_of
from harness.tracks.query.classification.networks import EncoderClassifier, build_classifier
from harness.tracks.query.classification.optimisation import gathered, minimise, reproducible
from harness.tracks.query.classification.performance import accuracy, balanced_accuracy
from harness.tracks.query.classification.pretraining import arrays_of, tensors_of

if TYPE_CHECKING:
    from harness.spec.query import Performance
    from harness.tracks.query.campaign import Report, Weights
    from harness.tracks.query.classification.data import Images

_AT_ONCE = 250  # images in one pass without gradients
_REMEMBERED = 128  # batches over which FixMatch averages what it predicts


class Trainer:
    """Trains networks on parts of one pool. `dropout` is that before the head, 0 for none."""

    def __init__(
        self, images: Images, training: ClassifierTraining, performance: Performance, dropout: float, device: str
    ) -> None:
        self._images, self._training, self._dropout, self._device = images, training, dropout, device
        self._performance = balanced_accuracy if performance == "balanced-accuracy" else accuracy
        self._augment, self._weak, self._strong = (
            Augmentation(steps_of(each, images.mirrored), images, device)
            for each in (training.augmentation, "basic", "randaugment")
        )

    def train(self, labelled: np.ndarray, seeds: tuple[int, ...], encoder: Weights | None, report: Report) -> Weights:
        """A network trained on these rows of the pool, with the weights of its best epoch on the validation part.

        Of equally good epochs the latest counts, without validation the last. Raises UsageError if it diverges.
        """
        spec, rows = self._training, np.sort(labelled)
        with reproducible(self._device, "training", *seeds):
            network = self._build(encoder)
            targets = self._images.pool_targets[rows]
            batches = Batches(targets, spec)
            loss = self._fixmatch(spec.fixmatch, targets) if spec.fixmatch else self._supervised

            def losses() -> Iterator[Tensor]:
                for batch in batches:
                    yield loss(network, torch.from_numpy(rows)[batch])

            best, weights = 0.0, arrays_of(network)
            for epoch in minimise(network, spec.optimiser, spec.epochs, len(batches), losses):
                reached = self._validated(network)
                if reached >= best:
                    best, weights = reached, arrays_of(network)
                report(f"epoch {epoch} of {spec.epochs}", epoch / spec.epochs)
            return weights

    def rebuild(self, weights: Weights) -> EncoderClassifier:
        """A trained network on the device, for evaluation only."""
        network = self._build(None)
        network.load_state_dict(tensors_of(weights))
        return network.eval().requires_grad_(False)

    def _build(self, encoder: Weights | None) -> EncoderClassifier:
        images = self._images
        network = build_classifier(self._training, images.pool_inputs.shape[1:], images.classes, self._dropout)
        if encoder is not None:
            network.encoder.load_state_dict(tensors_of(encoder))
        return network.to(self._device)

    def _validated(self, network: EncoderClassifier) -> float:
        """Performance on the validation part; the same for every network where there is none."""
        images = self._images
        if not len(images.validation_targets):
            return 0.0
        found = predictions(network, images.validation_inputs, self._device)
        return self._performance(found, images.validation_targets, images.classes)

    def _supervised(self, network: EncoderClassifier, chosen: Tensor) -> Tensor:
        return F.cross_entropy(network(self._augment(self._inputs(chosen))), self._targets(chosen))

    def _fixmatch(self, spec: FixMatch, labelled_targets: np.ndarray) -> Callable[[EncoderClassifier, Tensor], Tensor]:
        """Loss of a batch by FixMatch, whose unlabelled images are drawn from all of the pool."""
        count, classes = len(self._images.pool_inputs), self._images.classes
        frequencies = torch.from_numpy(np.bincount(labelled_targets, minlength=classes) / len(labelled_targets))
        align = DistributionAlignment(frequencies.float().to(self._device)) if spec.distribution_alignment else None

        def loss(network: EncoderClassifier, chosen: Tensor) -> Tensor:
            unlabelled = self._inputs(torch.randint(count, (spec.ratio * len(chosen),)))
            weak, strong = self._weak(unlabelled), self._strong(unlabelled)
            logits = network(torch.cat([self._augment(self._inputs(chosen)), weak, strong]))
            known, weak, strong = logits.split([len(chosen), len(unlabelled), len(unlabelled)])
            guess = (weak.detach() / spec.temperature).softmax(dim=1)
            supervised = F.cross_entropy(known, self._targets(chosen))
            return supervised + spec.weight * consistency(align(guess) if align else guess, strong, spec.threshold)

        return loss

    def _inputs(self, chosen: Tensor) -> Tensor:
        return gathered(self._images.pool_inputs, chosen, self._device)

    def _targets(self, chosen: Tensor) -> Tensor:
        return gathered(self._images.pool_targets, chosen, self._device)


class Batches:
    """Rows of the labelled images for one epoch after the other, as tensors of `batch_size` or all there are.

    An epoch has each image once, in another order each time; with fewer than `samples_per_epoch` again and again up to
    that number. Balanced, each class is as probable as any other. The rest that fills no batch is left out.
    """

    def __init__(self, targets: np.ndarray, spec: ClassifierTraining) -> None:
        self._count = len(targets)
        self._samples = max(self._count, spec.samples_per_epoch)
        self._size = min(spec.batch_size, self._samples)
        frequencies = np.bincount(targets)
        self._weights = torch.from_numpy(1 / frequencies[targets]) if spec.balanced_sampling else None

    def __len__(self) -> int:
        return self._samples // self._size

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self._order()[: len(self) * self._size].split(self._size))

    def _order(self) -> Tensor:
        if self._weights is not None:
            return torch.multinomial(self._weights, self._samples, replacement=True)
        rounds = -(-self._samples // self._count)
        return torch.cat([torch.randperm(self._count) for _ in range(rounds)])[: self._samples]


def consistency(guess: Tensor, logits: Tensor, threshold: float) -> Tensor:
    """FixMatch (Sohn et al. 2020): cross-entropy of logits (n, classes) to the most probable class of a guess
    (n, classes), where that is as probable as the threshold; the mean over all n."""
    confidence, pseudo = guess.max(dim=1)
    return (F.cross_entropy(logits, pseudo, reduction="none") * (confidence >= threshold)).mean()


class DistributionAlignment:
    """Distribution alignment (Berthelot et al. 2020, ReMixMatch): guesses (n, classes) times the ratio of the labelled
    images' class frequencies to those of the guesses in recent batches, normalised again."""

    def __init__(self, frequencies: Tensor) -> None:
        self._frequencies = frequencies
        self._recent: deque[Tensor] = deque(maxlen=_REMEMBERED)

    def __call__(self, guess: Tensor) -> Tensor:
        self._recent.append(guess.mean(dim=0))
        aligned = guess * self._frequencies / torch.stack(list(self._recent)).mean(dim=0).clamp_min(1e-6)
        return aligned / aligned.sum(dim=1, keepdim=True).clamp_min(1e-6)


def predictions(network: EncoderClassifier, inputs: np.ndarray, device: str) -> np.ndarray:
    """Most probable classes (n,) int64 of images (n, c, h, w), without dropout."""
    with torch.inference_mode():
        found: np.ndarray = network.head(encoded(network, inputs, device)).argmax(dim=1).cpu().numpy()
    return found


@torch.inference_mode()
def encoded(network: EncoderClassifier, inputs: np.ndarray, device: str) -> Tensor:
    """Features (n, width) of images (n, c, h, w), on the device; puts the network into evaluation mode."""
    network.eval()
    parts = torch.arange(len(inputs)).split(_AT_ONCE)
    empty = torch.empty(0, network.width, device=device)
    return torch.cat([empty, *(network.features(gathered(inputs, rows, device)) for rows in parts if len(rows))])
