"""Benchmarks at the scale of the papers, of made-up inputs and networks with random weights: one unit each, to see that the
path works there, how long a unit takes and how much memory it needs. Their scores mean nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from harness.data.catalog import find_protocol
from harness.data.toml import read_extended
from harness.metrics.attribution.registry import METRICS
from harness.storage import make_folder, write_arrays

SIDE = 224
_SAMPLES, _BACKGROUND, _CLASSES = 2, 4, 10
_NETWORKS: dict[str, dict[str, Any]] = {
    "resnet50": {
        "factory": "harness.tracks.zoo.residual:resnet50",
        "architecture": "cnn",
        "cam_layer": "layer4.2",
        "representation": "layer4.1.conv2",
    },
    "vit-b16": {
        "factory": "harness.tracks.zoo.vision_transformers:vit_b16",
        "architecture": "transformer",
        "cam_layer": "blocks.11.norm1",
        "representation": "blocks.11.norm1",
        "blocks": "blocks",
    },
}
_NNUNET_VOLUMES, _FEWEST_VOXELS = 8, 32


def write_images(folder: Path, side: int = SIDE, metrics: tuple[str, ...] = tuple(METRICS)) -> Path:
    """ResNet-50 and ViT-B/16 through all metrics of maps, with the constants of attribution-latec@2 for ImageNet, on images
    of so many pixels a side. Returns the benchmark's file."""
    make_folder(folder)
    rng = np.random.default_rng(0)
    masks = np.zeros((_SAMPLES, side, side), dtype=bool)
    masks[:, side // 4 : side // 2, side // 4 : side // 2] = True
    images = rng.normal(size=(_SAMPLES + _BACKGROUND, 3, side, side)).astype(np.float32)
    write_arrays(
        folder / "images.npz",
        {
            "inputs": images[:_SAMPLES],
            "background": images[_SAMPLES:],
            "masks": masks,
            "labels": np.arange(_SAMPLES) % _CLASSES,
        },
    )
    released = {use["id"]: use for use in read_extended(find_protocol("attribution-latec@2").path)["metrics"]}
    uses = [{"id": name, "constants": released.get(name, {}).get("constants", {})} for name in metrics]
    by_study = {name: released.get(name, {}).get("by_study", {}).get("imagenet", {}) for name in metrics}
    for use in uses:
        use["constants"] = {**use["constants"], **by_study[use["id"]]}
    models = []
    for name, network in _NETWORKS.items():
        own = {"image_size": side} if name == "vit-b16" else {}
        grid = {"grid": [side // 16] * 2} if name == "vit-b16" else {}
        models.append({"id": name, "modality": "image", "arguments": {"classes": _CLASSES, **own}, **grid, **network})
    images_of = {"id": "images", "modality": "image", "file": {"path": "images.npz"}, "channels": "first"}
    study = {
        "id": "images",
        "group": "images",
        "samples": "images",
        "models": list(_NETWORKS),
        "metrics": list(metrics),
    }
    return _written(
        folder,
        {
            **_head("large-images", "attribution", "Networks with random weights on images of noise"),
            "source": {
                "kind": "arrays",
                "models": models,
                "sets": [{**images_of, "masks": "masks", "background": "background"}],
            },
            "metrics": uses,
            "studies": [study],
            "overall": sorted(
                {METRICS[name].criterion for name in metrics} & {"faithfulness", "robustness", "complexity"}
            ),
        },
    )


def write_volumes(folder: Path, side: int = SIDE) -> Path:
    """nnU-Net as it plans itself for volumes of 128 voxels a side where images have 224 pixels: a campaign of two loops
    with two folds of two steps each. Returns the benchmark's file. Needs SimpleITK."""
    import SimpleITK as sitk  # noqa: N813

    voxels = max(_FEWEST_VOXELS, side * 128 // SIDE)
    raw = folder / "Dataset001_Balls"
    rng = np.random.default_rng(0)
    for part in ("imagesTr", "labelsTr"):
        make_folder(raw / part)
    for number in range(_NNUNET_VOLUMES):
        labels = _balls(voxels, rng)
        image = rng.normal(size=labels.shape).astype(np.float32) + labels
        sitk.WriteImage(sitk.GetImageFromArray(image), str(raw / "imagesTr" / f"ball_{number}_0000.nii.gz"))
        sitk.WriteImage(sitk.GetImageFromArray(labels), str(raw / "labelsTr" / f"ball_{number}.nii.gz"))
    described = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "shell": 1, "ball": 2},
        "numTraining": _NNUNET_VOLUMES,
        "file_ending": ".nii.gz",
    }
    (raw / "dataset.json").write_text(json.dumps(described))
    patch = [voxels // 4] * 3
    return _written(
        folder,
        {
            **_head("large-volumes", "query", "nnU-Net with patches of three dimensions on volumes of noise"),
            "performance": "dice",
            "seeds": [1],
            "source": {
                "datasets": [{"kind": "nnunet-raw", "id": "balls", "folder": raw.name, "validation_share": 0.2}]
            },
            "trainings": [
                {
                    "kind": "nnunet",
                    "id": "nnunet",
                    "folds": 2,
                    "epochs": 1,
                    "iterations": 2,
                    "validation_iterations": 1,
                    "mirrored_predictions": False,
                }
            ],
            "studies": [
                {
                    "id": "balls",
                    "group": "balls",
                    "dataset": "balls",
                    "training": "nnunet",
                    "start_rule": "all-classes",
                    "start": 6,
                    "query": 4,
                    "loops": 2,
                    "patches": {"size": patch, "stride": [each // 2 for each in patch], "max_per_image": 2},
                }
            ],
        },
    )


def _balls(voxels: int, rng: np.random.Generator) -> np.ndarray:
    """Labels of a ball in a shell, anywhere near the middle."""
    centre = voxels / 2 + rng.uniform(-voxels / 8, voxels / 8, size=3)
    far = np.linalg.norm(np.stack(np.meshgrid(*[np.arange(voxels)] * 3, indexing="ij"), -1) - centre, axis=-1)
    return np.where(far < voxels / 6, 2, np.where(far < voxels / 3, 1, 0)).astype(np.int16)


def _head(name: str, task: str, title: str) -> dict[str, Any]:
    return {"id": name, "version": 1, "title": title, "task": task, "bootstrap": {"replicates": 20}}


def _written(folder: Path, fields: dict[str, Any]) -> Path:
    path = folder / "benchmark.toml"
    path.write_text(tomli_w.dumps(fields))
    return path
