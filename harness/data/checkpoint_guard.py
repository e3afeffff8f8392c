"""What a torch checkpoint may hold, looked up without running any of it.

A checkpoint is a zip with one pickle, `data.pkl`, and raw numbers beside it. A pickle is a program that may call any
function it names. So the names are read first, instruction by instruction, and all of them must be listed here: those
that make tensors, and those of configurations that trainers store with their weights. The latter are never imported:
an `ObjectRecord` takes their place and keeps what it is told. The same holds for the few types that they mention.

`torch.serialization.get_unsafe_globals_in_checkpoint` cannot stand for that reading: it leaves out what torch itself
allows, among it `bytearray` and the constructors of tensors, which take as much memory as a file asks for.
"""

from __future__ import annotations

import errno
import os
import pickletools
import stat
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from harness.storage import IntegrityError, UnsafeArtefactError

MAX_PROGRAM_BYTES = 1 << 26
"""Of `data.pkl`, which names tensors but does not hold their numbers: 64 MB."""

MAX_RECORDS = 200_000
"""How many values a configuration may have, written out: lists of lists of lists can be short and yet endless."""

_STORAGES = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
TENSOR_GLOBALS = frozenset(
    {
        "collections.OrderedDict",
        "torch._utils._rebuild_tensor_v2",
        "torch._utils._rebuild_parameter",
        "torch.Size",
        "torch.device",
        *(f"torch.{name}Storage" for name in _STORAGES),
    }
)
"""What tensors and state dicts are made with; torch itself makes them, with bounds checked."""

RECORD_PACKAGES = ("omegaconf.", "fd_shifts.configs.", "pytorch_lightning.callbacks.", "lightning.pytorch.callbacks.")
"""Packages whose classes stand in hyper-parameters and in the state of callbacks: read as `ObjectRecord`."""

_DICTS = {
    "collections.defaultdict",
    "__builtin__.dict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
}
_PATHS = {"pathlib.PosixPath", "pathlib.PurePosixPath", "pathlib.WindowsPath"}
_TYPES = {"bool": "bool", "float": "float", "list": "list", "long": "int", "tuple": "tuple", "unicode": "str"}
"""Python's types, as the second protocol of pickle writes them, and their names today."""
_MARKERS = {"typing.Any", *(f"__builtin__.{name}" for name in _TYPES)}
"""OmegaConf keeps the types that values were declared with."""

_REFUSED_OPCODES = {"STACK_GLOBAL", "INST", "OBJ", "EXT1", "EXT2", "EXT4", "PERSID", "NEXT_BUFFER", "NEWOBJ_EX"}
REMEDY = "convert it once, offline, with its makers' own code into safetensors"


class ObjectRecord:
    """What an object of a configuration was told, without the object: arguments and attributes."""

    arguments: tuple[Any, ...]
    attributes: dict[str, Any]

    def __new__(cls, *arguments: Any) -> ObjectRecord:  # unpickling calls no `__init__`
        record = super().__new__(cls)
        record.arguments, record.attributes = arguments, {}
        return record

    def __setstate__(self, state: Any) -> None:
        for part in state if isinstance(state, tuple) else (state,):
            if isinstance(part, dict):
                self.attributes.update({name: value for name, value in part.items() if isinstance(name, str)})


class _PlainDict:
    """In the place of subclasses of dict; a class, because pickles make objects of classes only."""

    def __new__(cls, *arguments: Any) -> dict[Any, Any]:  # type: ignore[misc]
        return {}


def check_archive(path: Path) -> list[str]:
    """The names that the program of a checkpoint mentions, after all of them were found harmless.

    Raises UnsafeArtefactError for a name that is not listed or a member that would leave its folder, IntegrityError
    for a file that is damaged, compressed (torch never does) or no checkpoint. Reads no more than `MAX_PROGRAM_BYTES`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            program_member = _program(path, archive)
            _check_members(path, archive)
            _check_end(path, len(archive.infolist()))
            program = archive.read(program_member)
    except IntegrityError:
        raise
    except (zipfile.BadZipFile, RuntimeError, EOFError, ValueError, OverflowError, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # that is a place before the file's beginning
            raise
        raise IntegrityError(f"{path} is damaged or cut off: it is no complete zip file; fetch it again.") from error
    found = list(_names(path, program))
    if strange := next((name for name in found if not _known(name)), None):
        raise UnsafeArtefactError(
            f"{path} was not loaded: it wants to call {strange}, which weights do not need; do not trust it, or {REMEDY}."
        )
    return found


def stand_ins(names: list[str]) -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """For `torch.serialization.safe_globals`: what takes the place of names that are not torch's."""
    return [(_stand_in(name), _mapped(name)) for name in dict.fromkeys(names) if name not in TENSOR_GLOBALS]


def plain(value: Any) -> Any:
    """Numbers, texts, lists and dicts of what a checkpoint holds beside weights; objects become dicts of attributes.

    Raises IntegrityError where this would not end.
    """
    left = MAX_RECORDS

    def converted(value: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise IntegrityError("its configuration has no end")
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, dict):
            return {str(name): converted(each) for name, each in value.items() if isinstance(name, str | int | float)}
        if isinstance(value, list | tuple | set):
            return [converted(each) for each in value]
        return converted(_told(value)) if isinstance(value, ObjectRecord) else None  # a class, a tensor: not needed

    return converted(value)


def _told(record: ObjectRecord) -> Any:
    """OmegaConf keeps the entries of containers in `_content` and the value of a leaf in `_val`."""
    for name in ("_content", "_val"):
        if name in record.attributes:
            return record.attributes[name]
    if not record.attributes and record.arguments:  # members of enumerations
        return record.arguments[0]
    return {name: each for name, each in record.attributes.items() if not name.startswith("_")}


def refuse_pickle(path: Path) -> UnsafeArtefactError:
    """The error for a file that is a bare pickle: every one before torch 1.6."""
    return UnsafeArtefactError(
        f"{path} was not loaded: it is a bare pickle, which may run anything when it is read; {REMEDY}."
    )


def _check_members(path: Path, archive: zipfile.ZipFile) -> None:
    members = archive.infolist()
    for member in members:
        name = PurePosixPath(member.filename)
        if name.is_absolute() or ".." in name.parts or "\\" in member.orig_filename or "\0" in member.orig_filename:
            raise UnsafeArtefactError(f"{path} was not loaded: its member {member.filename!r} would leave the archive.")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise UnsafeArtefactError(f"{path} was not loaded: its member {member.filename!r} is a symbolic link.")
        plainly = member.compress_type == zipfile.ZIP_STORED and member.file_size == member.compress_size
        if not plainly or member.flag_bits & 0x1:
            raise IntegrityError(
                f"{path} was not loaded: its member {member.filename!r} is compressed or encrypted, as no checkpoint of "
                "torch is; it would unpack to an unknown size."
            )
    if len({member.filename for member in members}) != len(members):
        raise IntegrityError(f"{path} was not loaded: two of its members have one name.")
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise IntegrityError(f"{path} was not loaded: its members claim more bytes than the file has.")


def _check_end(path: Path, members: int) -> None:
    """Refuse a file whose directory two readers could find in two places: torch's own reader must see what is checked."""
    with path.open("rb") as stream:
        stream.seek(-22, os.SEEK_END)
        end = stream.read()
    if not end.startswith(b"PK\5\6") or int.from_bytes(end[10:12], "little") != min(members, 0xFFFF):
        raise IntegrityError(f"{path} was not loaded: the directory at its end is damaged.")


def _program(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    programs = [member for member in archive.infolist() if PurePosixPath(member.filename).name == "data.pkl"]
    names = {PurePosixPath(member.filename).name for member in archive.infolist()}
    if "constants.pkl" in names:
        raise UnsafeArtefactError(f"{path} was not loaded: it is a TorchScript program, not only weights; {REMEDY}.")
    if len(programs) != 1:
        kind = "it is a file of arrays (.npz)" if any(name.endswith(".npy") for name in names) else "it has no data.pkl"
        raise IntegrityError(f"{path} is no checkpoint of torch: {kind}.")
    if programs[0].file_size > MAX_PROGRAM_BYTES:
        raise IntegrityError(
            f"{path} was not loaded: its data.pkl has {programs[0].file_size} bytes, more than the {MAX_PROGRAM_BYTES} "
            "allowed for what only names tensors."
        )
    return programs[0]


def _names(path: Path, program: bytes) -> Iterator[str]:
    """`package.name` of each instruction that looks something up. Nothing is looked up here."""
    try:
        for opcode, argument, _ in pickletools.genops(program):
            if opcode.name in _REFUSED_OPCODES:
                raise UnsafeArtefactError(
                    f"{path} was not loaded: its pickle uses the instruction {opcode.name}, which torch never writes "
                    f"and which may hide what is called; {REMEDY}."
                )
            if opcode.name == "GLOBAL":
                yield str(argument).replace(" ", ".", 1)
    except ValueError as error:
        raise IntegrityError(f"{path} is damaged: its data.pkl is no pickle; fetch it again.") from error


def _known(name: str) -> bool:
    listed = TENSOR_GLOBALS | _DICTS | _PATHS | _MARKERS
    return name in listed or (name.startswith(RECORD_PACKAGES) and all(map(str.isidentifier, name.split("."))))


def _stand_in(name: str) -> Callable[..., Any]:
    if name in _DICTS:
        return _PlainDict
    return _path_text if name in _PATHS else ObjectRecord


def _mapped(name: str) -> str:
    """Under which name torch looks for it: that of Python 3."""
    package, _, own = name.rpartition(".")
    return f"builtins.{_TYPES.get(own, own)}" if package == "__builtin__" else name


def _path_text(*parts: str) -> str:
    return "/".join(map(str, parts)).replace("//", "/")
