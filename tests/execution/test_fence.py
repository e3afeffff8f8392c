"""Which fence stands, what it leaves open, and that honest methods do not notice it. Attacks on it: `tests/attacks/fence`."""

import errno
import json
import os
import random
import struct
import subprocess
import sys
import types
from dataclasses import replace
from pathlib import Path

import pytest

from harness.execution import fence, landlock, seccomp
from harness.execution.evaluate import Request, check_method, prepare, readable, run
from harness.execution.fence import beside, choose, described, landlock_problem, openings, weakest
from harness.execution.method_process import Limits, runs_around
from harness.methods.discovery import find_method
from harness.spec.errors import UsageError
from harness.spec.result import Environment

from .support import HONEST, PATIENCE, ends, processes_with, request, request_one, run_each, soon, start_evaluation

ABSENT = landlock_problem()
needs_landlock = pytest.mark.skipif(ABSENT is not None, reason=str(ABSENT))

# asm/unistd_64.h of x86-64, and asm-generic/unistd.h of the others
X86 = {"socket": 41, "connect": 42, "bind": 49, "shmget": 29, "shmat": 30, "semget": 64, "msgget": 68, "mq_open": 240}
X86 |= {"add_key": 248, "request_key": 249, "keyctl": 250, "open_by_handle_at": 304}
GENERIC = {"socket": 198, "connect": 203, "bind": 200, "shmget": 194, "shmat": 196, "semget": 190, "msgget": 186}
GENERIC |= {"mq_open": 180, "add_key": 217, "request_key": 218, "keyctl": 219, "open_by_handle_at": 265}
X86 |= {"shmctl": 31, "semop": 65, "semctl": 66, "msgsnd": 69, "msgrcv": 70, "msgctl": 71, "semtimedop": 220}
GENERIC |= {"shmctl": 195, "semop": 193, "semctl": 191, "msgsnd": 189, "msgrcv": 188, "msgctl": 187, "semtimedop": 192}
X86 |= {"mq_unlink": 241}
GENERIC |= {"mq_unlink": 181}
RINGS = {"io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427}
NUMBERS = {  # machine -> its number as the kernel audits it, socketpair, prlimit64, what is refused
    "x86_64": (0xC000003E, 53, 302, X86 | RINGS),
    "aarch64": (0xC00000B7, 199, 261, GENERIC | RINGS),
    "riscv64": (0xC00000F3, 199, 261, GENERIC | RINGS),
}
STREAM, DATAGRAM, NONBLOCKING = 1, 2, 0o4000


def verdict(code, architecture, number, second=0, first=0):
    """What a filter says of a call: the few instructions of BPF that it has, one by one."""
    data = struct.pack("<iIQQQ", number, architecture, 0, first, second)
    steps = list(struct.iter_unpack("<HBBI", code))
    at = accumulator = 0
    while True:
        operation, true, false, operand = steps[at]
        at += 1
        if operation == 0x06:
            return operand
        if operation == 0x20:
            accumulator = struct.unpack_from("<I", data, operand)[0]
        elif operation == 0x54:
            accumulator &= operand
        elif operation in (0x15, 0x35):
            at += true if (accumulator == operand if operation == 0x15 else accumulator >= operand) else false
        else:
            raise ValueError(operation)


@pytest.mark.parametrize("machine", NUMBERS)
def test_the_filter_refuses_what_it_names_and_nothing_else(machine):
    architecture, pair, limits, refused = NUMBERS[machine]
    code = seccomp._program(seccomp._TABLES[machine])
    allow, refuse = 0x7FFF0000, 0x00050000 | errno.EACCES
    said = {number: verdict(code, architecture, number) for number in range(600) if number != pair}
    assert {number for number, each in said.items() if each == refuse} == set(refused.values())
    assert set(said.values()) == {allow, refuse}
    assert verdict(code, architecture, pair, STREAM | NONBLOCKING) == allow
    assert verdict(code, architecture, pair, DATAGRAM | NONBLOCKING) == refuse
    assert verdict(code, architecture, limits, first=0) == allow, "its own"
    assert verdict(code, architecture, limits, first=os.getpid()) == refuse
    assert verdict(code, architecture, 0x40000000 + 1) == refuse, "calls of x32"
    assert verdict(code, 0x40000003, 1) == refuse, "calls of 32-bit x86"


def test_openings_hold_all_but_what_is_hidden(tmp_path):
    """Beside a walk through random trees."""
    for seed in range(20):
        draw = random.Random(seed)
        root = tmp_path / str(seed)
        folders = [root]
        for number in range(30):
            below = draw.choice(folders) / f"{number}"
            below.mkdir(parents=True)
            (below / "file").touch()
            folders.append(below)
        hidden = [draw.choice(folders[5:]) for _ in range(draw.randrange(4))] + [draw.choice(folders) / "file"]
        found = [Path(each) for each in openings(str(root), [str(each) for each in hidden])]
        for file in root.rglob("file"):
            closed = any(file == each or each in file.parents for each in hidden)
            assert any(file == each or each in file.parents for each in found) is not closed


def test_a_root_in_a_hidden_folder_is_closed_and_history_beside_hidden_folders_too(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    (tmp_path / "c").mkdir()
    assert list(openings(str(tmp_path / "a" / "b"), [str(tmp_path / "a")])) == []
    assert list(openings(str(tmp_path), [str(tmp_path / "a")])) == [str(tmp_path / "c")]
    assert list(openings(str(tmp_path / "a"), [str(tmp_path / "ab")])) == [str(tmp_path / "a")]


def test_what_lies_beside_a_method(tmp_path, monkeypatch):
    home = tmp_path / "home"
    (home / "project" / "parts").mkdir(parents=True)
    (home / "project" / ".git").mkdir()
    (home / ".netrc").touch()
    for folder in (home, home / "project"):
        (folder / "method.py").touch()
        (folder / "weights.bin").touch()
        (folder / "link").symlink_to("/etc/passwd")
    monkeypatch.setenv("HOME", str(home))
    assert sorted(beside(home / "project" / "method.py", ())) == [
        str(home / "project" / name) for name in ("method.py", "parts", "weights.bin")
    ]
    assert sorted(beside(home / "method.py", ())) == [str(home / name) for name in ("method.py", "weights.bin")]


def test_packages_installed_for_editing_are_open_and_what_lies_beside_them_is_not(tmp_path, monkeypatch):
    for name in ("flat/package", "flat/data", "mapped/package"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("flat/package/__init__.py", "flat/module.py", "flat/labels.csv"):
        (tmp_path / name).touch()
    finder = types.SimpleNamespace(MAPPING={"package": str(tmp_path / "mapped" / "package")})
    monkeypatch.setitem(sys.modules, "__editable___package_1_0_finder", finder)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "flat")])
    found = dict(fence._installed_for_editing())
    ours = {path: rights for path, rights in found.items() if path.startswith(str(tmp_path))}
    opened = [str(tmp_path / name) for name in ("flat/module.py", "flat/package", "mapped/package")]
    assert ours == {**dict.fromkeys(opened, landlock.READ), str(tmp_path / "flat"): landlock.LIST}
    assert str(Path(fence.__file__).parents[2]) not in found, "nothing of our own checkout but the package"


IMPORTS = """
import sys
from pathlib import Path
from harness.execution.fence import enclose
here = Path(sys.argv[1])
sys.path.append(str(here / "flat"))
enclose(here / "scratch", "cpu", (), (str(here / "flat" / "package" / "data"),))
import package.inner
for path in ("flat/labels.csv", "flat/package/data/labels.csv"):
    try:
        (here / path).open()
    except PermissionError:
        print("refused")
"""


@needs_landlock
def test_a_package_installed_for_editing_is_imported_behind_the_fence(tmp_path):
    (tmp_path / "scratch").mkdir()
    for name in (
        "flat/package/__init__.py",
        "flat/package/inner.py",
        "flat/labels.csv",
        "flat/package/data/labels.csv",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    done = subprocess.run([sys.executable, "-c", IMPORTS, str(tmp_path)], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("refused\nrefused\n", 0), done.stderr


def test_a_fence_that_cannot_stand_is_refused_and_auto_goes_without(monkeypatch):
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    assert choose("auto") == "none"
    with pytest.raises(UsageError, match=r"--fence landlock cannot stand here: this kernel offers no Landlock .*; use"):
        choose("landlock")
    monkeypatch.setattr(fence, "sandbox_available", lambda: "bubblewrap (the program bwrap) is not installed")
    with pytest.raises(UsageError, match=r"--fence bubblewrap cannot stand here: bubblewrap .* is not installed"):
        choose("bubblewrap")
    with pytest.raises(UsageError, match="no fence is called 'landlok'; did you mean"):
        choose("landlok")
    monkeypatch.setattr(landlock, "abi", lambda: 5)
    monkeypatch.setattr(seccomp, "available", lambda: False)
    assert choose("auto") == "none"
    assert "filter of system calls" in landlock_problem()
    assert choose("none") == "none"


def test_the_weakest_of_several_fences():
    assert weakest(["bubblewrap", "landlock 7"]) == "landlock 7"
    assert weakest(["landlock 7", "landlock 4"]) == "landlock 4"
    assert weakest(["landlock 7", "audit hook", "bubblewrap"]) == "audit hook"


def test_a_run_from_before_there_was_a_fence_keeps_its_seal():
    facts = {"harness": "1", "source_sha256": "0" * 64, "python": "3", "platform": "x", "packages": {}}
    facts |= {"git_commit": None, "git_dirty": None, "device": "cpu", "threads": 1, "seeds": {}}
    assert Environment(**facts).canonical() == facts
    assert Environment(**facts, fence="landlock 7").canonical() == facts | {"fence": "landlock 7"}


def test_a_folder_to_read_must_be_there(tmp_path):
    with pytest.raises(UsageError, match=r"--allow-read .*nowhere: there is no such file or folder"):
        readable([tmp_path / "nowhere"])


HONEST_WORK = {
    "beside": "assert open({beside!r}, 'rb').read() == b'weights'\n"
    "assert open(os.path.join(os.path.dirname(__file__), 'weights.bin'), 'rb').read() == b'weights'",
    "granted": "assert np.load({granted!r}).sum() == 3",
    "scratch": "os.makedirs('a/b'); open('a/b/c', 'w').write('x'); os.rename('a/b/c', 'd'); os.symlink('d', 'e')\n"
    "os.removedirs('a/b'); os.unlink('d'); os.unlink('e')\n"
    "import tempfile; tempfile.TemporaryFile().write(b'x'); open(os.devnull, 'w').write('x')",
    "processes": "import multiprocessing\nwith multiprocessing.get_context('fork').Pool(2) as pool: "
    "assert pool.map(abs, [-1, -2]) == [1, 2]\nassert subprocess.run(['ls', '.'], capture_output=True).returncode == 0",
    "joblib": "import joblib; assert joblib.Parallel(n_jobs=2)(joblib.delayed(abs)(i) for i in (-1, -2)) == [1, 2]",
    "libraries": "import captum.attr, quantus, sklearn.linear_model, scipy.stats, pandas, matplotlib\n"
    "matplotlib.use('agg'); import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.savefig('figure.png')",
    "facts": "import mimetypes, getpass, platform, locale; mimetypes.guess_type('a.png'); os.cpu_count(); platform.platform()",
    "channels": "one, other = socket.socketpair(); one.send(b'x'); assert other.recv(1) == b'x'",
}


@needs_landlock
def test_honest_methods_do_not_notice_the_fence(tmp_path):
    (tmp_path / "weights.bin").write_bytes(b"weights")
    granted = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    granted.mkdir()
    __import__("numpy").save(granted / "own.npy", [1, 2])
    names = {"beside": str(tmp_path / "weights.bin"), "granted": str(granted / "own.npy")}
    bodies = {name: body.format(**names) + "\n" + HONEST for name, body in HONEST_WORK.items()}
    result = run_each(tmp_path, bodies, allow_read=(granted,), memory=8.0)
    assert ends(result) == dict.fromkeys(bodies, ("ok", ""))
    environment = result.document.environment
    assert (environment.fence, environment.readable) == (described("landlock"), (str(granted),))
    plain = run_each(tmp_path / "plain", {"one": HONEST}, fence="none")
    assert plain.document.environment.fence == "audit hook"
    assert plain.document.environment.readable == ()


@needs_landlock
@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("msr", "confidence"),
        ("random-sampling", "query"),
        ("predictive-entropy", "query"),
        ("saliency", "attribution"),
        ("map-norm", "attribution-metric"),
    ],
)
def test_a_method_of_every_kind_passes_its_check_behind_the_fence(name, task):
    method = find_method(name, task)
    found = check_method(method, Limits(fence="landlock"))
    assert found
    assert [each.problem for each in found if not each.passed] == []


@needs_landlock
def test_labels_that_a_benchmark_names_are_closed_beside_the_method_and_where_they_were_granted(tmp_path):
    """The tables of a benchmark of one's own lie beside the method more often than not."""
    table = str(tmp_path / "benchmark" / "python.npz")
    bodies = {
        "python": f"open({table!r}, 'rb').read(); " + HONEST,
        "native": f"assert ctypes.CDLL(None).open({table!r}.encode(), 0) < 0; " + HONEST,
        "elsewhere": f"open({str(tmp_path.parent / 'secret')!r}).read(); " + HONEST,
    }
    (tmp_path.parent / "secret").write_text("labels")
    found = ends(run_each(tmp_path, bodies, allow_read=(tmp_path / "benchmark",)))
    assert found["python"][1].startswith("NotAllowedError: a method may not read what the harness knows")
    assert found["native"] == ("ok", "")
    assert found["elsewhere"][0] == "failed"
    assert "PermissionError: the method tried to open" in found["elsewhere"][1]
    assert "what --allow-read names" in found["elsewhere"][1]


@needs_landlock
def test_the_check_reads_no_results_of_earlier_runs(tmp_path):
    """Outputs of the oracle are labels, and runs lie beside methods by default."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "earlier").write_text("labels")
    body = f"assert ctypes.CDLL(None).open({str(tmp_path / 'runs' / 'earlier')!r}.encode(), 0) < 0\n" + HONEST
    prepared = prepare(request_one(tmp_path, body))
    hidden = runs_around(prepared.plan.folder, prepared.method)
    assert all(each.passed for each in check_method(prepared.method, prepared.limits, hidden))
    assert not all(each.passed for each in check_method(prepared.method, prepared.limits)), "it is there to be read"
    assert not run(prepared).failed


def test_a_method_that_changes_after_its_check_runs_as_it_was_checked(tmp_path):
    asked = request_one(tmp_path, HONEST)
    prepared = prepare(asked)
    assert all(each.passed for each in check_method(prepared.method, prepared.limits))
    Path(asked.method).write_text("raise RuntimeError('another file')")
    result = run(prepared)
    assert not result.failed
    assert b"another file" not in (prepared.plan.folder / "method.py").read_bytes()
    with pytest.raises(UsageError):
        prepare(asked)


# Leaves a sleeping process behind that has no mark, no parent and a session of its own, and then ends its worker.
ESCAPE = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve(sys.executable, [sys.executable, "-c", "import time; time.sleep(300) # {marker}"], {{}})
    os._exit(0)
time.sleep(0.3)
{then}
"""


@pytest.mark.parametrize("standing", [pytest.param("landlock", marks=needs_landlock), "none"])
@pytest.mark.parametrize("then", ["os._exit(0)", "os.kill(os.getpid(), signal.SIGKILL)", HONEST])
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its orphans")
def test_no_process_outlives_the_worker_whatever_it_hides(tmp_path, standing, then):
    marker = f"marker-{os.getpid()}-{standing}"
    body = ESCAPE.format(marker=marker, then=then)
    method = find_method(request_one(tmp_path, body).method)
    check_method(method, Limits(PATIENCE, 2.0, fence=standing))
    assert not processes_with(marker)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its orphans")
def test_no_process_outlives_a_harness_that_was_killed(tmp_path):
    marker = f"marker-{os.getpid()}-killed"
    body = ESCAPE.format(marker=marker, then="time.sleep(600)\n" + HONEST)
    process = start_evaluation(request_one(tmp_path, body), tmp_path / "temporary")
    assert soon(lambda: processes_with(marker))
    process.kill()
    process.communicate()
    assert soon(lambda: not processes_with(marker))


@needs_landlock
def test_a_run_that_went_on_without_a_fence_says_so(tmp_path):
    flag = tmp_path / "go"
    body = f"if not os.path.exists({str(flag)!r}): raise ValueError('not yet')\n" + HONEST
    asked = request(tmp_path, {"first": HONEST, "second": body})
    assert run(prepare(asked)).document.environment.fence == described("landlock")
    flag.touch()
    resumed = run(prepare(replace(asked, fence="none")))
    assert not resumed.failed
    assert resumed.document.environment.fence == "audit hook"
    stored = json.loads((resumed.folder / "run.json").read_text())
    assert stored["environment"]["fence"] == "audit hook"


def test_requests_know_the_fences(tmp_path):
    with pytest.raises(UsageError, match="no fence is called"):
        prepare(Request("msr", fence="wall"))


_NAMING = """
import os, sys, threading
from pathlib import Path
from harness.execution.fence import enclose
enclose(Path(sys.argv[1]), sys.argv[2], (), ())
over = threading.Event()
thread = threading.Thread(target=over.wait)
thread.start()
def written(path):
    try:
        with open(path, "w") as file:
            file.write("kernels")
        return True
    except PermissionError:
        return False
print(written(f"/proc/self/task/{thread.native_id}/comm"), written("/proc/self/comm"), written(f"/proc/{os.getppid()}/comm"))
over.set()
"""


@needs_landlock
@pytest.mark.parametrize(("device", "named"), [("cuda", "True False False"), ("cpu", "False False False")])
def test_a_driver_of_graphics_processors_names_threads_that_start_behind_the_fence(tmp_path, device, named):
    command = [sys.executable, "-c", _NAMING, str(tmp_path), device]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.stdout.strip() == named, done.stderr
