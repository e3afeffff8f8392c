"""A method can answer, and nothing else: it cannot write its result, see a label, or use the network."""

import os
import subprocess
import sys

import numpy as np
import pytest

from harness.data.catalog import bundled_folder
from harness.data.fetch import FetchOptions, fetch
from harness.execution.evaluate import prepare, run
from harness.storage import IntegrityError, read_arrays
from tests.data.sources import dataset

from .support import CLASSES, HONEST, ROWS, ends, request, request_one, run_each

FORGED = '{"what": "answer", "status": "ok", "records": [{"metric": "augrc", "value": 0.0, "n": 60}]}'
WRITES = {
    "appends-to-journal": "open('{run}/journal.log', 'a').write('x')",
    "opens-by-number": "os.open('{run}/journal.log', os.O_WRONLY | os.O_APPEND)",
    "replaces-result": "open('{run}/run.json', 'w').write('{{}}')",
    "plants-outputs": "open('{run}/outputs/0123456789abcdef.npz', 'wb').write(b'x')",
    "removes-journal": "os.remove('{run}/journal.log')",
    "removes-run": "import shutil; shutil.rmtree('{run}')",
    "moves-journal": "os.rename('{run}/journal.log', 'mine')",
    "links-journal": "os.link('{run}/journal.log', 'mine')",
    "through-a-symlink": "os.symlink('{run}/journal.log', 'mine'); open('mine', 'a').write('x')",
    "truncates": "os.truncate('{run}/journal.log', 0)",
}
NETWORK = {
    "connects": "socket.create_connection(('127.0.0.1', 9), timeout=1)",
    "listens": "socket.socket().bind(('127.0.0.1', 0))",
    "asks-for-a-name": "socket.getaddrinfo('localhost', 80)",
    "downloads": "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9/')",
}
# Looks for `NEEDLE` in everything that a method was given or can reach without knowing where to look.
SEARCH = """
from pathlib import Path

def haystacks():
    yield repr(sorted(os.environ.items())).encode()
    yield repr(sys.argv).encode()
    for name, array in outputs._arrays.items():
        yield name.encode() + array.astype(np.int64).tobytes() + array.tobytes()
    for file in (f for f in Path.cwd().parent.rglob("*") if f.is_file()):
        yield file.read_bytes()
    for fd in (int(name) for name in os.listdir("/proc/self/fd")):
        try:
            yield os.pread(fd, 1 << 24, 0)
        except OSError:
            continue
    for pid in ("self", str(os.getppid())):
        for name in ("cmdline", "mem"):
            try:
                with open(f"/proc/{pid}/{name}", "rb") as file:
                    yield file.read(1 << 20)
            except OSError:
                continue
    import gc
    for thing in gc.get_objects():
        if isinstance(thing, np.ndarray) and thing.dtype.kind in "iu":
            yield thing.astype(np.int64).tobytes()

bad = [text for text in haystacks() if any(needle in text for needle in NEEDLES)]
assert not bad, "labels were found"
try:
    outputs.labels
except AttributeError:
    return outputs.probabilities.amax(dim=1)
"""


def test_what_a_method_prints_changes_nothing(tmp_path):
    loud = (
        f"print({FORGED!r}, flush=True); print({FORGED!r}, file=sys.stderr, flush=True); os.write(1, b'x' * 100000)\n"
    )
    printed = run(prepare(request_one(tmp_path / "loud", loud + HONEST)))
    silent = run(prepare(request_one(tmp_path / "silent", HONEST)))
    assert not printed.failed
    assert [unit.records for unit in printed.document.units] == [unit.records for unit in silent.document.units]
    assert printed.document.summary == silent.document.summary


@pytest.fixture(scope="module")
def fenced(tmp_path_factory):
    """A run of methods that try to write into it and to use the network, in the same order as they are named."""
    folder = tmp_path_factory.mktemp("fence")
    victim = folder / "victim"
    (victim / "outputs").mkdir(parents=True)
    for name in ("journal.log", "run.json"):
        (victim / name).write_text("untouched")
    bodies = {name: body.format(run=victim) for name, body in WRITES.items()}
    may = {
        "its-own-folder": "open('mine.txt', 'w').write('x'); os.mkdir('sub'); os.rename('mine.txt', 'sub/m'); "
        "os.remove('sub/m'); os.rmdir('sub'); " + HONEST
    }
    return ends(run_each(folder, bodies | NETWORK | may)), victim


@pytest.mark.parametrize("study", WRITES)
def test_writing_into_a_run_is_refused(fenced, study):
    found, victim = fenced
    status, reason = found[study]
    assert status == "failed"
    assert reason.startswith("NotAllowedError: a method may write only into its temporary folder, not ")
    assert sorted(path.name for path in victim.iterdir()) == ["journal.log", "outputs", "run.json"]
    assert (victim / "journal.log").read_text() == (victim / "run.json").read_text() == "untouched"
    assert not list((victim / "outputs").iterdir())


@pytest.mark.parametrize("study", NETWORK)
def test_the_network_is_refused(fenced, study):
    status, reason = fenced[0][study]
    assert status == "failed"
    assert "a method may not use the network" in reason


def test_what_the_harness_knows_of_the_outcomes_is_closed(tmp_path):
    secrets = {
        "outcomes": bundled_folder("datasets") / "confidence-mnist" / "outcomes-2.npz",
        "board": bundled_folder("submissions") / "confidence-mnist@2" / "oracle" / "outputs.npz",
    }
    bodies = {name: f"np.load({str(path)!r}); " + HONEST for name, path in secrets.items()}
    assert all(path.is_file() for path in secrets.values())
    drawn_anew = "digits('image', 'distractor', np.arange(3), 0); "
    bodies["masks"] = "from harness.data.digits import digits; " + drawn_anew + HONEST
    found = ends(run_each(tmp_path, bodies))
    for name in bodies:
        status, reason = found[name]
        assert status == "failed"
        assert "may not read what the harness knows of the outcomes" in reason


def test_fetched_data_are_closed_also_where_they_lie_outside_of_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "mine" / "train").mkdir(parents=True)
    for name in ("mine/a.csv", "mine/train/1.csv", "mine/free.csv"):
        (tmp_path / name).write_text("0,1,2")
    own = {"kind": "own", "page": "https://example.org"}
    files = ({"path": "a.csv", "origin": own}, {"path": "train", "origin": own, "folder": True})
    folder = fetch(dataset(tmp_path, *files), FetchOptions(source=tmp_path / "mine"))
    copied = fetch(dataset(tmp_path, files[0], id="copied"), FetchOptions(source=tmp_path / "mine", copy=True))
    closed = {
        "by-its-link": folder / "a.csv",
        "where-it-lies": tmp_path / "mine" / "a.csv",
        "in-a-folder": tmp_path / "mine" / "train" / "1.csv",
        "in-the-cache": copied / "a.csv",
    }
    bodies = {name: f"open({str(path)!r}).read(); " + HONEST for name, path in closed.items()}
    bodies["beside"] = f"open({str(tmp_path / 'mine' / 'free.csv')!r}).read(); " + HONEST
    found = ends(run_each(tmp_path / "runs", bodies, allow_read=(tmp_path / "mine",)))
    for name in closed:
        assert found[name][0] == "failed"
        assert "may not read what the harness knows of the outcomes" in found[name][1]
    assert found["beside"] == ("ok", "")


def test_its_own_folder_is_a_methods_to_write(fenced):
    assert fenced[0]["its-own-folder"] == ("ok", "")


def tampering(folder, what):
    """A request whose method steps over the fence with native code and writes where it may not.

    The name of the run depends on the method, which therefore is told of it through a link.
    """
    link = folder / "link"
    body = f"libc = ctypes.CDLL(None); fd = libc.open(b'{link}/{what}', {os.O_RDWR | os.O_APPEND})\n"
    body += "assert fd >= 0; libc.write(fd, b'forged\\n', 7); libc.close(fd)\n"
    asked = request_one(folder, body + HONEST, fence="none")
    link.symlink_to(prepare(asked).plan.folder)
    return asked


def test_a_forged_line_in_the_journal_stops_the_run(tmp_path):
    asked = tampering(tmp_path, "journal.log")
    prepared = prepare(asked)
    with pytest.raises(IntegrityError, match="changed by another process while in use"):
        run(prepared)
    assert not (prepared.plan.folder / "run.json").exists()


def test_a_forged_line_in_the_journal_gives_exit_code_3(tmp_path):
    asked = tampering(tmp_path, "journal.log")
    prepare(asked).plan.folder.mkdir(parents=True)
    (prepare(asked).plan.folder / "journal.log").touch()
    arguments = ["evaluate", asked.method, "--benchmark", asked.benchmark, "--out", str(asked.out), "--workers", "1"]
    arguments += ["--fence", "none"]
    done = subprocess.run(
        [sys.executable, "-c", "from harness.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert done.returncode == 3, done.stderr
    assert "journal.log" in done.stderr
    assert "Traceback" not in done.stderr


def test_labels_are_nowhere_to_be_found(tmp_path):
    """The search itself is proven by letting it look for what it was given."""
    asked = request(tmp_path, {"labels": SEARCH, "canary": SEARCH})
    table = read_arrays(tmp_path / "benchmark" / "labels.npz")
    assert table["labels"].shape == (ROWS,)
    assert set(np.unique(table["labels"])) == set(range(CLASSES))
    labels, logits = table["labels"][:40].astype(np.int64).tobytes(), table["logits"][0].tobytes()
    narrow = table["labels"][:40].astype(np.int8).tobytes()
    source = (tmp_path / "zoo.py").read_text()
    needles = "NEEDLES = [bytes(v ^ 255 for v in each) for each in {}]"  # disguised: the source itself is searched

    def disguised(*texts):
        return needles.format([bytes(value ^ 255 for value in text) for text in texts])

    (tmp_path / "zoo.py").write_text(source + "\n" + disguised(labels, narrow))
    assert set(ends(run(prepare(asked))).values()) == {("ok", "")}
    (tmp_path / "zoo.py").write_text(source + "\n" + disguised(logits))
    status, reason = ends(run(prepare(asked)))["labels"]
    assert (status, reason.split(" (")[0]) == ("failed", "AssertionError: labels were found")


def test_a_secret_in_the_environment_stays_outside(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "1")
    asked = request_one(tmp_path, "assert 'SECRET' not in os.environ, sorted(os.environ)\n" + HONEST)
    assert not run(prepare(asked)).failed


def test_sets_of_texts_have_the_same_order_in_every_worker(tmp_path):
    """Their order depends on the hash seed: a method that sums over a set must not depend on chance."""
    asked = request_one(tmp_path, "raise ValueError(hash('text'))", workers=2)
    found = {reason for _ in range(2) for _, reason in ends(run(prepare(asked))).values()}
    assert len(found) == 1
