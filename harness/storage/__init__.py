"""The only code that writes result files: canonical ids, atomic writes, the journal and the run lock.

Importing it loads the standard library only; numpy is loaded by the functions that handle arrays.
"""

from harness.storage.arrays import MAX_ARRAY_BYTES, read_arrays, write_arrays
from harness.storage.atomic import (
    MAX_JSON_BYTES,
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
)
from harness.storage.errors import IntegrityError, RunLockedError, StorageError, UnsafeArtefactError
from harness.storage.files import adopt, copy_file, growing, link, make_folder, move_into, remove
from harness.storage.folders import remove_stale_folders, replacing_folder
from harness.storage.journal import MAX_RECORD_BYTES, Journal
from harness.storage.lock import LOCK_NAME, RunLock
from harness.storage.parquet import write_parquet
from harness.storage.rows import ArrayRows, array_rows
from harness.storage.streams import ArrayStream, StoredArray, write_array_streams
from harness.storage.tables import TABLE_SUFFIXES, write_table
from harness.storage.tensors import read_tensors, write_tensors

__all__ = [
    "ArrayRows",
    "ArrayStream",
    "IntegrityError",
    "Journal",
    "LOCK_NAME",
    "MAX_ARRAY_BYTES",
    "MAX_JSON_BYTES",
    "MAX_RECORD_BYTES",
    "RunLock",
    "RunLockedError",
    "StorageError",
    "StoredArray",
    "TABLE_SUFFIXES",
    "UnsafeArtefactError",
    "adopt",
    "array_id",
    "array_rows",
    "bytes_id",
    "canonical_array",
    "canonical_json",
    "content_id",
    "copy_file",
    "file_id",
    "growing",
    "link",
    "make_folder",
    "move_into",
    "read_arrays",
    "read_json",
    "read_tensors",
    "remove",
    "remove_stale_folders",
    "remove_stale_temporaries",
    "replacing",
    "replacing_folder",
    "write_array_streams",
    "write_arrays",
    "write_bytes",
    "write_json",
    "write_parquet",
    "write_table",
    "write_tensors",
    "write_text",
]
