"""Evaluate confidence scores, query strategies, XAI methods and their metrics under fixed, versioned protocols.

Importing this package loads nothing heavy; names are resolved when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from harness.api import RunResult, evaluate
    from harness.methods.interface import attribution_metric, confidence_score, explainer, query_strategy

__all__ = [
    "RunResult",
    "__version__",
    "attribution_metric",
    "confidence_score",
    "evaluate",
    "explainer",
    "query_strategy",
]

_WHERE = {
    "RunResult": "harness.api",
    "attribution_metric": "harness.methods.interface",
    "confidence_score": "harness.methods.interface",
    "evaluate": "harness.api",
    "explainer": "harness.methods.interface",
    "query_strategy": "harness.methods.interface",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
