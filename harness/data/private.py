"""What a method must never read: labels, masks, predictions and outputs of benchmarks, and users' own data."""

from __future__ import annotations

from harness.data import embedded, template
from harness.data.catalog import bundled_folder, cache_folder
from harness.data.store import own_places


def private_folders() -> tuple[str, ...]:
    """Files and folders that are closed to methods: bundled ones and the history of their checkout, the cache, those of
    packages that hold embedded data, and what users keep elsewhere of data sets."""
    bundled = (bundled_folder(name) for name in ("datasets", "leaderboards", "submissions", ".git"))
    packages = (*embedded.folders(), *template.folders())
    return (*map(str, (*bundled, cache_folder(), *packages)), *own_places())
