"""captum (https://captum.ai), which is no dependency of the harness itself."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def captum(module: str = "captum.attr") -> Iterator[Any]:
    """A module of captum, without its warnings about hooks and gradients. Raises ImportError if it is missing."""
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "captum":
            raise
        raise ImportError("this method needs captum; install it with: pip install 'reliabench[attribution]'") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield found
