"""A method that crashes, hangs or runs wild loses its unit, with a reason; the other units go on."""

import pytest

from harness.execution.evaluate import Listener, check_method, evaluate_prepared, prepare

from .support import HONEST, ends, request_one, run_each

SECONDS = 5.0  # for those that hang; the others have time, on however busy a machine
# How a method finds the harness's end of the conversation: the only socket it has.
FIND_SOCKET = """
links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
sockets = [link for link in links if os.path.islink(link) and os.readlink(link).startswith("socket:")]
fd = int(os.path.basename(sockets[0]))
"""
CRASHES = {
    "before": HONEST,
    "grows-a-list": "kept = []\nwhile True: kept.append(bytearray(1 << 24))",
    "grows-a-tensor": "return torch.ones(1 << 40)",
    "grows-an-array": "return np.ones(1 << 40)",
    "leaves": "os._exit(0)",
    "leaves-with-code": "os._exit(7)",
    "segfault": "ctypes.string_at(0)",
    "aborts": "os.abort()",
    "kills-itself": "os.kill(os.getpid(), signal.SIGKILL)",
    "system-exit": "raise SystemExit(0)",
    "interrupt": "raise KeyboardInterrupt",
    "recursion": "def deeper(): return deeper()\nreturn deeper()",
    "raises": "raise ValueError('no\\n such\\x1b[2J thing\\udcff')",
    "unprintable": "class Odd(Exception):\n    def __str__(self): raise RuntimeError\nraise Odd",
    "asks-for-more": "return outputs.features.amax(1)",
    "wants-labels": "return outputs.labels",
    "after": HONEST,
}
SOCKETS = {
    "before": HONEST,
    "closes-socket": FIND_SOCKET + "os.close(fd); time.sleep(60)",
    "long-header": FIND_SOCKET + "os.write(fd, b'x' * 64); time.sleep(60)",
    "bad-json": FIND_SOCKET + "os.write(fd, (5).to_bytes(8, 'big') + b'{nope'); time.sleep(60)",
    "deep-json": FIND_SOCKET + "os.write(fd, (99999).to_bytes(8, 'big') + b'[' * 99999); time.sleep(60)",
    "odd-problem": FIND_SOCKET
    + """
text = b'{"what": "problem", "meta": {"status": "ok", "reason": 1}, "arrays": {}}'
os.write(fd, len(text).to_bytes(8, "big") + text)
time.sleep(60)
""",
    "huge-answer": "return torch.zeros(1 << 24)",
    "dies-but-its-fork-lives": "if os.fork(): os._exit(3)\ntime.sleep(60)",
    "removes-its-folder": "import shutil; shutil.rmtree(os.getcwd(), ignore_errors=True); " + HONEST,
    "after": HONEST,
}
HANGS = {
    "hangs": "while True: time.sleep(60)",
    "hangs-in-c": "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65)); ctypes.CDLL(None).pause()",
    "half-a-message": FIND_SOCKET + "os.write(fd, (99).to_bytes(8, 'big') + b'{'); time.sleep(60)",
    "after": HONEST,
}
EXPECTED = {
    "hangs": ("timeout", f"score did not answer within {SECONDS:g} s"),
    "hangs-in-c": ("timeout", f"score did not answer within {SECONDS:g} s"),
    "grows-a-list": ("out-of-memory", "it asked for more memory than its limit"),
    "grows-a-tensor": ("out-of-memory", "it asked for more memory than its limit"),
    "grows-an-array": ("out-of-memory", "it asked for more memory than its limit"),
    "leaves": ("failed", "score ended the process with exit code 0 instead of answering"),
    "leaves-with-code": ("failed", "score ended the process with exit code 7 instead of answering"),
    "segfault": ("failed", "score crashed (SIGSEGV)"),
    "aborts": ("failed", "score crashed (SIGABRT)"),
    "kills-itself": ("failed", "score crashed (SIGKILL)"),
    "system-exit": ("failed", "SystemExit: 0"),
    "interrupt": ("failed", "KeyboardInterrupt"),
    "recursion": ("failed", "RecursionError: maximum recursion depth exceeded"),
    "raises": ("failed", "ValueError: no such [2J thing"),
    "unprintable": ("failed", "Odd"),
    "asks-for-more": ("not-applicable", "this model does not offer features"),
    "wants-labels": ("failed", "AttributeError: outputs have no labels"),
    "closes-socket": ("failed", "score closed its connection to the harness"),
    "long-header": ("invalid", "its answer was malformed: the header is too long"),
    "bad-json": ("invalid", "its answer was malformed: the header cannot be read (JSONDecodeError)"),
    "deep-json": ("invalid", "its answer was malformed: the header cannot be read (RecursionError)"),
    "half-a-message": ("timeout", f"score did not answer within {SECONDS:g} s"),
    "odd-problem": ("invalid", "its answer was malformed"),
    "huge-answer": ("invalid", "its answer was malformed: 67,108,864 bytes arrived where at most 1,"),
    "dies-but-its-fork-lives": ("failed", "score ended the process with exit code 3 instead of answering"),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """study -> (status, reason), by the name of the group of behaviours."""
    folder = tmp_path_factory.mktemp("crashes")
    limits = {"memory": 0.5, "workers": 2}
    return {
        "crashes": ends(run_each(folder / "crashes", CRASHES, **limits)),
        "sockets": ends(run_each(folder / "sockets", SOCKETS, **limits)),
        "hangs": ends(run_each(folder / "hangs", HANGS, **limits, timeout=SECONDS)),
    }


@pytest.mark.parametrize("study", EXPECTED)
def test_the_unit_ends_with_a_status_and_one_sentence(results, study):
    status, reason = (results["crashes"] | results["sockets"] | results["hangs"])[study]
    wanted_status, wanted_reason = EXPECTED[study]
    assert status == wanted_status, reason
    assert reason.startswith(wanted_reason)
    assert reason.isprintable()


def test_every_behaviour_is_accounted_for():
    fine = {"before", "after", "removes-its-folder"}
    assert set(CRASHES) | set(SOCKETS) | set(HANGS) == set(EXPECTED) | fine


@pytest.mark.parametrize("group", ["crashes", "sockets", "hangs"])
def test_the_other_units_go_on(results, group):
    assert results[group].get("before") in (("ok", ""), None)
    assert results[group]["after"] == ("ok", "")


def test_a_method_may_remove_its_own_folder(results):
    assert results["sockets"]["removes-its-folder"] == ("ok", "")


def test_memory_without_end_is_found_out_before_the_time_limit(tmp_path):
    """The limit is on growth: what importing torch took does not count."""
    behaviours = {
        "within": "kept = np.ones(1 << 25); " + HONEST,  # 256 of 512 MiB
        "beyond": "kept = [np.ones(1 << 20) for _ in range(1 << 20)]; " + HONEST,
    }
    found = ends(run_each(tmp_path, behaviours, memory=0.5))
    assert found["within"] == ("ok", "")
    assert found["beyond"][0] == "out-of-memory"


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ("return outputs.logits.amax(1) * float('nan')", "invalid", "confidences are NaN or infinite"),
        ("os._exit(0)", "failed", "ended the process with exit code 0"),
    ],
)
def test_the_check_finds_a_broken_method_first(tmp_path, body, status, reason):
    seen = []
    result = evaluate_prepared(prepare(request_one(tmp_path, body)), Listener(checked=seen.append))
    assert [check.passed for check in seen] == [False]
    assert [unit.status for unit in result.failed] == [status, status]
    assert all(unit.reason.startswith("the check failed: ") and reason in unit.reason for unit in result.failed)


def test_the_check_passes_an_honest_method(tmp_path):
    prepared = prepare(request_one(tmp_path, HONEST))
    checks = check_method(prepared.method, prepared.limits)
    assert len(checks) > 1
    assert all(check.passed for check in checks)
