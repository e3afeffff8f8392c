"""TOML files of benchmarks and data sets, also those that only state how they differ from another one (`extends`)."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.spec.errors import UsageError

EXTENDS, OMIT = "extends", "omit"
LARGEST_TOML = 1_000_000
"""Bytes of a file that people write by hand."""
DEEPEST = 16
"""Tables and lists in one another."""
_OWN = ("status", "successor", "reason")  # that a version has ended does not end those that extend it


def read_toml(path: Path, max_bytes: int = LARGEST_TOML) -> dict[str, Any]:
    """A TOML file's content, which may come from a stranger.

    Raises UsageError with the line that cannot be read, or the number that is not finite, and for a file of more than
    `max_bytes` or nested more than `DEEPEST` times. Nothing of a file that is too large is parsed: what a parser needs
    for dotted keys grows with the square of their length.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        with path.open("rb") as stream:
            content = stream.read(max_bytes + 1)
        if len(content) > max_bytes:
            raise UsageError(f"{path} has more than {max_bytes / 1e3:,.0f} kB; a file of its kind needs less.")
        fields = tomllib.loads(content.decode("utf-8-sig"))  # some editors begin with a byte-order mark
    except (ValueError, RecursionError) as error:  # also of wrong bytes, and of whole numbers with thousands of digits
        raise UsageError(f"{path} is not valid TOML: {error}.") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    if _depth(fields) > DEEPEST:
        raise UsageError(f"{path} nests tables or lists more than {DEEPEST} times; write it flatter.")
    for place, number in _infinite(fields):
        raise UsageError(f"{path}: {place}: it must be a finite number, not {number}.")
    return fields


def _depth(fields: dict[str, Any]) -> int:
    """How many tables and lists lie in one another, without recursion, up to one more than are allowed."""
    level: list[Any] = [fields]
    for depth in range(1, DEEPEST + 2):
        inner = [value for each in level for value in (each.values() if isinstance(each, dict) else each)]
        level = [value for value in inner if isinstance(value, dict | list)]
        if not level:
            return depth
    return DEEPEST + 1


def _infinite(data: Any, place: tuple[object, ...] = ()) -> Iterator[tuple[str, float]]:
    """Numbers that TOML can write but no file of ours can mean, each with its place."""
    if isinstance(data, float) and not math.isfinite(data):
        yield ".".join(map(str, place)), data
    elif isinstance(data, dict | list):
        for name, value in data.items() if isinstance(data, dict) else enumerate(data):
            yield from _infinite(value, (*place, name))


def read_extended(path: Path, chain: tuple[Path, ...] = ()) -> dict[str, Any]:
    """A TOML file's content over that of the file it `extends`, whose path is relative to its folder.

    Tables are merged key by key, and lists of tables entry by entry where both name them by `id` or `path`; an entry's
    keys and everything else are replaced as a whole, as is a table of another `kind`; an entry with `omit = true` is
    left out. Relative paths in the base then
    start from the folder of `path`. chain: the files that extend this one. Raises UsageError as `read_toml`, and for a
    base that is missing, lies elsewhere than in the file's folder or one beside it, or leads back to the file.
    """
    fields = read_toml(path)
    base = fields.pop(EXTENDS, None)
    if base is None:
        return fields
    chain = (*chain, path.resolve())
    inherited = read_extended(_base(path, base, chain), chain)
    whole: dict[str, Any] = _merged({name: value for name, value in inherited.items() if name not in _OWN}, fields)
    return whole


def _base(path: Path, base: object, chain: tuple[Path, ...]) -> Path:
    if not isinstance(base, str) or not base.endswith(".toml"):
        raise UsageError(f'{path}: {EXTENDS}: it must be the path of a TOML file, such as "../1/benchmark.toml".')
    found, outer = (path.parent / base).resolve(), path.resolve().parent.parent
    if not found.is_relative_to(outer):
        raise UsageError(f"{path}: {EXTENDS}: {base} lies outside of {outer}; copy it into the folder of {path.name}.")
    if not found.is_file():
        raise UsageError(f"{path}: {EXTENDS}: there is no file {found}; correct the path.")
    if found in chain:
        raise UsageError(
            f"{path}: {EXTENDS}: {base} itself extends {path.name}, so that neither says all; break the cycle."
        )
    return found


def _merged(base: Any, own: Any) -> Any:
    if isinstance(base, dict) and isinstance(own, dict) and own.get("kind", base.get("kind")) == base.get("kind"):
        return {**base, **{name: _merged(base[name], value) if name in base else value for name, value in own.items()}}
    if isinstance(base, list) and isinstance(own, list):
        for name in ("id", "path"):
            if own and all(isinstance(each, dict) and name in each for each in (*base, *own)):
                entries = {each[name]: each for each in base}
                whole = entries | {each[name]: {**entries.get(each[name], {}), **each} for each in own}
                return [each for key, each in whole.items() if key not in entries or each.get(OMIT) is not True]
    return own
