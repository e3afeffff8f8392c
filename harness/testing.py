"""For a user's own tests: `from harness.testing import check_method`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from harness.api import target_of
from harness.execution import evaluate
from harness.execution.child import read_no_further
from harness.execution.method_process import Limits
from harness.methods.discovery import find_method


def check_method(method: str | Path | Any, *, seconds: float = 60.0, gibibytes: float = 8.0) -> None:
    """Assert that a method keeps its contract, as `harness check` does; raises AssertionError with the reason.

    What the method printed is printed, too.

    method: a path, `file.py:name`, `package/name`, a baseline's name, or a decorated function or class.
    """
    read_no_further()
    found = find_method(target_of(method))
    for check in evaluate.check_method(found, Limits(seconds, gibibytes), printed=sys.stdout.write):
        if not check.passed:
            raise AssertionError(f"{found.spec.name}: {check.name}: {check.problem}")
