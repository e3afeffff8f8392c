"""What is imported while others work: modules are there, a missing one is no matter of who imports ahead, and a process that
was started ahead ends with the command."""

import sys
from importlib.util import find_spec
from pathlib import Path
from threading import enumerate as all_threads
from types import SimpleNamespace

import pytest

from harness.cli.evaluate import _import_ahead, _unit_process_ahead
from harness.execution import child, executor
from harness.execution.evaluate import Request, prepare
from harness.execution.executor import LocalExecutor
from harness.execution.waiting import Room
from harness.spec.errors import UsageError
from harness.storage import StorageError


@pytest.mark.parametrize("method", ["msr", "predictive-entropy", "saliency", "sparseness"])
def test_modules_that_tracks_name_are_there(method, tmp_path):
    track = prepare(Request(method, out=tmp_path, device="cpu")).track
    assert all(map(find_spec, (*track.slow_imports(), *track.imports_to_show())))


def test_a_missing_module_does_not_keep_others_from_being_imported(tmp_path, monkeypatch):
    Path(tmp_path, "there_it_is.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = set(all_threads())
    _import_ahead(["no_such_module_anywhere", "there_it_is"])
    for thread in set(all_threads()) - before:
        thread.join(60)
    assert sys.modules.pop("there_it_is").value == 1


def test_a_process_that_was_started_ahead_ends_with_what_it_was_started_for():
    def refuse(ahead):
        assert ahead.ended() is None
        raise UsageError("there is no such method")

    with pytest.raises(UsageError), _unit_process_ahead(1, wanted=True) as ahead:
        refuse(ahead)
    assert ahead.ended() is not None
    assert not ahead.folder.exists()


def test_none_is_started_ahead_where_none_is_wanted_or_none_can_be(monkeypatch):
    with _unit_process_ahead(1, wanted=False) as ahead:
        assert ahead is None

    def refuse(threads):
        raise StorageError("there is no room for its folder")

    monkeypatch.setattr(child, "unit_child", refuse)
    with _unit_process_ahead(1, wanted=True) as ahead:
        assert ahead is None, "who needs one is told why there is none"


@pytest.mark.parametrize("cards", [(), ("0",)])
def test_the_first_unit_process_is_the_one_ahead_unless_it_gets_a_card_of_its_own(monkeypatch, cards):
    started, ended, ahead = [], [], SimpleNamespace(kill=lambda: ended.append(ahead))

    class Process:
        def __init__(self, job, environment=None): ...
        def start(self, ahead=None):
            started.append(ahead)

    monkeypatch.setattr(executor, "UnitProcess", Process)
    LocalExecutor(None, 2, Room(cards=cards)).start(ahead)
    assert (started, ended) == (([None], [ahead]) if cards else ([ahead], []))
