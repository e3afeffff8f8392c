"""Query: active-learning strategies asked, loop after loop, which patches of a pool to annotate next."""

from harness.tracks.query.geometry import Patch, check_patches
from harness.tracks.query.loop_files import read_loop, read_loops, write_loop
from harness.tracks.query.sampling import foreground_patches, random_patches, starting_patches
from harness.tracks.query.selection import PatchGrid, ScoredPatch, select_patches

__all__ = [
    "Patch",
    "PatchGrid",
    "ScoredPatch",
    "check_patches",
    "foreground_patches",
    "random_patches",
    "read_loop",
    "read_loops",
    "select_patches",
    "starting_patches",
    "write_loop",
]
