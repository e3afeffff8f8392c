"""The Python mirror of the command line."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from harness.execution.evaluate import Request
from harness.execution.evaluate import evaluate as _evaluate
from harness.execution.run_result import RunResult
from harness.methods.interface import DECLARATION
from harness.spec.errors import UsageError


def evaluate(method: str | Path | Any, benchmark: str | None = None, **options: Any) -> RunResult:
    """Run a method under a benchmark's protocol, as `harness evaluate` does.

    method: what the command line takes (file, `file.py:name`, `package/name`, a baseline's name), or a
        decorated function or class that is defined at the top level of a file.
    benchmark: `id`, `id@version` or the path of a `.toml`; by default the embedded one.
    options, as on the command line: out (folder for runs), limit (samples of each set), seed, device
        ("auto", "cpu", "cuda"), workers, timeout (seconds a call), memory (GiB), fresh (start over), fence, allow_read
        (files and folders that the method may read beside its own folder).

    In a script that also defines the method, call it under `if __name__ == "__main__":`, because the
    method's process imports that file.

    Raises UsageError with one sentence for a mistake to mend. Units that fail are part of the result.
    """
    unknown = set(options) - set(Request.__dataclass_fields__)
    if unknown:
        raise UsageError(f"evaluate has no option {', '.join(sorted(unknown))}; see harness.evaluate's documentation.")
    if "out" in options:
        options["out"] = Path(options["out"])
    if "allow_read" in options:
        options["allow_read"] = tuple(map(Path, options["allow_read"]))
    return _evaluate(Request(method=target_of(method), benchmark=benchmark, **options))


def target_of(method: str | Path | Any) -> str:
    """How the command line would name a method."""
    if isinstance(method, str | Path):
        return str(method)
    if not hasattr(method, DECLARATION):
        raise UsageError(f"{method!r} is neither a name nor decorated; put @confidence_score above its definition.")
    try:
        path = inspect.getsourcefile(method)
    except TypeError:
        path = None
    if path is None or not Path(path).is_file():
        raise UsageError(f"{method.__qualname__} was not defined in a file, so a fresh process cannot load it.")
    return f"{path}:{method.__qualname__}"
