import pytest

from harness.storage import Journal

from .support import RECORDS


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal"


@pytest.fixture
def sealed(path):
    """The bytes of a journal of `RECORDS`."""
    with Journal.open(path) as journal:
        for record in RECORDS:
            journal.append(record)
    return path.read_bytes()
