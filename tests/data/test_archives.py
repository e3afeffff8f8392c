"""Archives that attack, and archives that are merely broken."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.data.archives import Member, UnpackLimits, unpack
from harness.data.origins.base import ProgressListener
from harness.storage import IntegrityError, StorageError, UnsafeArtefactError
from tests.data.sources import sha256, tree

FILES = {"a/one.bin": b"one" * 100, "a/b/two.bin": b"two", "three": b""}
SMALL = UnpackLimits(ratio=5, floor=10_000, members=20)


def tar(path: Path, *members: tarfile.TarInfo | tuple[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zipped(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data, zipfile.ZIP_DEFLATED)
    return path


def moded(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def opened(path: Path, kind: Any, folder: Path, limits: UnpackLimits | None = SMALL) -> dict[str, Member]:
    return unpack(path, kind, folder, path.name, ProgressListener(), limits)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_tar_in_its_four_forms(tmp_path: Path, mode: str) -> None:
    folder = special("a", tarfile.DIRTYPE)
    path = tar(tmp_path / "x.tar", folder, *((f"./{name}", data) for name, data in FILES.items()), mode=mode)
    members = opened(path, "tar", tmp_path / "out")
    assert tree(tmp_path / "out") == FILES
    assert members == {name: Member(sha256(data), len(data)) for name, data in FILES.items()}
    assert all(not (tmp_path / "out" / name).stat().st_mode & 0o222 for name in FILES), "read-only"


def test_zip(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", ("a/", b""), *FILES.items())
    assert set(opened(path, "zip", tmp_path / "out")) == set(FILES)
    assert tree(tmp_path / "out") == FILES


def test_gzip_loses_its_last_name(tmp_path: Path) -> None:
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"1,2"))
    assert set(opened(tmp_path / "t.csv.gz", "gzip", tmp_path / "out")) == {"t.csv"}
    assert tree(tmp_path / "out") == {"t.csv": b"1,2"}


ESCAPES = ["../evil", "a/../../evil", "/tmp/sources-evil", "..", "a\\..\\evil", ""]


@pytest.mark.parametrize("name", ESCAPES[:-1])
def test_a_tar_that_leaves_its_folder(tmp_path: Path, name: str) -> None:
    path = tar(tmp_path / "x.tar", ("good", b"x"), (name, b"evil"))
    with pytest.raises(UnsafeArtefactError, match="leaves its folder"):
        opened(path, "tar", tmp_path / "in" / "out")
    assert set(tree(tmp_path)) <= {"x.tar", "in/out/good"}
    assert not Path("/tmp/sources-evil").exists()


@pytest.mark.parametrize("name", ESCAPES[:-2])
def test_a_zip_that_leaves_its_folder(tmp_path: Path, name: str) -> None:
    path = zipped(tmp_path / "x.zip", ("good", b"x"), (name, b"evil"))
    with pytest.raises(UnsafeArtefactError, match="leaves its folder"):
        opened(path, "zip", tmp_path / "in" / "out")
    assert set(tree(tmp_path)) <= {"x.zip", "in/out/good"}


def test_a_folder_entry_that_leaves_its_folder(tmp_path: Path) -> None:
    with pytest.raises(UnsafeArtefactError, match="leaves its folder"):
        opened(tar(tmp_path / "x.tar", special("../up", tarfile.DIRTYPE)), "tar", tmp_path / "out")
    assert not (tmp_path / "up").exists()


@pytest.mark.parametrize(
    "member",
    [
        special("link", tarfile.SYMTYPE, "/etc/passwd"),
        special("link", tarfile.SYMTYPE, "good"),
        special("link", tarfile.LNKTYPE, "good"),
        special("link", tarfile.LNKTYPE, "../../x"),
        special("null", tarfile.CHRTYPE),
        special("disk", tarfile.BLKTYPE),
        special("pipe", tarfile.FIFOTYPE),
    ],
    ids=["symlink", "inner symlink", "hardlink", "outer hardlink", "character device", "block device", "pipe"],
)
def test_a_tar_with_what_is_no_plain_file(tmp_path: Path, member: tarfile.TarInfo) -> None:
    path = tar(tmp_path / "x.tar", ("good", b"x"), member)
    with pytest.raises(UnsafeArtefactError, match="is no plain file"):
        opened(path, "tar", tmp_path / "out")
    assert not (tmp_path / "out" / member.name).is_symlink()


def test_writing_through_a_link_of_the_same_tar(tmp_path: Path) -> None:
    """First a link that leads out, then a file below it."""
    (tmp_path / "target").mkdir()
    path = tar(tmp_path / "x.tar", special("d", tarfile.SYMTYPE, str(tmp_path / "target")), ("d/evil", b"evil"))
    with pytest.raises(UnsafeArtefactError):
        opened(path, "tar", tmp_path / "out")
    assert list((tmp_path / "target").iterdir()) == []


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO], ids=["symlink", "device", "pipe"])
def test_a_zip_with_what_is_no_plain_file(tmp_path: Path, mode: int) -> None:
    path = zipped(tmp_path / "x.zip", (moded("link", mode | 0o777), b"/etc/passwd"))
    with pytest.raises(UnsafeArtefactError, match="is no plain file"):
        opened(path, "zip", tmp_path / "out")


def test_an_encrypted_zip(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", ("secret", b"x" * 50))
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    path.write_bytes(data)
    with pytest.raises(UnsafeArtefactError, match="is encrypted"):
        opened(path, "zip", tmp_path / "out")


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("tar", lambda path: tar(path, ("zeros", bytes(1_000_000)))),
        ("tar", lambda path: tar(path, *((f"zeros{i}", bytes(4_000)) for i in range(10)))),
        ("zip", lambda path: zipped(path, ("zeros", bytes(1_000_000)))),
        ("zip", lambda path: zipped(path, *((f"zeros{i}", bytes(4_000)) for i in range(10)))),
        ("gzip", lambda path: path.write_bytes(gzip.compress(bytes(1_000_000))) and path),
    ],
    ids=["tar", "tar of many", "zip", "zip of many", "gzip"],
)
def test_a_bomb_does_not_go_off(tmp_path: Path, kind: str, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path / "bomb")
    with pytest.raises(UnsafeArtefactError, match="decompression bomb"):
        opened(path, kind, tmp_path / "out")
    assert sum(map(len, tree(tmp_path / "out").values())) <= SMALL.floor


def test_a_zip_that_lies_about_a_size(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", ("zeros", bytes(1_000_000)))
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02") + 24
    data[at : at + 4] = (100).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(IntegrityError):
        opened(path, "zip", tmp_path / "out")
    assert sum(map(len, tree(tmp_path / "out").values())) <= SMALL.floor


def test_far_too_many_members(tmp_path: Path) -> None:
    with pytest.raises(UnsafeArtefactError, match="more than 20 members"):
        opened(tar(tmp_path / "x.tar", *((f"f{i}", b"") for i in range(30))), "tar", tmp_path / "out")


def test_what_compresses_well_but_is_small_is_no_bomb(tmp_path: Path) -> None:
    assert set(opened(zipped(tmp_path / "x.zip", ("zeros", bytes(9_000))), "zip", tmp_path / "out")) == {"zeros"}


@pytest.mark.parametrize(("kind", "make"), [("tar", tar), ("zip", zipped)])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_comes_twice(tmp_path: Path, kind: str, make: Any) -> None:
    with pytest.raises(UnsafeArtefactError, match="twice"):
        opened(make(tmp_path / "x", ("a", b"1"), ("./a" if kind == "tar" else "a", b"2")), kind, tmp_path / "out")


@pytest.mark.parametrize("kind", ["tar", "zip", "gzip"])
@pytest.mark.parametrize("data", [b"", b"not an archive at all" * 100], ids=["empty", "text"])
def test_what_is_no_archive(tmp_path: Path, kind: str, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(IntegrityError):
        opened(tmp_path / "x", kind, tmp_path / "out")


@pytest.mark.parametrize(("kind", "make"), [("tar", tar), ("zip", zipped)])
def test_a_cut_or_flipped_archive(tmp_path: Path, kind: str, make: Any) -> None:
    import random

    noise = random.Random(0).randbytes(50_000)
    whole = make(tmp_path / "x", ("noise", noise)).read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    for index, data in enumerate((whole[: len(whole) // 2], bytes(flipped))):
        (tmp_path / "x").write_bytes(data)
        with pytest.raises(IntegrityError, match=r"damaged|cannot"):
            opened(tmp_path / "x", kind, tmp_path / f"out{index}", None)


def test_no_room_is_said_before_a_member_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.data import archives

    path = tar(tmp_path / "x.tar", ("big", bytes(9_000)))
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: type("Usage", (), {"free": (1 << 28) + 5_000})())
    with pytest.raises(StorageError, match="9000 more bytes are needed, 5000 are free"):
        opened(path, "tar", tmp_path / "out")
    assert tree(tmp_path / "out") == {}


NAMES = {
    "bell": ("a\x07b.txt", "control characters"),
    "newline": ("a\nb.txt", "control characters"),
    "escape": ("\x1b[2Ja.txt", "control characters"),
    "delete": ("a\x7f.txt", "control characters"),
    "next line": ("a\x85.txt", "control characters"),
    "turned": ("a\u202egnp.exe", "control characters"),
    "drive": ("C:/Windows/a.txt", "a colon, which names a drive"),
    "stream": ("a.txt:hidden", "a colon, which names a drive"),
    "dot": ("folder./a.txt", "ends in a dot or a blank"),
    "blank": ("a.txt ", "ends in a dot or a blank"),
    "device": ("NUL", "Windows keeps for a device"),
    "device with ending": ("train/aux.tar.gz", "Windows keeps for a device"),
    "device as folder": ("Com1/a.txt", "Windows keeps for a device"),
    "device in superscript": ("lpt\u00b9.txt", "Windows keeps for a device"),
}


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize(("name", "sentence"), NAMES.values(), ids=NAMES)
def test_names_that_not_every_system_can_hold(tmp_path: Path, kind: str, name: str, sentence: str) -> None:
    make = tar if kind == "tar" else zipped
    with pytest.raises(UnsafeArtefactError, match=sentence) as raised:
        opened(make(tmp_path / "x", ("fine.txt", b"1"), (name, b"2")), kind, tmp_path / "out")
    assert "\n" not in str(raised.value)
    assert str(raised.value).isprintable()


TWINS = {
    "case": ("a.txt", "A.txt"),
    "folders in case": ("Train/a.txt", "train/b.txt"),
    "folder and file": ("data/a.txt", "DATA"),
    "sharp s": ("stra\u00dfe.txt", "STRASSE.txt"),
    "composed": ("caf\u00e9.txt", "cafe\u0301.txt"),
    "composed in other case": ("CAF\u00c9.txt", "cafe\u0301.txt"),
    "kelvin": ("k.txt", "\u212a.txt"),
}


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize(("one", "other"), TWINS.values(), ids=TWINS)
def test_names_that_some_systems_take_for_the_same(tmp_path: Path, kind: str, one: str, other: str) -> None:
    make = tar if kind == "tar" else zipped
    with pytest.raises(UnsafeArtefactError, match="which many systems take for the same name"):
        opened(make(tmp_path / "x", (one, b"1"), (other, b"2")), kind, tmp_path / "out")


@pytest.mark.parametrize(
    "name",
    ["a b.txt", "console.txt", "com.txt", "com10", "auxiliary/a", ".hidden", "..a", "x[1]@2.csv", "\u91ab\u5b66.png"],
)
def test_names_that_are_fine(tmp_path: Path, name: str) -> None:
    assert opened(zipped(tmp_path / "x", (name, b"1"), ("other/a", b"2"), ("other/b", b"2")), "zip", tmp_path / "out")
