"""Every verb that there is explains itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from harness.cli import application


def verbs(command: Any, *path: str) -> Iterator[tuple[str, str]]:
    yield " ".join(["harness", *path]), command.help
    for name, each in getattr(command, "commands", {}).items():
        yield from verbs(each, *path, name)


@pytest.mark.parametrize(("verb", "text"), list(verbs(get_command(application()))))
def test_help_shows_an_example(verb: str, text: str) -> None:
    assert f"Example: {verb} " in text or f"Example: {verb}\n" in f"{text}\n"
