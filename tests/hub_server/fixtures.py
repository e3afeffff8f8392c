from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub_server.server import HubServer


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    """An empty Hub with the accounts of `tests.hub_server.server.ACCOUNTS`."""
    with HubServer(tmp_path / "hub-server") as server:
        yield server
