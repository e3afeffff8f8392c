"""Names of weights: from those of FD-Shifts' checkpoints to those of `ReleasedClassifier`.

A checkpoint of FD-Shifts holds a Lightning module. Its parts are, by what was trained: `backbone` (the classifier) and
`network` (ConfidNet's head with its own copy of the classifier), or `model` (all others). Each has an encoder and a
classifier, whose names begin with an underscore in later versions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from harness.tracks.zoo.names import timm_names

if TYPE_CHECKING:
    from torch import Tensor


def harness_names(network: str, state: Mapping[str, Tensor], *, with_head: bool) -> dict[str, Tensor]:
    """The state dict under the names that are used here. Names that nothing is known of stay, for an error to list.

    with_head: False leaves out what belongs to the head only.
    """
    found: dict[str, Tensor] = {}
    for name, value in state.items():
        part, rest = _part(name)
        if part in ("head", "head_encoder") and not with_head:
            continue
        if part == "copy":
            continue
        if part in ("encoder", "head_encoder"):
            for own, each in _encoder(network, rest, value).items():
                of_classifier = own.startswith("classifier.")
                if not of_classifier:
                    found[f"{part}.{own}"] = each
                elif part == "encoder":
                    found[own] = each
        else:
            found[rest if part == "" else f"{part}.{rest}"] = value
    return found


_PARTS: tuple[tuple[str, Callable[[re.Match[str]], tuple[str, str]]], ...] = (
    (r"(?:backbone|model)\._?encoder\.(.+)", lambda found: ("encoder", found[1])),
    (r"(?:backbone|model)\._?classifier\.fc2?\.(weight|bias)", lambda found: ("classifier", found[1])),
    (r"(?:backbone|model)\._?classifier\.module\..+", lambda found: ("copy", "")),  # the encoder once more
    (r"network\._?encoder\.(.+)", lambda found: ("head_encoder", found[1])),
    (r"network\._?classifier\..+", lambda found: ("copy", "")),  # frozen, and asked for nothing
    (r"network\.confid_net\.uncertainty([1-5])\.(.+)", lambda found: ("head", f"{2 * int(found[1]) - 2}.{found[2]}")),
    (r"model\.devries_net\.uncertainty1\.(.+)", lambda found: ("head", found[1])),
    (r"model\.(.+)", lambda found: ("encoder", found[1])),  # a vision transformer of timm, without a wrapper
)


def _part(name: str) -> tuple[str, str]:
    """The part of `ReleasedClassifier` and the name inside it; no part if the name is not known."""
    for pattern, of in _PARTS:
        if found := re.fullmatch(pattern, name):
            return of(found)
    return "", name


def _encoder(network: str, name: str, value: Tensor) -> dict[str, Tensor]:
    """A weight of an encoder, and of a last layer that is kept in there, under the names used here."""
    name = name.removeprefix("model.")
    if network == "vgg13":
        return {name.removeprefix("features."): value}
    if network == "svhn-small-conv":
        name = re.sub(r"^(conv\d)\.net\.1\.", r"\1.", name)
        return {re.sub(r"^conv(\d)_bn\.", r"bn\1.", name): value}
    if network == "efficientnet-b4":
        return {re.sub(r"^classifier\.1\.", "classifier.", name): value}
    if network == "vit-b16":
        return timm_names({name: value})
    return {name: value}
