"""Loading released weights without running anything that came with them.

Three forms are read: safetensors, and the zip files of torch (since 1.6) that hold a state dict, either bare
(`.pt`, `.pth`) or as part of a Lightning checkpoint (`.ckpt`). What a file is shows in its first bytes, not in its name.
There is no way around a refusal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data.checkpoint_guard import REMEDY, check_archive, plain, refuse_pickle, stand_ins
from harness.spec.errors import UsageError
from harness.storage import IntegrityError, UnsafeArtefactError, write_weights

if TYPE_CHECKING:
    from torch import Tensor

LEAST_TORCH = (2, 10)
"""Before 2.6 (CVE-2025-32434) and before 2.10 (CVE-2026-24747), a checkpoint could run code in spite of `weights_only`."""

_WRAPPERS = ("state_dict", "model")  # where Lightning and DeiT's own code keep the state dict
_COPIES = 4  # networks that share parts list the same numbers a few times


@dataclass(frozen=True)
class Checkpoint:
    """Weights, and what was stored with them. `hyper_parameters` holds plain values only: numbers, texts, lists, dicts."""

    state_dict: dict[str, Tensor]
    epoch: int | None = None
    hyper_parameters: dict[str, Any] = field(default_factory=dict)


def load_checkpoint(path: Path) -> Checkpoint:
    """The weights in a file that may come from a stranger, on the CPU.

    Tensors of torch's own format are mapped, not read: the file must stay as it is while they are in use.

    Raises UnsafeArtefactError for a file that wants to call anything but what tensors and configurations are made of
    (nothing is called then), IntegrityError for one that is damaged or no checkpoint, UsageError if it is not there.
    """
    if not path.is_file():
        raise UsageError(f"the checkpoint {path} does not exist.")
    with path.open("rb") as stream:
        start = stream.read(16)
    if start.startswith(b"PK\3\4"):
        return _torch_checkpoint(path)
    if start[:1] == b"\x80" and start[1:2] in b"\1\2\3\4\5":
        raise refuse_pickle(path)
    if start[8:9] == b"{":
        return Checkpoint(_safetensors(path))
    raise IntegrityError(f"{path} is no checkpoint: {_what(start)}.")


def convert(
    path: Path, target: Path, names: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] | None = None
) -> dict[str, tuple[int, ...]]:
    """Write the weights of a checkpoint as safetensors; returns their shapes by name.

    names: from the state dict as released to the one wanted. Errors as `load_checkpoint` and `write_weights`; whatever
    `names` raises leaves `target` as it was.
    """
    state = load_checkpoint(path).state_dict
    wanted = dict(state if names is None else names(state))
    write_weights(target, wanted)
    return {name: tuple(value.shape) for name, value in wanted.items()}


def _torch_checkpoint(path: Path) -> Checkpoint:
    import torch

    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < LEAST_TORCH:
        raise UsageError(
            f"{path} needs torch {LEAST_TORCH[0]}.{LEAST_TORCH[1]} or newer, because older ones can be made to run code "
            f"by a checkpoint; this is {torch.__version__}. Weights in safetensors need no newer one."
        )
    names = check_archive(path)
    try:
        with torch.serialization.safe_globals(stand_ins(names)):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return _checkpoint(path, content)
    except IntegrityError as error:
        if str(path) in str(error):
            raise
        raise IntegrityError(f"{path} was refused: {error}.") from error
    except Exception as error:  # torch and its reader of zip files raise a dozen types on hostile bytes
        said = " ".join(str(error).split())
        if "Weights only load failed" in said:  # what torch then advises must not be repeated
            raise UnsafeArtefactError(
                f"{path} was not loaded: torch finds it unsafe or damaged; fetch it again, or {REMEDY}."
            ) from error
        raise IntegrityError(f"{path} is no checkpoint that can be loaded ({said[:200]}).") from error


def _checkpoint(path: Path, content: Any) -> Checkpoint:
    if not isinstance(content, dict):
        raise IntegrityError(f"{path} holds a {type(content).__name__}, not named weights.")
    wrapper = next((key for key in _WRAPPERS if isinstance(content.get(key), dict)), None)
    state = content if wrapper is None else content[wrapper]
    epoch = content.get("epoch") if wrapper is not None else None
    hyper_parameters = plain(content.get("hyper_parameters") or {}) if wrapper is not None else {}
    return Checkpoint(
        state_dict=_tensors(path, state),
        epoch=epoch if type(epoch) is int else None,
        hyper_parameters=hyper_parameters if isinstance(hyper_parameters, dict) else {},
    )


def _tensors(path: Path, state: Mapping[Any, Any]) -> dict[str, Tensor]:
    """The state dict, if that is what it is: names and dense tensors that are no larger than their numbers."""
    import torch

    if not state:
        raise IntegrityError(f"{path} holds no weights.")
    total = 0
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise IntegrityError(f"{path} holds no state dict: its entry {str(name)[:60]!r} is no tensor.")
        if value.layout != torch.strided or value.device.type != "cpu":
            raise IntegrityError(f"{path}: its entry {name!r} is no dense tensor.")
        size = value.numel() * value.element_size()
        total += size
        if size > value.untyped_storage().nbytes():
            raise IntegrityError(f"{path}: its entry {name!r} claims more numbers than the file has.")
    if total > _COPIES * path.stat().st_size:
        raise IntegrityError(f"{path}: its entries claim {total} bytes, far more than the file has.")
    return {name: value.detach() for name, value in state.items()}


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    try:
        state: dict[str, Tensor] = load_file(path)
    except Exception as error:  # its errors have no base in common
        raise IntegrityError(f"{path} is no valid safetensors file ({' '.join(str(error).split())[:200]}).") from error
    return _tensors(path, state)


def _what(start: bytes) -> str:
    """What a file seems to be instead."""
    if not start:
        return "it is empty, so fetch it again"
    if start.lstrip()[:1] == b"<":
        return "it is a web page, so its download went wrong; fetch it again"
    if start.startswith(b"\x93NUMPY"):
        return "it is an array of numpy"
    if start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ")):
        return "it is compressed; unpack it first"
    return "it is neither safetensors nor a zip file of torch"
