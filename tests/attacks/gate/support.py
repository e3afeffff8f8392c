"""What several attacks do."""

from __future__ import annotations

from pathlib import Path


def rename(folder: Path, name: str) -> None:
    """Call the submission `margin` otherwise."""
    about = folder / "submission.toml"
    about.write_text(about.read_text().replace('name = "margin"', f'name = "{name}"'))
    folder.rename(folder.with_name(name))
