"""`harness check`: does a method keep its contract?"""

from __future__ import annotations

import typer

from harness.cli import options
from harness.cli.output import FAILED, PASSED, say

_MOST = 50  # lines of what a method printed


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
    passed, printed = True, ""

    def keep(text: str) -> None:
        nonlocal printed
        printed = text

    limits = Limits(
        timeout, memory, device=resolve_device(device), fence=choose(fence), readable=readable(allow_read or ())
    )
    for each in check_method(found, limits, printed=keep):
        say(each.name, sign=f"  {PASSED if each.passed else FAILED}")
        if not each.passed:
            say(f"    {each.problem}")
            passed = False
    if lines := printed.splitlines():
        say(f"  the method printed{f' (the last {_MOST} of {len(lines)} lines)' if len(lines) > _MOST else ''}:")
        for line in lines[-_MOST:]:
            say("    " + "".join(each if each.isprintable() else " " for each in line))
    kind = kind_of(found.spec.task)
    say(f"  {kind.withheld} are never given to a method", "dim")
    if kind.unchecked:
        say(f"  {kind.unchecked}", "dim")
    if passed:
        say(f"Next: harness evaluate {quote(method)}")
    raise typer.Exit(0 if passed else 1)
