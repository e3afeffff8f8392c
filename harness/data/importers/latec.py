"""How LATEC names and orders what it releases: nothing in its arrays says so itself.

Klein et al. 2024, "Navigating the Maze of Explainable AI: A Systematic Approach to Evaluating Methods and Metrics".
A file holds `arr_0`, `arr_1`, `arr_2`: the three networks of a modality, the transformer last.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.data.importers.base import TableColumn, given
from harness.storage import IntegrityError

Modality = Literal["image", "volume", "point-cloud"]

NETWORKS: dict[Modality, tuple[str, str, str]] = {
    "image": ("resnet50", "efficientnet-b0", "deit-small"),
    "volume": ("r3d-18", "efficientnet3d-b0", "simple-3dformer"),
    "point-cloud": ("pointnet", "dgcnn", "pct"),
}
SETS: dict[str, tuple[str, Modality]] = {
    "imagenet": ("imagenet", "image"),
    "oct": ("oct", "image"),
    "resisc45": ("resisc45", "image"),
    "adrenalmnist3d": ("adrenal", "volume"),
    "organmnist3d": ("organ", "volume"),
    "vesselmnist3d": ("vessel", "volume"),
    "coma": ("coma", "point-cloud"),
    "modelnet40": ("modelnet40", "point-cloud"),
    "shapenet": ("shapenet", "point-cloud"),
}
"""Name in a released file -> data set and modality as the benchmarks `attribution-latec` name them."""

_GRADIENTS = (
    *("occlusion", "lime-latec", "kernel-shap", "saliency", "input-x-gradient", "guided-backprop"),
    *("grad-cam-latec", "score-cam-latec", "grad-cam-plus-plus-latec"),
    *("integrated-gradients", "expected-gradients-latec", "deep-lift-latec", "deep-lift-shap-latec", "lrp-latec"),
)
_CAMS = ("grad-cam-latec", "score-cam-latec", "grad-cam-plus-plus-latec")
_ATTENTION = ("raw-attention", "attention-rollout-latec", "attention-lrp")

IDS = (
    TableColumn("modality", "image, volume or point-cloud"),
    TableColumn("dataset", "id of the data set"),
    TableColumn("model", "network, as attribution-latec names it"),
    TableColumn("method", "XAI method, as the harness names it"),
    TableColumn("observation", "position in the file", "integer"),
)
NOTES = (
    "Maps and scores are of positive attribution alone: LATEC clamps every map at 0.",
    "The class that is explained is the true one, whatever the network predicts.",
    "What an observation is, its place in the file says: one shuffled batch of each data set, the same for all methods.",
)


@dataclass(frozen=True)
class LatecSet:
    """Whose arrays a file holds."""

    dataset: str
    modality: Modality

    @property
    def networks(self) -> tuple[str, str, str]:
        """`arr_0`, `arr_1`, `arr_2`."""
        return NETWORKS[self.modality]

    def methods(self, network: int) -> tuple[str, ...]:
        """The first axis of an array: attention methods for the transformer only, no CAMs for point clouds."""
        rest = tuple(each for each in _GRADIENTS if self.modality != "point-cloud" or each not in _CAMS)
        return rest + (_ATTENTION if network == 2 else ())


def latec_set(path: Path, options: Mapping[str, str]) -> LatecSet:
    """By the option `dataset`, else by the file's name. Raises UsageError where neither names one of the nine sets."""
    words = set(re.split(r"[^a-z0-9]+", path.stem.lower()))
    named = sorted(
        {name for name in SETS if name in words} | {name for name, (ours, _) in SETS.items() if ours in words}
    )
    ours = dict(SETS.values())
    found = SETS[named[0]][0] if len(named) == 1 else None
    dataset = given(options, "dataset", found, path, tuple(ours))
    return LatecSet(dataset, ours[dataset])


def check_names(path: Path, names: Iterable[str]) -> None:
    """Raises IntegrityError unless the arrays are those of three networks."""
    found = sorted(names)
    if found != ["arr_0", "arr_1", "arr_2"]:
        raise IntegrityError(f"{path} holds {', '.join(found) or 'nothing'}, not arr_0, arr_1 and arr_2.")
