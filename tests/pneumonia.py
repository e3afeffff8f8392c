"""PneumoniaMNIST for tests: fetched from the folder that HARNESS_SHARED names, or the test is skipped."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.data.fetch import FetchOptions, fetch
from harness.data.manifests import find_dataset

SHARED = Path(os.environ.get("HARNESS_SHARED", Path(__file__).resolve().parents[2] / "shared"))
FILE = SHARED / "data" / "medmnist" / "pneumoniamnist.npz"


def fetch_pneumonia(cache: Path, monkeypatch: pytest.MonkeyPatch, *beside: str) -> None:
    """Have the data set, and others of MedMNIST beside it, in a cache of the test's own."""
    if not FILE.is_file():
        pytest.skip(f"{FILE} is not here; HARNESS_SHARED names the folder that has data/medmnist")
    monkeypatch.setenv("HARNESS_CACHE", str(cache))
    for name in ("pneumoniamnist", *beside):
        fetch(find_dataset(name), FetchOptions(source=FILE.parent))
