"""What the tests of this room share."""

import os

from harness.storage import Journal

RECORDS = [
    {"unit": "a", "score": 0.25},
    {},
    {"text": "é\n\r\u2028\0", "list": [1, [None, True]]},
    {"last": 1},
]


def reopened(path):
    """The records of a journal that opens without complaint."""
    with Journal.open(path) as journal:
        journal.verify()
        return list(journal)


def failing(code):
    """A system call that always fails."""

    def fail(*_arguments, **_keywords):
        raise OSError(code, os.strerror(code))

    return fail
