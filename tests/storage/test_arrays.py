"""Array files: the same bytes for the same arrays, and nothing trusted when they are read."""

import io
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from harness.storage import IntegrityError, read_arrays, write_arrays

pytestmark = pytest.mark.filterwarnings("ignore:Reading `.npy` or `.npz` file required additional header")


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def header(text, version=1):
    length = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + length + text.encode()


def archive(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as stream:
        for name, data in members:
            stream.writestr(name, data)
    return path


def refused(path, sentence=None, **limits):
    with pytest.raises(IntegrityError, match=sentence) as raised:
        read_arrays(path, **limits)
    assert str(raised.value).startswith(f"{path} ")


ARRAYS = {
    "confidence": np.linspace(0, 1, 7, dtype="f4"),
    "maps.ig-1": np.arange(24, dtype="i2").reshape(2, 3, 4),
    "names": np.array(["a", "né"]),
    "empty": np.zeros((3, 0)),
    "scalar": np.array(True),
    "when": np.array(["2020-01-01"], "M8[D]"),
    "nan": np.array([np.nan, np.inf]),
}


def test_arrays_are_read_back_exactly(tmp_path):
    write_arrays(tmp_path / "a.npz", ARRAYS)
    found = read_arrays(tmp_path / "a.npz")
    assert list(found) == sorted(ARRAYS)
    for name, array in ARRAYS.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found[name], array)
        assert found[name].flags.writeable
    with np.load(tmp_path / "a.npz", allow_pickle=False) as plain:
        assert sorted(plain.files) == sorted(ARRAYS)


def test_equal_arrays_give_equal_bytes(tmp_path, monkeypatch):
    first, second = tmp_path / "first.npz", tmp_path / "second.npz"
    write_arrays(first, ARRAYS)
    monkeypatch.setattr("time.time", lambda: 2e9)
    monkeypatch.setattr("time.localtime", lambda *_: (2033, 5, 18, 3, 33, 20, 2, 138, 0))
    turned = {name: np.asfortranarray(ARRAYS[name]).reshape(ARRAYS[name].shape) for name in reversed(ARRAYS)}
    turned["maps.ig-1"] = turned["maps.ig-1"].astype(">i2")
    write_arrays(second, turned)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("name", ["", "a/b", "../a", "a\\b", "a\0", ".hidden", "é", "a b"])
def test_names_that_are_no_plain_words_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="array name"):
        write_arrays(tmp_path / "a.npz", {name: [1]})
    assert not list(tmp_path.iterdir())


def test_object_arrays_are_not_written(tmp_path):
    with pytest.raises(TypeError, match="no portable representation"):
        write_arrays(tmp_path / "a.npz", {"a": np.array([{}, None])})
    assert not list(tmp_path.iterdir())


def test_object_arrays_are_refused_before_their_data_is_looked_at(tmp_path, monkeypatch):
    np.savez(tmp_path / "plain.npz", a=np.array([{"any": "thing"}], dtype=object))
    monkeypatch.setattr(np.lib.format, "read_array", lambda *_a, **_k: pytest.fail("data was read"))
    refused(tmp_path / "plain.npz", "its member 'a.npy' has the unsafe dtype object")
    # A header that promises objects while the sizes fit:
    hostile = header("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n") + b"\x80\x04N.    "
    refused(archive(tmp_path / "b.npz", [("a.npy", hostile)]), "unsafe dtype object")


def test_structured_arrays_are_refused(tmp_path):
    refused(archive(tmp_path / "a.npz", [("a.npy", npy(np.zeros(2, "i4,f4")))]), "unsafe dtype")


def test_a_zip_bomb_is_refused_by_its_directory(tmp_path):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as stream, stream.open("a.npy", "w") as member:
        member.write(header("{'descr': '|u1', 'fortran_order': False, 'shape': (67108864,), }\n"))
        for _ in range(64):
            member.write(bytes(1 << 20))
    assert path.stat().st_size < 100_000
    refused(path, r"it unpacks to \d+ bytes, more than the 1000000 allowed", max_bytes=1_000_000)


def test_a_directory_that_lies_about_sizes_costs_no_memory(tmp_path):
    path = archive(tmp_path / "bomb.npz", [("a.npy", npy(np.zeros(1 << 24, "u1")))])
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = struct.pack("<I", 1000)  # the unpacked size
    path.write_bytes(data)
    tracemalloc.start()
    refused(path, max_bytes=100_000)
    assert tracemalloc.get_traced_memory()[1] < 4_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("shape", ["(10**12,)", "(1000000000000,)", "(-1,)", "(-1, -1)", "(0, 5)", "(2,)", "('a',)"])
def test_a_header_that_lies_about_the_shape_is_refused(tmp_path, shape):
    data = header(f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n") + bytes(8)
    refused(archive(tmp_path / "a.npz", [("a.npy", data)]))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no array",
        header("{'descr': '<f8'}\n"),
        header("{" * 60_000),
        header("-" * 9_000 + "1"),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (), " + " " * 20_000 + "}\n", 2) + bytes(8),
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff{",
        b"\x93NUMPY\x03\x00\x01\x00\x00\x00{",
    ],
)
def test_broken_headers_are_refused(tmp_path, data):
    refused(archive(tmp_path / "a.npz", [("a.npy", data)]))


def test_version_two_headers_are_read(tmp_path):
    data = header("{'descr': '<u2', 'fortran_order': True, 'shape': (2, 1), }\n", 2) + b"\1\0\2\0"
    found = read_arrays(archive(tmp_path / "a.npz", [("a.npy", data)]))
    assert found["a"].tolist() == [[1], [2]]


def test_other_members_are_refused(tmp_path):
    refused(archive(tmp_path / "a.npz", [("../../evil.py", b"")]), "is not an array")
    refused(
        archive(tmp_path / "b.npz", [("a.npy", npy(np.zeros(1)))], zipfile.ZIP_LZMA),
        "compressed in an unusual way",
    )
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive(tmp_path / "c.npz", [("a.npy", npy(np.zeros(1)))] * 2)
    refused(tmp_path / "c.npz", "two arrays of one name")


def test_a_file_larger_than_the_limit_is_refused_unopened(tmp_path):
    (tmp_path / "a.npz").write_bytes(bytes(1001))
    refused(tmp_path / "a.npz", "it has 1001 bytes, more than the 1000 allowed", max_bytes=1000)
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / "absent.npz")


def test_damage_is_refused_or_harmless(tmp_path):
    """Every cut is refused; a flipped byte is refused unless it lies in a field that means nothing here."""
    path = tmp_path / "a.npz"
    write_arrays(path, {"a": np.arange(5), "b": np.array(["x"])})
    good = path.read_bytes()
    for length in range(len(good)):
        path.write_bytes(good[:length])
        refused(path)
    for place in range(len(good)):
        for mask in (0x01, 0x80, 0xFF):
            path.write_bytes(good[:place] + bytes([good[place] ^ mask]) + good[place + 1 :])
            try:
                found = read_arrays(path)
            except IntegrityError:
                continue
            values = [array.tolist() for array in found.values()]
            assert values == [[0, 1, 2, 3, 4], ["x"]]
