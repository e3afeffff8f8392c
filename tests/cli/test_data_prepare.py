"""`harness data prepare`, as a user types it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.cli.support import harness as command
from tests.data.readers.support import pixels, png, write


def harness(*arguments: str, cache: Path) -> subprocess.CompletedProcess[str]:
    return command(*arguments, folder=cache.parent, HARNESS_CACHE=str(cache))


def test_fetch_then_prepare_then_there(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path / f"disk/images/{'ab'[number % 2]}/{number}.png", png(pixels(6, 6, 3)))
    manifest = write(
        tmp_path / "mine/source.toml",
        """
id = "mine"
title = "Mine"
licence = "none"
citation = ["me"]
[[files]]
path = "images"
origin = { kind = "own", page = "https://example.org" }
folder = true
[reader]
kind = "image-tree"
pattern = 'images/(?P<label>[^/]+)/[^/]+\\.png'
[parts.all]
[[products]]
path = "mine/all.npz"
parts = ["all"]
form = { kind = "images" }
""",
    )
    cache = tmp_path / "cache"
    early = harness("data", "prepare", str(manifest), cache=cache)
    assert early.returncode == 2
    assert "run: harness data fetch" in early.stderr
    assert harness("data", "fetch", str(manifest), "--from", str(tmp_path / "disk"), cache=cache).returncode == 0
    path = cache / "data/prepared/mine/all.npz"
    planned = harness("data", "prepare", str(manifest), "--dry-run", cache=cache)
    assert planned.stdout == f"{path}  from mine (all)\n"
    assert not path.exists()
    assert harness("data", "prepare", str(manifest), cache=cache).stdout == f"made  {path}\n"
    assert harness("data", "prepare", str(manifest), cache=cache).stdout == f"is there  {path}\n"


def test_a_benchmark_gets_what_can_be_made(tmp_path: Path) -> None:
    """Of four data sets nobody has fetched any: each is named, with the command that fetches it."""
    result = harness("data", "prepare", "query-realistic-al", cache=tmp_path / "cache")
    assert result.returncode == 2
    assert "8 of 8 could not be made:" in result.stderr
    for name in ("cifar-10", "cifar-100", "isic-2019", "mio-tcd"):
        assert f"harness data fetch {name}" in result.stderr


def test_a_slip_of_the_pen(tmp_path: Path) -> None:
    result = harness("data", "prepare", "query-nnactiv", cache=tmp_path)
    assert result.returncode == 2
    assert "did you mean query-nnactive" in result.stderr
