"""The networks, inputs and maps of `tests/oracles/latec_methods`, which LATEC's own code gave."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.methods.context import Anatomy, Context

FILE = Path(__file__).parents[2] / "oracles" / "latec_methods.json"
GRIDS = {"image": (4, 4), "volume": (4, 4, 4)}


@dataclass(frozen=True)
class Case:
    """One network, what it was asked about, and LATEC's map of each method by its name there."""

    model: nn.Module
    inputs: Tensor
    targets: Tensor
    logits: Tensor
    context: Context
    maps: dict[str, np.ndarray]
    draws: dict[str, Tensor]


@cache
def oracle() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text())
    return found


@cache
def case(name: str) -> Case:
    """A network of the oracle by its name, such as image_vit."""
    about = oracle()["networks"][name]
    with np.load(FILE.with_suffix(".npz")) as file:
        arrays = {key.removeprefix(f"{name}/"): file[key] for key in file.files if key.startswith(f"{name}/")}
    namespace: dict[str, Any] = {}
    exec(oracle()["builder"], namespace)
    model: nn.Module = namespace["build"](about["modality"], about["family"])
    model.load_state_dict(_tensors(arrays, "net/"))
    architecture = "cnn" if about["family"] == "cnn" else "transformer"
    tokens = {"blocks": "blocks", "grid": GRIDS[about["modality"]]} if about["family"] == "vit" else {}
    context = Context(
        model,
        about["modality"].replace("_", "-"),
        architecture,
        anatomy=Anatomy(cam_layer=about["cam_layer"], **tokens),
        background=torch.from_numpy(arrays["background"]),
    )
    parts = (torch.from_numpy(arrays[each]) for each in ("inputs", "targets", "logits"))
    maps = {method: arrays[f"maps/{method}"] for method in about["methods"]}
    return Case(model, *parts, context, maps, _tensors(arrays, "draws/expectedgradients/"))


def _tensors(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, Tensor]:
    return {
        key.removeprefix(prefix): torch.from_numpy(value) for key, value in arrays.items() if key.startswith(prefix)
    }
