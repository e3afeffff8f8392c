"""Maps of explainers beside a submission: too large to be among its outputs, so hashed always and carried where it goes.

With them, the gate recomputes every metric that needs no further answer of the method.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from harness.boards.members import member_name
from harness.execution.run_result import RunResult
from harness.spec.run import Unit
from harness.spec.submission import Maps
from harness.storage import IntegrityError, array_id, file_id, read_arrays, write_arrays
from harness.tracks.base import Track

if TYPE_CHECKING:
    import numpy as np

FILE = "maps.npz"
LARGEST_INLINE = 150_000
"""Bytes of the file beside a submission; larger ones go to the Hub. A repository keeps every version of every row for good,
and a board of two dozen explainers would bring megabytes of maps; hashes alone are enough to tell a rerun's maps apart."""
LARGEST_FETCHED = 500_000_000
"""Bytes of a file that is fetched from the Hub."""
LARGEST_UNPACKED = 1_000_000_000
"""Bytes of all maps of a submission in memory."""

Fetch = Callable[[Maps], Path]
"""Brings the file that a submission refers to. Raises UsageError where it cannot be had."""


def maps_of(run: RunResult, track: Track, units: Mapping[str, Unit]) -> dict[str, np.ndarray]:
    """What a run stored and its submission leaves out, by `<model>--<study>--<name>`; nothing for most tracks."""
    left_out: dict[str, np.ndarray] = {}
    for key, outputs in run.outputs().items():
        names = [name for name in outputs if not track.carried(name)]
        left_out |= {member_name(units[key], name): outputs[name] for name in names}
    return left_out


def store_maps(maps: Mapping[str, np.ndarray], folder: Path) -> Maps | None:
    """Hash maps, and write them beside a submission if they are small enough there; None if there are none."""
    if not maps:
        return None
    hashes = Maps(arrays={name: array_id(array) for name, array in sorted(maps.items())})
    file = write_maps(maps, folder / FILE)
    if file.stat().st_size <= LARGEST_INLINE:
        return hashes.model_copy(update={"sha256": file_id(file), "bytes": file.stat().st_size})
    file.unlink()
    return hashes


def write_maps(maps: Mapping[str, np.ndarray], path: Path) -> Path:
    """Write the file that holds all maps of a submission."""
    write_arrays(path, maps)
    return path


def read_maps(maps: Maps, path: Path) -> dict[str, np.ndarray]:
    """The maps in a file, which may come from a stranger. Raises IntegrityError if they are not those that were hashed.

    The file's size and hash are checked before it is opened, and the sizes of its arrays before they are read.
    """
    most = LARGEST_INLINE if maps.inline else LARGEST_FETCHED
    size = path.stat().st_size if path.is_file() else 0
    if size != maps.bytes or size > most or file_id(path) != maps.sha256:
        raise IntegrityError(
            f"{path.name} is not the file of maps that the submission names (its size or hash differs)"
        )
    found = read_arrays(path, max_bytes=LARGEST_UNPACKED)
    if found.keys() != maps.arrays.keys():
        raise IntegrityError(f"{path.name} holds maps of other units than the submission names")
    for name, array in found.items():
        if array_id(array) != maps.arrays[name]:
            raise IntegrityError(
                f"{name} in {path.name} are not the maps that the submission names (their hash differs)"
            )
    return found
