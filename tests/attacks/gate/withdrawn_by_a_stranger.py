"""The pull request withdraws the benchmark, so that a successor of its choice takes the place."""

from __future__ import annotations

from pathlib import Path

OUTCOME, SAYS = "refused", "the same change changes leaderboards/toy/1/benchmark.toml"


def attack(folder: Path) -> None:
    path = folder.parents[2] / "leaderboards" / "toy" / "1" / "benchmark.toml"
    ended = 'status = "withdrawn"\nsuccessor = "easier@1"\nreason = "<script>"\n'
    path.write_text(ended + path.read_text())
