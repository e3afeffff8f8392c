"""`harness list`: by kind, one line each, whole names at any width, whole lines in pipes; `--version`; flags."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

import harness
from harness.cli import command
from harness.data.catalog import benchmark_files
from harness.methods.discovery import baseline_names
from harness.metrics.facts import metric_facts
from harness.spec.kinds import kinds
from tests.cli.support import harness as run

MAIN = (sys.executable, "-c", "from harness.cli import main; main()")
NAMES = {
    "benchmarks": set(benchmark_files()),
    "methods": set(baseline_names()),
    "metrics": {fact.id for fact in metric_facts().values() if fact.lower_is_better is not None},
}


def on_terminal(*words: str, columns: int, folder: Path) -> list[str]:
    """What a terminal of so many columns gets."""
    reading, writing = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "NO_COLOR": "1", "TERM": "xterm"}
    with subprocess.Popen([*MAIN, *words], cwd=folder, stdout=writing, env=environment) as process:
        os.close(writing)
        shown = b""
        try:
            while piece := os.read(reading, 65536):
                shown += piece
        except OSError:  # the other end is closed
            pass
    os.close(reading)
    assert process.returncode == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", shown.decode()).splitlines()


@pytest.mark.parametrize("topic", NAMES)
def test_a_line_for_each_under_its_kind(topic: str, tmp_path: Path) -> None:
    lines = run("list", topic, folder=tmp_path, COLUMNS="40").stdout.splitlines()
    rows = [line for line in lines if line.startswith("  ")]
    assert {row.split()[0] for row in rows} >= NAMES[topic]
    assert len({row.split()[0] for row in rows}) == len(rows)
    assert set(lines) - set(rows) <= set(kinds())
    assert not any("…" in line for line in lines), "nothing is cut in a pipe"


@pytest.mark.parametrize("columns", [60, 80])
@pytest.mark.parametrize("topic", NAMES)
def test_a_terminal_cuts_texts_and_no_names(topic: str, columns: int, tmp_path: Path) -> None:
    lines = on_terminal("list", topic, columns=columns, folder=tmp_path)
    assert max(map(len, lines)) <= columns
    assert {line.split()[0] for line in lines} >= NAMES[topic]


def test_one_kind(tmp_path: Path) -> None:
    lines = run("list", "methods", "--task", "query", folder=tmp_path).stdout.splitlines()
    assert lines[0] == "query"
    assert {line.split()[0] for line in lines[1:]} >= set(baseline_names("query"))
    assert not {line.split()[0] for line in lines[1:]} & set(baseline_names("confidence"))
    rows = json.loads(run("list", "metrics", "--task", "confidence", "--json", folder=tmp_path).stdout)
    assert {row["task"] for row in rows} == {"confidence"}


def test_a_kind_that_there_is_not(tmp_path: Path) -> None:
    done = run("list", "methods", "--task", "atribution", folder=tmp_path)
    assert done.returncode == 2
    assert "did you mean attribution" in done.stderr


def test_withdrawn_versions_are_marked(tmp_path: Path) -> None:
    lines = run("list", folder=tmp_path).stdout.splitlines()
    (line,) = (each for each in lines if each.startswith("  attribution-latec@1 "))
    assert "(withdrawn)" in line


def test_version(tmp_path: Path) -> None:
    done = run("--version", folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"reliabench {harness.__version__}\n")


def test_no_flag_shows_a_type(tmp_path: Path) -> None:
    waiting = [command()]
    while waiting:
        each = waiting.pop()
        with typer.Context(each, info_name="x") as context:
            help_text = each.get_help(context)
            flags = [parameter for parameter in each.get_params(context) if getattr(parameter, "is_flag", False)]
        assert flags
        assert "bool" not in (help_text or "").lower()
        assert {flag.metavar for flag in flags} == {""}
        waiting += getattr(each, "commands", {}).values()
    assert "<bool>" not in run("evaluate", "--help", folder=tmp_path).stdout
