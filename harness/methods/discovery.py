"""From what a user typed to one method, without running any of its code.

The parent process reads a file's syntax tree: the decorator's name says the track, its literal
arguments are the declaration. Plug-ins are found by their entry point and read the same way.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from functools import cache
from importlib import import_module, metadata
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from harness.methods.declaration import declared_methods, decorators, likely_decorator, undeclared
from harness.spec.errors import UsageError, did_you_mean, nearest, unknown
from harness.spec.method import MethodSpec

ENTRY_POINTS = "harness.methods"
BASELINES = Path(__file__).parent / "baselines"
LONGEST_SOURCE = 1_000_000


@dataclass(frozen=True)
class FoundMethod:
    """A method's declaration and its source, exactly as hashed."""

    spec: MethodSpec
    source: bytes
    path: Path
    module: str | None = None
    """Import name for plug-ins and baselines; files are loaded from a copy of `source`."""


def find_method(target: str, task: str | None = None) -> FoundMethod:
    """The method that `target` names: `file.py`, `file.py:name`, `package/name`, or a baseline's name.

    task: the kind that is wanted, whose names are suggested before all others; a method of another kind is found too.

    Raises UsageError with one sentence that says what to do.
    """
    location, _, name = target.partition(":")
    # A baseline's name keeps its meaning where a file of that name happens to lie in the current folder.
    if location.endswith(".py") or (Path(location).is_file() and location not in _baselines()):
        return _from_file(Path(location), name)
    found = _from_plugin(location) if "/" in location else _from_baselines(location, task)
    if name:
        raise UsageError(f"{location} is one method; write it without {':' + name!r}.")
    return found


def baseline_names(task: str | None = None) -> tuple[str, ...]:
    """Names of all methods that come with the harness, or of those of one kind."""
    return tuple(sorted(name for name, (_, spec) in _baselines().items() if task in (None, spec.task)))


def plugin_names() -> tuple[str, ...]:
    """`package/name` of every installed plug-in method."""
    return tuple(sorted(_plugins()))


def load_baseline(spec: MethodSpec) -> Any:
    """The decorated object of a method that comes with the harness, imported into this process."""
    module = _from_baselines(spec.name).module
    assert spec.origin == "baseline"
    assert module is not None
    return getattr(import_module(module), spec.symbol)


def _from_file(path: Path, name: str) -> FoundMethod:
    if not path.exists():
        # By their names alone: that they lie in one folder makes no two files alike.
        near = nearest(path.stem, [each.stem for each in path.parent.glob("*.py")])
        names = " or ".join(str(path.with_name(f"{each}.py")) for each in near)
        raise UsageError(f"there is no file {path}; {f'did you mean {names}?' if near else 'check the path.'}")
    if not path.is_file():
        raise _not_a_file(path)
    source = _read(path)
    return _choose(list(declared_methods(source, path, "file")), path, source, name)


def _from_plugin(target: str) -> FoundMethod:
    found = _plugins().get(target)
    if found is None:
        if Path(target).is_dir():
            raise _not_a_file(Path(target))
        hint = f"Plug-ins register under the entry-point group {ENTRY_POINTS!r}; a file ends in .py."
        raise unknown("installed plug-in", target, _plugins(), hint)
    path = _module_file(found.module)
    if path is None:
        raise UsageError(f"the plug-in {target} points to the module {found.module}, which is not installed.")
    source = _read(path)
    symbol = found.attr
    methods = [each for each in declared_methods(source, path, "plug-in") if each.symbol == symbol]
    if not methods:
        raise UsageError(f"the plug-in {target} points to {found.value}, which is not a decorated method.")
    spec = methods[0].model_copy(update={"target": target})
    return FoundMethod(spec, source, path, module=found.module)


def _from_baselines(name: str, task: str | None = None) -> FoundMethod:
    baselines = _baselines()
    if name not in baselines:
        if Path(name).is_dir():
            raise _not_a_file(Path(name))
        hint, own_kind = (
            "`harness list methods` names all; one of your own is a file that ends in .py.",
            baseline_names(task),
        )
        known = own_kind if did_you_mean(name, own_kind) else baselines
        raise unknown("method", name, (*known, *_plugins()), hint)
    path, spec = baselines[name]
    module = f"harness.methods.baselines.{path.parent.name}.{path.stem}"
    return FoundMethod(spec.model_copy(update={"target": name}), _read(path), path, module=module)


def _baselines() -> dict[str, tuple[Path, MethodSpec]]:
    files = sorted(path for path in BASELINES.glob("*/*.py") if not path.stem.startswith("_"))
    return {spec.name: (path, spec) for path in files for spec in _declared(path, _read(path))}


@cache
def _declared(path: Path, source: bytes) -> tuple[MethodSpec, ...]:
    """What a baseline's file declares, read once for each content."""
    return tuple(declared_methods(source, path, "baseline"))


def _plugins() -> dict[str, metadata.EntryPoint]:
    return {
        f"{_canonical(point.dist.name)}/{point.name}": point
        for point in metadata.entry_points(group=ENTRY_POINTS)
        if point.dist is not None
    }


def _canonical(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _module_file(module: str) -> Path | None:
    """The file of a module, found without importing its parent packages."""
    search: list[str] | None = None
    spec: ModuleSpec | None = None
    parts = module.split(".")
    for depth, part in enumerate(parts):
        spec = _module_spec(".".join(parts[: depth + 1]), search)
        if spec is None:
            return None
        if spec.origin is None:  # a package without __init__.py
            search = [str(Path(place) / part) for place in search or sys.path if (Path(place) / part).is_dir()]
        else:
            search = list(spec.submodule_search_locations or [])
    return Path(spec.origin) if spec is not None and spec.origin else None


def _module_spec(module: str, search: list[str] | None) -> ModuleSpec | None:
    """Ask every finder, because packages that are installed for editing may bring one of their own."""
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        try:
            spec: ModuleSpec | None = find(module, search) if find is not None else None
        except KeyError:  # a package without __init__.py inside another one, which it expects to be imported
            spec = ModuleSpec(module, None)
        if spec is not None:
            return spec
    return None


def _read(path: Path) -> bytes:
    try:
        source = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    if len(source) > LONGEST_SOURCE:
        raise UsageError(f"{path} is larger than {LONGEST_SOURCE // 1_000_000} MB; a method is one short file.")
    return source


def _not_a_file(path: Path) -> UsageError:
    return UsageError(f"{path} is not a file; name the .py file that holds the method.")


def _choose(methods: list[MethodSpec], path: Path, source: bytes, name: str) -> FoundMethod:
    if not methods:
        if why := undeclared(source):
            raise UsageError(f"{path} has no decorated method; {why}{'?' if 'did you mean' in why else '.'}")
        raise UsageError(
            f"{path} has no decorated method; put one of {', '.join(f'@{name}' for name in decorators())} above the "
            f'function, as in @{likely_decorator(source)}(version="1.0").'
        )
    if name:
        chosen = [method for method in methods if name in (method.symbol, method.name)]
        if not chosen:
            raise unknown(f"method in {path}", name, [method.symbol for method in methods])
        if len(chosen) > 1:
            raise UsageError(f"{path} has {len(chosen)} methods called {name!r}; give each a name of its own.")
    elif len(methods) > 1:
        choices = ", ".join(f"{path}:{method.symbol}" for method in methods)
        raise UsageError(f"{path} has {len(methods)} methods; name one of them: {choices}.")
    else:
        chosen = methods
    return FoundMethod(chosen[0], source, path)
