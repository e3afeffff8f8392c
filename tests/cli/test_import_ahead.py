"""Modules that are imported while others work: they are there, and a missing one is no matter of who imports ahead."""

import sys
from importlib.util import find_spec
from pathlib import Path
from threading import enumerate as all_threads

import pytest

from harness.cli.evaluate import _import_ahead
from harness.execution.evaluate import Request, prepare


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
