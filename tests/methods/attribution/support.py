"""The methods that come with the harness, and a way to call them without a worker."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

from harness.methods.discovery import BASELINES

from .nets import surroundings


def found_methods():
    """Every decorated object, by its name on boards."""
    found = {}
    for file in sorted(Path(BASELINES, "attribution").glob("[!_]*.py")):
        module = importlib.import_module(f"harness.methods.baselines.attribution.{file.stem}")
        for symbol, method in vars(module).items():
            if hasattr(method, "__harness__") and method.__module__ == module.__name__:
                found[method.__harness__["name"] or symbol.replace("_", "-")] = method
    return found


METHODS = found_methods()


def declared(name):
    return METHODS[name].__harness__


def applies(name, modality, architecture):
    return modality in declared(name)["modalities"] and architecture in declared(name)["architectures"]


def explain(name, model, inputs, targets, context=None):
    """Maps of a method; without a context, that of images and a CNN that offers a background only."""
    method = METHODS[name]
    if "context" not in inspect.signature(method).parameters:
        return method(model, inputs, targets)
    return method(model, inputs, targets, context or surroundings(model, "image", "cnn"))
