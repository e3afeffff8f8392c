"""Leaves a process behind that has no mark, no parent and a session of its own, and that waits for the worker to end."""

import os
import subprocess
import sys

import harness

PLACE = {}  # of what there is to find, filled in by the test

WAIT = """
import os, sys, time
while os.path.exists("/proc/" + sys.argv[1]):
    time.sleep(0.01)
time.sleep(600)
"""


@harness.confidence_score(version="1")
def attack(outputs):
    if os.fork() == 0:
        os.setsid()
        subprocess.Popen([sys.executable, "-I", "-c", WAIT, str(os.getppid()), PLACE["marker"]], env={})
        os._exit(0)
    os.wait()
    return outputs.probabilities.amax(dim=1)
