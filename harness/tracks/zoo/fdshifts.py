"""The classifiers of FD-Shifts (Jaeger et al. 2023) and of the silent-failure study (Bungert et al. 2023).

Their released weights were not trained here and their code is not needed: `load_released` fits them into plain modules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from harness.data.checkpoints import load_checkpoint
from harness.spec.errors import unknown
from harness.tracks.zoo.densenet import densenet121, densenet161
from harness.tracks.zoo.dropout import SharedDropout
from harness.tracks.zoo.efficientnet import efficientnet_b4
from harness.tracks.zoo.fdshifts_names import harness_names
from harness.tracks.zoo.fitting import load_strictly
from harness.tracks.zoo.heads import HEADS, Head, build_head
from harness.tracks.zoo.residual import Bottleneck, resnet50
from harness.tracks.zoo.small import small_conv_encoder, vgg13_encoder
from harness.tracks.zoo.vision_transformers import vit_b16


class ClassifierOutputs(NamedTuple):
    """What a classifier says of n images in one pass."""

    features: Tensor  # (n, f), what the last linear layer sees
    logits: Tensor  # (n, classes)
    confidence: Tensor | None  # (n,), 0..1, higher = more confident; None without a head


class LastLayer(NamedTuple):
    """logits = features @ weight.T + bias."""

    weight: Tensor  # (classes, f)
    bias: Tensor  # (classes,)


class ReleasedClassifier(nn.Module):
    """An encoder, a last linear layer, and a head that states how far to trust the class.

    ConfidNet's head is fine-tuned together with a copy of the encoder (`head_encoder`), while logits still come from
    the first one: such a network looks at each image twice. Deep Gamblers have one more class, the reservation, which
    is no part of the logits.
    """

    def __init__(self, network: str, classes: int, dropout: bool, head: Head | None, image_size: int | None) -> None:
        super().__init__()
        self.network, self.classes, self.head_name = network, classes, head
        body = NETWORKS[network]
        self.encoder = body.encoder(dropout, image_size)
        self.dropout = SharedDropout(body.late_dropout) if dropout and body.late_dropout else nn.Identity()
        self.classifier = nn.Linear(body.features, classes + (head == "deep-gamblers"))
        self.head = build_head(head, body.features)
        self.head_encoder = body.encoder(dropout, image_size) if head == "confidnet" else None

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (n, classes) of images (n, c, h, w)."""
        return self.logits_of(self.encode(inputs))

    def outputs(self, inputs: Tensor) -> ClassifierOutputs:
        """Everything about images (n, c, h, w), with what dropout the modes of the modules say."""
        features = self.encode(inputs)
        return ClassifierOutputs(features, self.logits_of(features), self.confidence_of(features, inputs))

    def encode(self, inputs: Tensor) -> Tensor:
        """Features (n, f) of images (n, c, h, w)."""
        features: Tensor = self.encoder(inputs)
        return features

    def logits_of(self, features: Tensor) -> Tensor:
        """Logits (n, classes) of features (n, f)."""
        logits: Tensor = self.classifier(self.dropout(features))
        return logits[:, : self.classes]

    def confidence_of(self, features: Tensor, inputs: Tensor | None = None) -> Tensor | None:
        """The head's confidence (n,), 0..1, higher = more confident; None without a head.

        inputs: the images, which ConfidNet needs because its head does not see the classifier's features. Raises
        ValueError without them.
        """
        if self.head_name == "deep-gamblers":  # 1 - p(reservation) in the soft-max over classes + 1
            logits = self.classifier(self.dropout(features))
            return torch.sigmoid(torch.logsumexp(logits[:, :-1], dim=1) - logits[:, -1])
        if self.head is None:
            return None
        if self.head_encoder is not None:
            if inputs is None:
                raise ValueError("ConfidNet's head has an encoder of its own: give it the images, or call `outputs`.")
            features = self.head_encoder(inputs)
        return torch.sigmoid(self.head(features)[:, 0])

    @property
    def last_layer(self) -> LastLayer:
        """The linear layer from features to logits, without the reservation."""
        return LastLayer(self.classifier.weight[: self.classes], self.classifier.bias[: self.classes])

    @property
    def reservation(self) -> LastLayer:
        """The same for the reservation: one row for DeepGamblers networks, none for others."""
        return LastLayer(self.classifier.weight[self.classes :], self.classifier.bias[self.classes :])


def build_classifier(
    network: str, classes: int, *, dropout: bool, head: str | None, image_size: int | None = None
) -> ReleasedClassifier:
    """An untrained classifier of a name in `NETWORKS`, as FD-Shifts configured it.

    head: confidnet, devries, deep-gamblers or None. image_size: pixels of a side, for networks with positions (384 where
    it is None). Monte-Carlo dropout is switched on by `harness.tracks.zoo.dropout.sub_network`. Raises UsageError for
    an unknown name.
    """
    if network not in NETWORKS:
        raise unknown("released network", network, NETWORKS)
    known = next((name for name in HEADS if name == head), None)
    if head is not None and known is None:
        raise unknown("confidence head", head, HEADS)
    return ReleasedClassifier(network, classes, dropout, known, image_size)


def load_released(module: ReleasedClassifier, path: Path) -> None:
    """Fill a classifier with the weights of a checkpoint of FD-Shifts, or with its own `state_dict` in a file.

    A classifier without a head takes the classifier alone from a checkpoint with one (ConfidNet's is trained by plain
    cross-entropy). Raises UsageError that lists what does not fit; errors of files as `load_checkpoint`.
    """
    state = load_checkpoint(path).state_dict
    if not {"classifier.weight", "classifier.bias"} <= state.keys():
        state = harness_names(module.network, state, with_head=module.head_name is not None)
    what = f"{path} does not fit {module.network} with {module.classes} classes, head {module.head_name or 'none'}"
    load_strictly(module, state, what)
    module.eval()


@dataclass(frozen=True)
class EncoderSpec:
    """An encoder as FD-Shifts configured it.

    late_dropout: probability between features and the last layer, where there is dropout.
    """

    features: int
    encoder: Callable[[bool, int | None], nn.Module]  # from dropout and image_size
    late_dropout: float = 0.0


def _resnet50(dropout: bool, _: int | None) -> nn.Module:
    """Dropout behind the stem, in all blocks but those of the first layer, and behind the pooling."""
    network = resnet50()
    if dropout:
        places = ["relu", "avgpool"]
        for name, module in network.named_modules():
            if isinstance(module, Bottleneck) and not name.startswith("layer1."):
                places += [f"{name}.relu1", f"{name}.relu2"]
        for place in places:
            parent, own = place.rpartition(".")[::2]
            dropping = nn.Sequential(network.get_submodule(place), SharedDropout(0.1))
            setattr(network.get_submodule(parent), own, dropping)
    return _without("fc", network)


def _densenet(build: Callable[..., nn.Module], channels: int) -> Callable[[bool, int | None], nn.Module]:
    return lambda dropout, _: _without("classifier", build(channels=channels, dropout=0.1 if dropout else 0.0))


def _vit_b16(dropout: bool, image_size: int | None) -> nn.Module:
    return _without("classifier", vit_b16(image_size=image_size or 384, dropout=0.1 if dropout else 0.0))


def _without(last: str, network: nn.Module) -> nn.Module:
    """The network up to its features (n, f)."""
    setattr(network, last, nn.Identity())
    return network


NETWORKS: dict[str, EncoderSpec] = {
    "vgg13": EncoderSpec(512, lambda dropout, _: vgg13_encoder(dropout)),
    "svhn-small-conv": EncoderSpec(512, lambda dropout, _: small_conv_encoder(dropout)),
    "resnet50": EncoderSpec(2048, _resnet50),
    "densenet121": EncoderSpec(1024, _densenet(densenet121, 3)),
    "densenet161": EncoderSpec(2208, _densenet(densenet161, 6)),  # of fluorescence microscopy with six channels
    "efficientnet-b4": EncoderSpec(1792, lambda *_: _without("classifier", efficientnet_b4()), late_dropout=0.2),
    "vit-b16": EncoderSpec(768, _vit_b16),
}
