"""Every other file beside this one and `place.py` is a method that tries one thing that methods may not do. Here stands what must come of it:
behind the fence, and in the plain worker with its audit hook, where most succeed, or nothing would be shown."""

import json
from pathlib import Path

import numpy as np
import pytest

from harness.execution.fence import landlock_problem
from harness.execution.method_process import Limits, MethodProcess
from harness.methods.client import MethodError
from harness.methods.discovery import find_method
from tests.execution.support import processes_with

from .place import place

METHODS = Path(__file__).parent
OTHERS = ("__init__", "place", Path(__file__).stem)
ABSENT = landlock_problem()
HOOK = "NotAllowedError: a method may"

# What comes of it in the plain worker: GOT, refused by the HOOK, or None where it depends on the machine and its user.
GOT = "ValueError: GOT"
PLAIN = {
    "inherited": "",  # first, before others leave descriptors open
    "open_by_folder": HOOK,
    "write_by_folder": HOOK,
    "sqlite_connect": HOOK,
    "sqlite_address": HOOK,
    "sqlite_attach": GOT,
    "mkfifo": HOOK,
    "mknod": HOOK,
    "make_device": None,
    "arrow_memory_map": GOT,
    "torch_from_file": GOT,
    "read_image": GOT,
    "cat": GOT,
    "git_show": GOT,
    "git_packs": GOT,
    "process_vm_readv": None,
    "ctypes_open": GOT,
    "openat2": GOT,
    "open_by_handle": None,
    "io_uring": None,
    "memory_file": GOT,
    "reopen_log": GOT,
    "parent_files": None,
    "parent_memory": None,
    "parent_environment": None,
    "parent_root": None,
    "parent_descriptor": None,
    "ptrace": None,
    "signals": GOT,
    "kill_parent": GOT,
    "system_v_memory": GOT,
    "shared_memory": GOT,
    "message_queue": GOT,
    "message_queue_by_number": GOT,
    "key_ring": None,
    "preload": GOT,
    "outlive_worker": "",  # what watches over the worker ends it, with a fence or without
    "path_files": "",
    "own_file": GOT,
    "link_in_run": GOT,
    "link_out": GOT,
    "link_in": GOT,
    "symbolic_link": GOT,
    "link_beside": GOT,
    "move": GOT,
    "truncate": GOT,
    "remove": GOT,
    "append_journal": GOT,
    "write_package": GOT,
    "tcp": GOT,
    "udp": GOT,
    "raw_socket": GOT,
    "unix_socket": GOT,
    "abstract_socket": GOT,
    "pair_readdressed": GOT,
    "namespaces": None,
    "limits": None,
    "limits_of_others": None,
    "list_folder": GOT,
    "secrets": None,
    "facts_of_files": GOT,
    "permissions": GOT,
}
ADMITTED = ("shared_memory", "facts_of_files", "permissions")
"""What Landlock does not keep out: SECURITY.md says so."""


@pytest.fixture(
    scope="module",
    params=[pytest.param("landlock", marks=pytest.mark.skipif(ABSENT is not None, reason=str(ABSENT))), "none"],
)
def attempted(request, tmp_path_factory):
    """A function from the name of an attack to what came of it, in one worker for all; empty for an honest answer."""
    folder, tried = tmp_path_factory.mktemp(request.param), []
    with place(folder) as found:
        method = _all_in_one(folder / "method" / "attacks.py", found)
        limits = Limits(60.0, 4.0, fence=request.param)
        with MethodProcess(find_method(str(method)), limits) as worker:

            def attempt(name):
                tried.append(name)
                logits = np.zeros((1 + sorted(PLAIN).index(name), 3), dtype=np.float32)
                try:
                    worker.call("fit", {}, seed=0, meta={"reference": [], "network": None})
                    worker.call("score", {"logits": logits}, seed=0)
                except MethodError as error:
                    return error.reason
                return ""

            yield request.param, attempt
            outliving = processes_with(found["marker"])
        assert "outlive_worker" not in tried or outliving, "it must have been there, or nothing is shown"
        assert not processes_with(found["marker"])
        spoilt = sorted(Path(found["run"]).rglob("*"))
        if request.param == "landlock":
            assert [path.name for path in spoilt] == ["journal.log", "outputs", "removable", "scrap.log"]
            assert all(path.read_bytes() == b"untouched\n" for path in spoilt if path.is_file())
        Path(found["package"]).unlink(missing_ok=True)


def _all_in_one(path, found):
    """A method that tells by the number of samples which attack it is to try."""
    sources = {name: (METHODS / f"{name}.py").read_text().replace("PLACE = {}", f"PLACE = {found!r}") for name in PLAIN}
    path.write_text(
        f"import json\nimport harness\nSOURCES = json.loads({json.dumps(sources)!r})\n\n"
        '@harness.confidence_score(version="1")\ndef attacks(outputs):\n'
        "    scope = {'__name__': 'attack'}\n"
        "    exec(SOURCES[sorted(SOURCES)[len(outputs) - 1]], scope)\n"
        "    return scope['attack'](outputs)\n"
    )
    return path


@pytest.mark.parametrize("name", PLAIN)
def test_what_comes_of_an_attack(attempted, name):
    fence, attempt = attempted
    reason = attempt(name)
    if fence == "none":
        assert PLAIN[name] is None or reason.startswith(PLAIN[name]), reason
        assert PLAIN[name] != "" or reason == ""
    elif name in ADMITTED:
        assert reason.startswith(GOT), "SECURITY.md says that this is not kept out"
    else:
        assert GOT not in reason
        assert "the worker" not in reason
        assert "AssertionError" not in reason, reason


def test_every_attack_stands_in_the_table():
    assert {path.stem for path in METHODS.glob("*.py")} - set(OTHERS) == set(PLAIN)
