"""Samples out of files: one generic reader a layout, chosen by what a data set's manifest says."""

from harness.data.readers.base import Listing, Samples
from harness.data.readers.opening import open_listing, open_part, part_id, part_ids

__all__ = ["Listing", "Samples", "open_listing", "open_part", "part_id", "part_ids"]
