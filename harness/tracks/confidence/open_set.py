"""Networks that were trained without some classes: which ones, and their outputs without them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.spec.errors import UsageError
from harness.storage import IntegrityError
from harness.tracks.confidence.model_outputs import NO_CLASS, ModelOutputs

if TYPE_CHECKING:
    import numpy as np


def training_configuration(checkpoint: Path) -> Path:
    """Where FD-Shifts keeps the configuration of a checkpoint `<name>/version_<n>/<file>`."""
    return checkpoint.parent.parent / "hydra" / "config.yaml"


def held_out_classes(path: Path, classes: int) -> tuple[int, ...]:
    """The classes, of so many, that a network was not trained on, from its configuration (`data.kwargs.out_classes`).

    Raises UsageError where the file is missing, IntegrityError where it names no such classes.
    """
    import yaml

    if not path.is_file():
        raise UsageError(
            f"{path}, which names the classes that the network was not trained on, is missing; fetch it again."
        )
    try:
        found: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        held = found["data"]["kwargs"]["out_classes"]
    except (yaml.YAMLError, UnicodeDecodeError, LookupError, TypeError) as error:
        raise IntegrityError(
            f"{path} has no data.kwargs.out_classes, the classes that were left out of training"
        ) from error
    usable = isinstance(held, list) and all(type(each) is int and 0 <= each < classes for each in held)
    if not usable or not 0 < len(set(held)) == len(held) <= classes - 2:
        raise IntegrityError(
            f"{path}: data.kwargs.out_classes is {held!r}, not some of the {classes} classes, each once"
        )
    return tuple(sorted(held))


def without_classes(outputs: ModelOutputs, held: Sequence[int]) -> ModelOutputs:
    """Outputs as of a classifier of the other classes, numbered anew; samples of held-out classes have `NO_CLASS`.

    FD-Shifts sets the logits of held-out classes to minus infinity: soft-max, maximum and log-sum-exp are the same. What
    a head said stays: it was said with all outputs of the network.
    """
    import numpy as np

    kept = kept_classes(outputs.arrays["logits"].shape[1], held)
    arrays = {
        name: array[..., kept] if name in ("logits", "mc_logits") else array for name, array in outputs.arrays.items()
    }
    numbers = np.full(len(kept) + len(held), NO_CLASS)
    numbers[kept] = np.arange(len(kept))
    return ModelOutputs(arrays, numbers[outputs.labels])


def kept_classes(classes: int, held: Sequence[int]) -> np.ndarray:
    """The classes that are not held out, in their order."""
    import numpy as np

    return np.setdiff1d(np.arange(classes), held)
