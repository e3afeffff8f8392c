"""What an experiment of FD-Shifts was: its `hydra/config.yaml`, beside the checkpoints of each run.

Hydra writes the configuration before it is resolved, so that values may refer to others (`${data.dataset}`) or choose
(`${fd_shifts.ifeq_else:VALUE,EXPECTED,THEN,ELSE}`). Both are understood; whatever else is needed and not plain is an error.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.spec.errors import UsageError
from harness.storage import IntegrityError, UnsafeArtefactError

MAX_BYTES = 1 << 18
_DEEPEST = 20  # references through references, and lists in lists
_NEEDED: Any = object()  # in the place of a default

_NETWORKS = {
    "vgg13": "vgg13",
    "svhn_small_conv": "svhn-small-conv",
    "resnet50": "resnet50",
    "densenet121": "densenet121",
    "densenet161": "densenet161",
    "efficientnetb4": "efficientnet-b4",
    "vit": "vit-b16",
}
_HEADS = {"tcp": "confidnet", "devries": "devries", "dg": "deep-gamblers"}


@dataclass(frozen=True)
class Experiment:
    """One training run, in the words of the harness."""

    data_set: str  # as FD-Shifts calls it
    classes: int  # of the classifier, without a reservation
    image_size: int  # pixels of a side
    network: str  # as `build_classifier` takes it
    head: str | None
    dropout: bool
    reward: float | None  # of Deep Gamblers
    mean: tuple[float, ...]  # of the normalisation of test images, by channel, in units of white
    std: tuple[float, ...]
    held_out_classes: tuple[int, ...]  # of the open-set studies: never seen in training
    seed: int | None  # None where it was drawn when the run began


def read_experiment(path: Path) -> Experiment:
    """Read `hydra/config.yaml`. Nothing in it is run: only plain YAML is read.

    Raises UsageError for a file that is not there or says nothing about what is needed, UnsafeArtefactError for YAML
    with tags of Python objects, IntegrityError for a damaged file.
    """
    config = _Config(path, _load(path))
    head = config.text("eval.ext_confid_name", None)
    size = config.numbers("data.img_size")
    mean, std = config.normalisation()
    reward, seed = config.get("model.dg_reward", None), config.raw("exp.global_seed")
    return Experiment(
        data_set=str(config.text("data.dataset")),
        classes=config.whole("data.num_classes"),
        image_size=int(size[0]),
        network=config.network(),
        head=_HEADS.get(head or ""),
        dropout=bool(config.get("model.dropout_rate")),
        reward=float(reward) if head == "dg" and isinstance(reward, int | float) else None,
        mean=mean,
        std=std,
        held_out_classes=tuple(int(each) for each in config.numbers("data.kwargs.out_classes", ())),
        seed=seed if type(seed) is int else None,
    )


def _load(path: Path) -> Any:
    import yaml

    if not path.is_file():
        raise UsageError(f"{path} does not exist; it lies in the folder of an experiment, beside version_*.")
    content = path.read_bytes()
    if len(content) > MAX_BYTES:
        raise IntegrityError(f"{path} has {len(content)} bytes, far more than a configuration.")
    try:
        _check_shape(path, content)
        config = yaml.safe_load(content)
    except yaml.constructor.ConstructorError as error:
        raise UnsafeArtefactError(f"{path} was not read: it wants to make an object ({error.problem}).") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise IntegrityError(f"{path} is not YAML: {' '.join(str(error).split())[:200]}.") from error
    if not isinstance(config, dict):
        raise IntegrityError(f"{path} holds no configuration.")
    return config


def _check_shape(path: Path, content: bytes) -> None:
    """Refuse, before anything is built, what Hydra does not write and what can take for ever: aliases, deep nesting."""
    import yaml

    depth = 0
    for event in yaml.parse(content):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > _DEEPEST:
            raise IntegrityError(f"{path} is no configuration of Hydra: it has aliases or is nested too deeply.")


class _Config:
    """Values by their dotted name, with references followed."""

    def __init__(self, path: Path, values: dict[str, Any]) -> None:
        self.path, self.values = path, values

    def get(self, name: str, default: Any = _NEEDED) -> Any:
        """A plain value. Raises UsageError if it is missing without a default, or stays unknown."""
        value = self.raw(name)
        if isinstance(value, str):
            value = self._resolved(value, name, _DEEPEST)
        if value is None and default is not _NEEDED:
            return default
        if value is None:
            raise UsageError(f"{self.path} says nothing of {name}.")
        return value

    def text(self, name: str, default: str | None = _NEEDED) -> str | None:
        value = self.get(name, default)
        if value is not None and not isinstance(value, str):
            raise UsageError(f"{self.path}: {name} is {_shown(value)}, not a name.")
        return value

    def whole(self, name: str) -> int:
        value = self.get(name)
        if type(value) is not int:
            raise UsageError(f"{self.path}: {name} is {_shown(value)}, not a whole number.")
        return value

    def numbers(self, name: str, default: Any = _NEEDED) -> Sequence[float]:
        value: Sequence[float] = self.get(name, default)
        if not _numeric(value) or (default is _NEEDED and not value):
            raise UsageError(f"{self.path}: {name} is {_shown(value)}, not a list of numbers.")
        return value

    def network(self) -> str:
        """Networks with a head are named by it, and the network itself as their backbone."""
        name = self.text("model.network.name", None)
        if name not in _NETWORKS:
            name = self.text("model.network.backbone", name)
        if name is None and self.text("model.name", None) == "vit_model":
            name = "vit"
        if name not in _NETWORKS:
            raise UsageError(f"{self.path}: the network {name!r} is none of {', '.join(_NETWORKS)}.")
        return _NETWORKS[name]

    def normalisation(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        name = "data.augmentations.test.normalize"
        value = self.get(name)
        if not isinstance(value, list) or len(value) != 2 or not all(map(_numeric, value)):
            raise UsageError(f"{self.path}: {name} is {_shown(value)}, not means and standard deviations.")
        mean, std = (tuple(float(each) for each in part) for part in value)
        return mean, std

    def raw(self, name: str) -> Any:
        """The value as it is written; None if it is missing."""
        value: Any = self.values
        for part in name.split("."):
            if not isinstance(value, dict):
                return None
            value = value.get(part)
        return value

    def _resolved(self, text: str, name: str, left: int) -> Any:
        """What a text stands for; the text itself where it refers to nothing."""
        if "${" not in text:
            return text
        found = re.fullmatch(r"\$\{(.*)\}", text.strip(), re.DOTALL)
        parts = _parts(found[1]) if found else None
        if parts is None or left == 0:
            raise self._unknown(text, name)
        function, arguments = parts
        if not arguments:
            value = self.raw(function)
            return self._resolved(value, name, left - 1) if isinstance(value, str) else value
        values = [self._argument(each, name, left - 1) for each in arguments]
        if function == "fd_shifts.ifeq_else" and len(values) == 4:
            return values[2] if values[0] == values[1] else values[3]
        if function == "fd_shifts.if_else" and len(values) == 3:
            return values[1] if values[0] else values[2]
        raise self._unknown(text, name)

    def _argument(self, text: str, name: str, left: int) -> Any:
        text = text.strip()
        if "${" in text:
            return self._resolved(text, name, left)
        return None if text in ("null", "") else int(text) if re.fullmatch(r"-?\d+", text) else text

    def _unknown(self, text: str, name: str) -> UsageError:
        return UsageError(f"{self.path}: {name} is {text[:80]!r}, which is known only when the experiment runs.")


def _numeric(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(type(each) in (int, float) for each in value)


def _shown(value: Any) -> str:
    return f"a {type(value).__name__}" if isinstance(value, list | dict) else repr(value)[:80]


def _parts(text: str) -> tuple[str, list[str]] | None:
    """`name` or `name:a,b,c` split at the commas that are in no inner braces; None if braces do not match."""
    depth, pieces = 0, [""]
    for character in text:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth < 0:
            return None
        if depth == 0 and (character == "," or (character == ":" and len(pieces) == 1)):
            pieces.append("")
        else:
            pieces[-1] += character
    return (pieces[0], pieces[1:]) if depth == 0 else None
