"""`harness check`: does a method keep its contract?"""

from __future__ import annotations

import typer

from harness.cli import options
from harness.cli.output import FAILED, PASSED, say


def check(
    method: options.Method,
    device: options.Device = "auto",
    timeout: options.Seconds = 60.0,
    memory: options.Memory = 8.0,
    fence: options.Fence = "auto",
    allow_read: options.AllowRead = None,
) -> None:
    """Run the conformance suite on a small synthetic task, in seconds. Exit code 1 if a check fails.

    Example: harness check my_method.py
    """
    from shlex import quote

    from harness.execution.evaluate import check_method, readable, resolve_device
    from harness.execution.fence import choose
    from harness.execution.method_process import Limits
    from harness.methods.discovery import find_method
    from harness.spec.kinds import kind_of

    found = find_method(method)
    say(f"{found.spec.name} {found.spec.version} ({found.spec.task})")
    passed = True
    limits = Limits(
        timeout, memory, device=resolve_device(device), fence=choose(fence), readable=readable(allow_read or ())
    )
    for each in check_method(found, limits):
        say(each.name, sign=f"  {PASSED if each.passed else FAILED}")
        if not each.passed:
            say(f"    {each.problem}")
            passed = False
    kind = kind_of(found.spec.task)
    say(f"  {kind.withheld} are never given to a method", "dim")
    if kind.unchecked:
        say(f"  {kind.unchecked}", "dim")
    if passed:
        say(f"Next: harness evaluate {quote(method)}")
    raise typer.Exit(0 if passed else 1)
