"""LATEC's trained networks (Klein et al. 2024): from its archive of checkpoints to the files that benchmarks name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.checkpoints import convert
from harness.spec.errors import UsageError, unknown
from harness.tracks.zoo.fitting import check_fit

if TYPE_CHECKING:
    from torch import Tensor

CLASSES = {
    "imagenet": 1000,
    "oct": 4,
    "resisc45": 45,
    "adrenal": 2,
    "organ": 11,
    "vessel": 2,
    "coma": 12,
    "modelnet40": 40,
    "shapenet": 16,
}
"""Classes of each data set, by the name that the benchmark's files begin with."""

_FOLDERS = {
    "oct": "OCT",
    "resisc45": "RESISC45",
    "adrenal": "AdrenalMNIST3D",
    "organ": "OrganMNIST3D",
    "vessel": "VesselMNIST3D",
    "coma": "CoMA",
    "modelnet40": "ModelNet40",
    "shapenet": "ShapeNet",
}
_IMAGENET = {"resnet50": "resnet50", "efficientnet-b0": "efficientnet_b0", "deit-small": "deit_small"}
_CHECKPOINTS = {  # how names begin, in front of `-epoch=...`
    "resnet50": ("ResNet50",),
    "efficientnet-b0": ("EfficientNetB0", "EffNetb0"),
    "deit-small": ("DeiTViT",),
    "r3d-18": ("3DResNet18",),
    "efficientnet3d-b0": ("3DEfficientNetB0",),
    "simple-3dformer": ("Simple3DFormer",),
    "pointnet": ("PointNet",),  # beside it may lie PointNet2, which is another network
    "dgcnn": ("DGCNN",),
    "pct": ("PCT",),
}
_MODALITIES = {
    "imagenet": ("resnet50", "efficientnet-b0", "deit-small"),
    **dict.fromkeys(("oct", "resisc45"), ("resnet50", "efficientnet-b0", "deit-small")),
    **dict.fromkeys(("adrenal", "organ", "vessel"), ("r3d-18", "efficientnet3d-b0", "simple-3dformer")),
    **dict.fromkeys(("coma", "modelnet40", "shapenet"), ("pointnet", "dgcnn", "pct")),
}

WEIGHTS = tuple(f"{name}-{architecture}.safetensors" for name in CLASSES for architecture in _MODALITIES[name])
"""The files that `attribution-latec` names, three for each data set."""


def make_weights(folder: Path, target: Path) -> None:
    """Write the file of WEIGHTS that `target` is called, from the checkpoint somewhere below `folder`: LATEC's unpacked
    archive, or the files of torchvision and DeiT for ImageNet.

    Nothing is written unless names and shapes are those of the network. Raises UsageError for a name that is not in
    WEIGHTS, for a checkpoint that is not there or there twice, and for one that does not fit; errors of files as
    `load_checkpoint`.
    """
    if target.name not in WEIGHTS:
        raise unknown("file of weights", target.name, WEIGHTS)
    name, _, architecture = target.stem.partition("-")
    convert_weights(_checkpoint(folder, name, architecture), target)


def convert_weights(checkpoint: Path, target: Path) -> None:
    """As `make_weights`, from one checkpoint, wherever it is from: of torchvision and DeiT for ImageNet."""
    if target.name not in WEIGHTS:
        raise unknown("file of weights", target.name, WEIGHTS)
    name, _, architecture = target.stem.partition("-")

    def names(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return _fitted(architecture.replace("-", "_"), CLASSES[name], state, checkpoint)

    convert(checkpoint, target, names)


def _fitted(architecture: str, classes: int, state: Mapping[str, Tensor], checkpoint: Path) -> Mapping[str, Tensor]:
    import torch

    from harness.tracks.attribution import zoo

    translated = zoo.released_names(architecture, state)
    with torch.device("meta"):
        network = getattr(zoo, architecture)(classes=classes)
    check_fit(network, translated, f"{checkpoint} does not fit {architecture} with {classes} classes")
    return translated


def _checkpoint(folder: Path, name: str, architecture: str) -> Path:
    if name in _FOLDERS:
        starts = [f"{start}{end}" for start in _CHECKPOINTS[architecture] for end in "-."]
        wanted = f"{_FOLDERS[name]}/{_CHECKPOINTS[architecture][0]}-*.ckpt"
        lying = [path for path in folder.rglob("*.ckpt") if path.parent.name.lower() == _FOLDERS[name].lower()]
    else:
        starts, wanted = [_IMAGENET[architecture]], f"{_IMAGENET[architecture]}*.pth"
        lying = list(folder.rglob("*.pth"))
    found = sorted(path for path in lying if path.name.startswith(tuple(starts)))
    if len(found) != 1:
        many = f"there are several: {', '.join(path.name for path in found)}" if found else "there is none"
        raise UsageError(f"{folder} must hold one checkpoint {wanted}, but {many}; fetch its data set again.")
    return found[0]
