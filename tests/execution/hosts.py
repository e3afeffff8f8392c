"""A second host on this machine: a network of its own behind a cable that can be pulled, with its own name and processes.
Files are those of this machine, as on a cluster."""

import contextlib
import os
import shutil
import subprocess

NAME = "far"
HERE, THERE = "10.231.77.1", "10.231.77.2"
_CABLE = ("near-77", "far-77")
INSIDE = (
    "ip",
    "netns",
    "exec",
    f"harness-{NAME}",
    "unshare",
    "--uts",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
)
"""What a command begins with that runs there."""


def missing():
    """Why there can be none here, or None."""
    if absent := [each for each in ("ip", "unshare", "hostname") if shutil.which(each) is None]:
        return f"{absent[0]} is not installed"
    if os.getuid() != 0:
        return "networks are made as root"
    try:
        with second_host():
            return None
    except subprocess.CalledProcessError as error:
        return f"this machine makes no network of its own: {error.stderr.decode().strip() or error}"


@contextlib.contextmanager
def second_host():
    """While the block runs, it is there, reached at `THERE`; gives what pulls the cable and plugs it in again."""
    space, (near, far) = f"harness-{NAME}", _CABLE
    _remove(space)
    try:
        _do("ip", "netns", "add", space)
        _do("ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", space)
        _do("ip", "address", "add", f"{HERE}/30", "dev", near)
        _do("ip", "link", "set", near, "up")
        _do("ip", "-n", space, "address", "add", f"{THERE}/30", "dev", far)
        for each in ("lo", far):
            _do("ip", "-n", space, "link", "set", each, "up")
        _do(*INSIDE, "hostname", NAME)
        yield lambda state: _do("ip", "-n", space, "link", "set", far, state)
    finally:
        _remove(space)


def _remove(space):
    subprocess.run(["ip", "netns", "delete", space], capture_output=True)
    subprocess.run(["ip", "link", "delete", _CABLE[0]], capture_output=True)


def _do(*command):
    subprocess.run(command, check=True, capture_output=True)
