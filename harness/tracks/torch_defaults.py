"""The state of torch in which every call of a user's method begins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def torch_defaults() -> Iterator[None]:
    """Gradients and single precision for every call, whatever an earlier one has switched."""
    _set_defaults()
    try:
        yield
    finally:
        _set_defaults()


def _set_defaults() -> None:
    import torch

    torch.set_grad_enabled(True)
    torch.set_default_dtype(torch.float32)
