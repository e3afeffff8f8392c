"""What the command says of the fence around a method."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.execution import landlock
from tests.cli.support import harness, write_toy

pytestmark = pytest.mark.usefixtures("in_this_process")


def test_a_machine_without_landlock_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    write_toy(tmp_path)
    done = harness("evaluate", "margin.py", "--benchmark", "toy.toml", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("No fence: this kernel offers no Landlock") == 1
    (sealed,) = tmp_path.glob("runs/*/run.json")
    assert json.loads(sealed.read_text())["environment"]["fence"] == "audit hook"
    chosen = harness("evaluate", "margin.py", "--benchmark", "toy.toml", "--fence", "none", folder=tmp_path)
    assert "No fence" not in chosen.stderr, "who asked for none knows"
    refused = harness("evaluate", "margin.py", "--benchmark", "toy.toml", "--fence", "landlock", folder=tmp_path)
    assert refused.returncode == 2
    assert "--fence landlock cannot stand here" in refused.stderr
    assert "audit hook; landlock: this kernel offers no Landlock" in harness("doctor", folder=tmp_path).stdout


def test_what_a_method_was_allowed_to_read_is_recorded(tmp_path: Path) -> None:
    write_toy(tmp_path)
    (tmp_path / "weights").mkdir()
    allowed = ("--allow-read", "weights", "--allow-read", "margin.py")
    done = harness("evaluate", "margin.py", "--benchmark", "toy.toml", *allowed, "--json", folder=tmp_path)
    readable = json.loads(done.stdout)["run"]["environment"]["readable"]
    assert readable == [str(tmp_path / "margin.py"), str(tmp_path / "weights")]
