"""Every other file does something to a run's folder or to the method's file, before a run or between its check and its units.

A file has `attack(scene)`, `WHEN` it is done, and `OUTCOME`: "refused", with `SAYS` in the sentence, or "harmless", where
the run ends as if nothing had been done. Nothing elsewhere changes in either case.
"""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

from harness.execution.evaluate import Listener, evaluate_prepared, prepare
from harness.spec.errors import UsageError
from tests.execution.support import HONEST, request_one

pytestmark = pytest.mark.usefixtures("in_this_process")
ATTACKS = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in ("__init__", "test_runs"))


@dataclass(frozen=True)
class Scene:
    """The folder of the run, which is not there yet, the method's file, and a folder that is none of the run's business."""

    run: Path
    method: Path
    elsewhere: Path


@pytest.mark.parametrize("name", ATTACKS)
def test_what_comes_of_it(tmp_path, name):
    attack = import_module(f"tests.attacks.runs.{name}")
    assert attack.__doc__
    prepared = prepare(request_one(tmp_path / "asked", HONEST))
    scene = Scene(prepared.plan.folder, prepared.method.path, tmp_path / "elsewhere")
    source = scene.method.read_bytes()
    scene.elsewhere.mkdir()
    (scene.elsewhere / "empty").touch()
    done, listener = [], Listener()
    if attack.WHEN == "before":
        attack.attack(scene)
    else:
        listener = Listener(checked=lambda check: done.append(check) if done else done.append(attack.attack(scene)))
    before = everything(scene.elsewhere)
    fresh = getattr(attack, "FRESH", False)
    if attack.OUTCOME == "refused":
        with pytest.raises(UsageError) as caught:
            evaluate_prepared(prepared, listener, fresh=fresh)
        assert attack.SAYS in str(caught.value)
    else:
        assert not evaluate_prepared(prepared, listener, fresh=fresh).failed
        assert (scene.run / "method.py").read_bytes() == source
    assert everything(scene.elsewhere) == before
    assert attack.WHEN == "before" or done, "it was never done"


def everything(folder):
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}
