"""What can go wrong when results are kept. Each message is a full sentence that a user can act on."""


class StorageError(OSError):
    """The operating system refused a write: disk full, no permission, read-only.

    It is an `OSError`, so code that already guards its writes stays right; the original error is its
    `__cause__`.
    """


class IntegrityError(RuntimeError):
    """A file does not hold what was written to it, or is not safe to read."""


class UnsafeArtefactError(IntegrityError):
    """A file from elsewhere that could do harm when it is read: a pickle with foreign code, an archive that escapes."""


class RunLockedError(RuntimeError):
    """Another process writes to this run directory, or may do so."""


def reason(error: OSError) -> str:
    """The cause of `error` without its number and path, to stand inside a sentence of our own."""
    return error.strerror or str(error)
