"""The only code that writes result files: canonical ids, atomic writes, the journal and the run lock.

Importing it loads the standard library only; numpy, torch and jinja2 are loaded by the functions that use them.
"""

from harness.storage.arrays import MAX_ARRAY_BYTES, read_arrays, write_arrays
from harness.storage.atomic import (
    MAX_JSON_BYTES,
    json_text,
    read_json,
    remove_stale_temporaries,
    replacing,
    write_bytes,
    write_json,
    write_text,
)
from harness.storage.canonical import (
    array_id,
    bytes_id,
    canonical_array,
    canonical_json,
    content_id,
    file_id,
    seed_of,
)
from harness.storage.errors import IntegrityError, RunLockedError, StorageError, UnsafeArtefactError
from harness.storage.files import adopt, copy_file, growing, link, make_folder, move, move_into, remove
from harness.storage.folders import remove_stale_folders, replacing_folder
from harness.storage.journal import MAX_RECORD_BYTES, Journal
from harness.storage.lock import LOCK_NAMES, RunLock, process_space
from harness.storage.streams import ArrayStream, StoredArray, stored_arrays, write_array_streams
from harness.storage.tables import TABLE_SUFFIXES, write_table
from harness.storage.templates import fill_template
from harness.storage.tensors import read_tensors, write_tensors, write_weights

__all__ = [
    "ArrayStream",
    "IntegrityError",
    "Journal",
    "LOCK_NAMES",
    "MAX_ARRAY_BYTES",
    "MAX_JSON_BYTES",
    "MAX_RECORD_BYTES",
    "RunLock",
    "RunLockedError",
    "StorageError",
    "StoredArray",
    "UnsafeArtefactError",
    "adopt",
    "TABLE_SUFFIXES",
    "array_id",
    "bytes_id",
    "canonical_array",
    "canonical_json",
    "content_id",
    "copy_file",
    "file_id",
    "fill_template",
    "growing",
    "json_text",
    "link",
    "make_folder",
    "move",
    "move_into",
    "process_space",
    "read_arrays",
    "read_json",
    "remove",
    "remove_stale_folders",
    "read_tensors",
    "remove_stale_temporaries",
    "replacing",
    "replacing_folder",
    "seed_of",
    "write_array_streams",
    "write_arrays",
    "write_bytes",
    "write_json",
    "stored_arrays",
    "write_table",
    "write_tensors",
    "write_weights",
    "write_text",
]
