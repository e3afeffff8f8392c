"""Ends a run just before it does a named thing, such as putting its third file in place.

Python's audit events tell of it, in the run's own process and in its unit processes; the harness knows nothing of it.
The method's worker, which a unit process starts, is not watched.
"""

import os
import signal
import subprocess
import sys


def watch(event, part, number, victim):
    """Kill a process, and stand still, before the `number`-th audit event of this name whose paths contain `part`."""
    seen = 0

    def hook(name, arguments):
        nonlocal seen
        if name == event and any(part in str(each) for each in arguments):
            seen += 1
            if seen == number:
                os.kill(victim, signal.SIGKILL)
                while True:  # until the death of the parent takes this process with it
                    signal.pause()

    sys.addaudithook(hook)


def watch_run(event, part, number):
    """The same here and in the Python processes started from here; this process is the one that is killed."""
    arguments = (event, part, number, os.getpid())
    armed = f"import runpy; runpy.run_path({__file__!r})['watch'](*{arguments!r}); "
    watch(*arguments)

    class WatchedProcess(subprocess.Popen):
        def __init__(self, command, **options):
            if command[0] == sys.executable and "-c" in command:
                code = command.index("-c") + 1
                command = [*command[:code], armed + command[code], *command[code + 1 :]]
            super().__init__(command, **options)

    subprocess.Popen = WatchedProcess
