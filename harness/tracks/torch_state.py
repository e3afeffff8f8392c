"""The state of torch in which methods are called and networks are trained and run; none of it stays behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of mallopt, in <malloc.h>
_KEPT_BYTES = 1 << 30


@contextmanager
def torch_defaults() -> Iterator[None]:
    """Gradients and single precision for every call of a user's method, whatever an earlier one has switched."""
    _set_defaults()
    try:
        yield
    finally:
        _set_defaults()


@contextmanager
def one_thread() -> Iterator[None]:
    """On the CPU sums depend on the number of threads. Small layers gain little from more, and lose all where several
    processes share the cores."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def reproducible_torch(seed: int, device: str = "cpu") -> Iterator[None]:
    """What torch computes inside is a function of the seed, whatever ran before; draws leave no trace outside."""
    import torch

    devices = [torch.device(device)] if device.startswith("cuda") else []
    kernels = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True)
    with torch.random.fork_rng(devices=devices), kernels, one_thread():
        torch.manual_seed(seed)
        yield


def in_single_precision() -> None:
    """For the rest of this process: graphics processors convolve in single precision, not in TF32, which keeps three
    digits. Its rounding depends on the size of a batch, and would look as if a map rested on other samples."""
    import torch

    torch.backends.cudnn.allow_tf32 = False


def compute_same_bytes() -> None:
    """For the rest of this process: the same weights to the last bit each time on the same machine and torch version."""
    import torch

    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)  # sums in another order would give other bytes


@cache
def keep_freed_memory() -> None:
    """Let glibc keep what this process frees for its next use of it; elsewhere nothing happens.

    By default it may give activations of some hundred kilobytes back to the system and take them again at every
    forward pass, which was seen to cost a third of the processor's time at any size of the micro-batch.
    """
    import ctypes

    with suppress(AttributeError, OSError, TypeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def _set_defaults() -> None:
    import torch

    torch.set_grad_enabled(True)
    torch.set_default_dtype(torch.float32)
