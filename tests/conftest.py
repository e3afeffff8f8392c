"""What holds for all tests: several run at once, on a machine of any speed, and what is slow to make is made once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch or numpy is loaded, here and in what tests start
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# The quick suite sees the same examples every time; `make test-all` draws new ones.
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", settings.get_profile("explore"), derandomize=True)
settings.load_profile("same")

Made = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A function from a name and what fills a folder to that folder, filled once for all test processes of a session.

    Tests must not change what lies in it: they copy what they change.
    """
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "made-once"
    root.mkdir(exist_ok=True)

    def folder(name: str, fill: Callable[[Path], object]) -> Path:
        path = root / name
        with FileLock(f"{path}.lock"):
            if not Path(f"{path}.done").exists():
                path.mkdir()
                fill(path)
                Path(f"{path}.done").touch()
        return path

    return folder


@pytest.fixture(scope="session")
def whole_site(made_once: Made) -> Path:
    """The site of the repository in `html`, and what Sphinx said in `said.txt`."""

    def fill(folder: Path) -> None:
        # In a process of its own: the tests that come here first may have put other boards in place of these.
        code = "from harness.cli import main; main()"
        command = [sys.executable, "-c", code, "site", "build", "--out", str(folder / "html")]
        done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1], check=False)
        assert done.returncode == 0, done.stderr
        (folder / "said.txt").write_text(done.stderr)

    return made_once("whole-site", fill)


@pytest.fixture(scope="module")
def in_this_process() -> Iterator[None]:
    """Runs and checks of methods start no processes, see `tests.in_process`."""
    from tests.in_process import HereExecutor, MethodHere

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("harness.execution.child.unit_child", lambda threads: None)
        monkeypatch.setattr("harness.execution.evaluate.LocalExecutor", HereExecutor)
        monkeypatch.setattr("harness.execution.evaluate.MethodProcess", MethodHere)
        yield
