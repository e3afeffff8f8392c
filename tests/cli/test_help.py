"""Every verb that there is explains itself, and says how to ask it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from harness.cli import application
from tests.cli.support import harness


def verbs(made: Any, *path: str) -> Iterator[tuple[str, Any]]:
    yield " ".join(path), made
    for name, each in getattr(made, "commands", {}).items():
        yield from verbs(each, *path, name)


VERBS = dict(verbs(get_command(application())))


@pytest.mark.parametrize("verb", VERBS)
def test_help_shows_an_example(verb: str) -> None:
    text, called = VERBS[verb].help, f"harness {verb}".strip()
    assert f"Example: {called} " in text or f"Example: {called}\n" in f"{text}\n"


@pytest.mark.parametrize("verb", VERBS)
def test_help_shows_all_that_was_written(verb: str, tmp_path: Path) -> None:
    done = harness(*verb.split(), "--help", folder=tmp_path, COLUMNS="250")
    assert done.returncode == 0
    shown = _bare(done.stdout)
    for described in (VERBS[verb], *VERBS[verb].params):
        assert _bare(getattr(described, "help", None) or "") in shown


@pytest.mark.parametrize("verb", VERBS)
def test_a_mistake_names_help_that_there_is(verb: str, tmp_path: Path) -> None:
    wrong = harness(*verb.split(), "--no-such-option", folder=tmp_path)
    assert wrong.returncode == 2
    asked = [*verb.split(), "-h"]
    assert f"{' '.join(asked)}' for help." in wrong.stderr
    done = harness(*asked, folder=tmp_path)
    assert done.returncode == 0
    assert done.stdout == harness(*verb.split(), "--help", folder=tmp_path).stdout


def test_brackets_and_paragraphs_of_any_text_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    app = typer.Typer(help="Needs [bold]pip[/].\n\nOf reliabench[browse]\nand x[0], [a, b] [/]", context_settings={})

    @app.command("one")
    def one(given: str = typer.Option("[x]", help="as in [red] or [1, 2] or \\[browse]")) -> None: ...

    @app.command("two")
    def two() -> None: ...

    monkeypatch.setattr("harness.cli.application", lambda: app)
    of_all = harness("--help", folder=tmp_path).stdout
    assert "Needs [bold]pip[/]." in of_all
    assert "Of reliabench[browse] and x[0], [a, b] [/]" in of_all
    assert "as in [red] or [1, 2] or \\[browse]" in harness("one", "--help", folder=tmp_path).stdout


def _bare(text: str) -> str:
    """Without line breaks, spaces and frames."""
    return re.sub(r"[\s│]+", "", text)
