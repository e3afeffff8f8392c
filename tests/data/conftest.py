"""Fixtures of several tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.data.server import server as server


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and network settings that are nobody's."""
    for name in ("HF_HUB_OFFLINE", "HARNESS_ZENODO_URL", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
