"""Array files written piece by piece and read row by row."""

from __future__ import annotations

import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from harness.storage import ArrayStream, IntegrityError, StoredArray, read_arrays, write_array_streams, write_arrays

ROWS = np.arange(60, dtype=np.float32).reshape(10, 2, 3)


def write(path: Path, pieces: list[np.ndarray], shape: tuple[int, ...] = ROWS.shape) -> None:
    labels = ArrayStream(np.int64, (3,), [np.arange(3)])
    write_array_streams(path, {"inputs": ArrayStream(np.float32, shape, pieces), "labels": labels})


def test_pieces_become_one_array(tmp_path: Path) -> None:
    write(tmp_path / "a.npz", [ROWS[:1], ROWS[1:1], ROWS[1:7], ROWS[7:]])
    with np.load(tmp_path / "a.npz", allow_pickle=False) as found:
        np.testing.assert_array_equal(found["inputs"], ROWS)
        assert found["labels"].tolist() == [0, 1, 2]
    np.testing.assert_array_equal(read_arrays(tmp_path / "a.npz")["inputs"], ROWS)
    write_arrays(tmp_path / "b.npz", {"inputs": ROWS, "labels": np.arange(3)}, compressed=False)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("pieces", [[ROWS[:9]], [ROWS, ROWS[:1]], [ROWS[:, :1]], []])
def test_pieces_that_do_not_fit_leave_the_old_file(tmp_path: Path, pieces: list[np.ndarray]) -> None:
    (tmp_path / "a.npz").write_text("old")
    with pytest.raises(ValueError, match=r"announced|has shape"):
        write(tmp_path / "a.npz", pieces)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]
    assert (tmp_path / "a.npz").read_text() == "old"


def test_a_failing_piece_leaves_nothing(tmp_path: Path) -> None:
    def pieces():  # type: ignore[no-untyped-def]
        yield ROWS[:5]
        raise IntegrityError("damaged")

    with pytest.raises(IntegrityError, match=r"damaged"):
        write_array_streams(tmp_path / "a.npz", {"inputs": ArrayStream(np.float32, ROWS.shape, pieces())})
    assert not list(tmp_path.iterdir())


def test_writing_holds_one_piece(tmp_path: Path) -> None:
    shape = (400, 1 << 18)  # 100 MB
    stream = ArrayStream(np.uint8, shape, (np.zeros((4, 1 << 18), np.uint8) for _ in range(100)))
    tracemalloc.start()
    write_array_streams(tmp_path / "a.npz", {"inputs": stream})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "a.npz").stat().st_size > 100_000_000
    assert peak < 10_000_000


@pytest.mark.parametrize("compressed", [True, False])
def test_rows_are_read_in_any_order(tmp_path: Path, compressed: bool) -> None:
    write_arrays(tmp_path / "a.npz", {"inputs": ROWS}, compressed=compressed)
    stored = StoredArray(tmp_path / "a.npz", "inputs")
    assert (len(stored), stored.shape, stored.dtype) == (10, ROWS.shape, np.float32)
    rows = [9, 0, 4, 9]
    np.testing.assert_array_equal(np.stack(stored.read(rows)), ROWS[rows])
    assert stored.read([]) == []


def test_reading_rows_holds_these_rows(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", inputs=np.zeros((400, 1 << 18), np.uint8))
    stored = StoredArray(tmp_path / "a.npz", "inputs")
    tracemalloc.start()
    assert stored.read([399])[0].sum() == 0
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50_000_000  # of 105 MB; the archive is skipped in pieces of 16 MB


def test_the_wrong_name_is_answered_with_what_is_there(tmp_path: Path) -> None:
    write_arrays(tmp_path / "a.npz", {"inputs": ROWS, "b": ROWS})
    with pytest.raises(IntegrityError, match=r"must hold one array images, it holds b, inputs"):
        StoredArray(tmp_path / "a.npz", "images")


@pytest.mark.parametrize(
    "array", [np.array([{}], dtype=object), np.array(["a"]), np.asfortranarray(ROWS), np.array(3.0)]
)
def test_anything_but_plain_numbers_is_refused(tmp_path: Path, array: np.ndarray) -> None:
    np.savez(tmp_path / "a.npz", inputs=array)
    with pytest.raises(IntegrityError, match=r"no plain array of numbers"):
        StoredArray(tmp_path / "a.npz", "inputs")


def test_a_header_that_promises_more_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", ROWS)
    data = (tmp_path / "a.npy").read_bytes().replace(b"(10, 2, 3)", b"(99, 2, 3)")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("inputs.npy", data)
    with pytest.raises(IntegrityError, match=r"not as long as its header says"):
        StoredArray(tmp_path / "a.npz", "inputs")


def test_damage_is_found_when_it_is_read(tmp_path: Path) -> None:
    write_arrays(tmp_path / "a.npz", {"inputs": np.random.default_rng(0).random((50, 50))}, compressed=False)
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "a.npz").write_bytes(data)
    stored = StoredArray(tmp_path / "a.npz", "inputs")
    with pytest.raises(IntegrityError, match=r"is damaged"):
        stored.read(range(50))
