"""A method's declaration, read from its file's syntax tree without running anything."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import decode_source
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from harness.spec.errors import UsageError, did_you_mean, in_words, unknown
from harness.spec.kinds import Kind, kinds
from harness.spec.method import MethodSpec, Origin, read_method
from harness.storage import bytes_id

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def decorators() -> dict[str, Kind]:
    """The decorators of all installed kinds by name."""
    return {str(kind.decorator.__name__): kind for kind in kinds().values()}


def declared_methods(source: bytes, path: Path, origin: Origin) -> Iterator[MethodSpec]:
    """The decorated functions and classes at the top level of a file, in order."""
    try:
        # Decoded first: the parser lets wrong bytes in comments pass in some versions of Python.
        tree = ast.parse(decode_source(source), filename=str(path))
    except SyntaxError as error:
        where = f", line {error.lineno}" if error.lineno else ""
        raise UsageError(f"{path}{where}: {error.msg}; Python cannot read this file.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not {error.encoding} text ({error.reason}); save it as UTF-8.") from error
    except (LookupError, ValueError, RecursionError, MemoryError) as error:
        reason = str(error) or "it is nested too deeply"
        raise UsageError(f"{path} is not Python source that can be read: {reason}.") from error
    names = _decorator_names(tree)
    for found in _decorated(tree, names):
        yield _declaration(found, f"{path}, line {found.decorator.lineno}", source, path, origin)


def undeclared(source: bytes) -> str:
    """Why a file that can be read has no decorated method: a decorator is misspelt, comes from elsewhere or is not
    imported. Empty where nothing of the kind is seen."""
    tree, known = ast.parse(decode_source(source)), decorators()
    for node in (each for each in ast.walk(tree) if isinstance(each, ast.ImportFrom)):
        for alias in node.names:
            package = known[alias.name].package if alias.name in known else None
            if package and (node.level or (node.module or "").partition(".")[0] != package):
                return f"line {node.lineno}: write `from {package} import {alias.name}`, not from {node.module}"
            if not package and node.module == "harness" and (near := did_you_mean(alias.name, known)):
                return f"line {node.lineno}: harness has no {alias.name}; {near[:-1]}"
    for found in tree.body:
        for decorator in getattr(found, "decorator_list", ()):
            name = ast.unparse(decorator.func if isinstance(decorator, ast.Call) else decorator).rpartition(".")[2]
            if name in known:
                return f"line {decorator.lineno}: @{name} is not imported; write `from {known[name].package} import {name}`"
            if near := did_you_mean(name, known):
                return f"line {decorator.lineno}: no decorator is called @{name}; {near[:-1]}"
    return ""


def likely_decorator(source: bytes) -> str:
    """The decorator of the kind whose methods take arguments that are called most like those of a function in the file; of
    confidence scores where none is."""
    functions = [node for node in ast.walk(ast.parse(decode_source(source))) if isinstance(node, ast.FunctionDef)]
    named = {each.arg for node in functions for each in node.args.args}

    def alike(name: str) -> tuple[int, bool]:
        takes = set(re.findall(r"\w+", decorators()[name].verb.partition("(")[2])) - {"self"}
        return len(takes & named), decorators()[name].task == "confidence"

    return max(decorators(), key=alike)


@dataclass(frozen=True)
class _Decorated:
    """Something at the top level of a file that the decorator of a kind declares."""

    symbol: str
    kind: Kind
    decorator: ast.expr
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | None
    """None for an assignment: `saliency = explainer(version="1.0")(lambda model: ...)`."""
    doc: str
    """Its docstring; of an assignment the string in the line below."""


def _decorated(tree: ast.Module, names: dict[str, Kind]) -> Iterator[_Decorated]:
    for node, below in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for decorator in node.decorator_list:
                kind = names.get(ast.unparse(decorator.func if isinstance(decorator, ast.Call) else decorator))
                if kind is not None:
                    yield _Decorated(node.name, kind, decorator, node, ast.get_docstring(node) or "")
        elif (
            isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and isinstance(node.targets[0], ast.Name)
        ):
            decorator = node.value.func
            kind = names.get(ast.unparse(decorator.func)) if isinstance(decorator, ast.Call) else None
            if kind is not None:
                yield _Decorated(node.targets[0].id, kind, decorator, None, _text(below))


def _text(node: ast.stmt | None) -> str:
    """A string that stands alone."""
    alone = node.value.value if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) else None
    return inspect.cleandoc(alone) if isinstance(alone, str) else ""


def _decorator_names(tree: ast.Module) -> dict[str, Kind]:
    """How this file may write the decorators: `confidence_score`, `harness.confidence_score`, aliases."""
    names: dict[str, Kind] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level:
            known = _brought_by((node.module or "").split(".")[0])
            for alias in node.names:
                if alias.name == "*":
                    names |= known
                elif alias.name in known:
                    names[alias.asname or alias.name] = known[alias.name]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                package = alias.name.split(".")[0]
                # `import harness.testing` brings `harness` itself, too.
                for prefix in (alias.asname,) if alias.asname else (alias.name, package):
                    names |= {f"{prefix}.{name}": kind for name, kind in _brought_by(package).items()}
    return names


def _brought_by(package: str) -> dict[str, Kind]:
    """A package's own decorators; another's may have the same names."""
    return {str(kind.decorator.__name__): kind for kind in kinds().values() if kind.package == package}


def _declaration(found: _Decorated, where: str, source: bytes, path: Path, origin: Origin) -> MethodSpec:
    node, decorator = found.node, found.decorator
    declared = _literal_arguments(decorator, found.kind.arguments, where)
    if "version" not in declared:
        called = ast.unparse(decorator.func if isinstance(decorator, ast.Call) else decorator)
        raise UsageError(f'{where}: the decorator needs a version; write @{called}(version="1.0").')
    if isinstance(node, ast.ClassDef) and not _has_method(node, found.kind.verb.partition("(")[0]):
        raise UsageError(f"{where}: the class {node.name} has no method `{found.kind.verb}`; write one.")
    name = declared.pop("name", None) or found.symbol.lower().strip("_").replace("_", "-")
    if origin != "baseline" and (declared.get("oracle") or declared.get("reference")):
        raise UsageError(f"{where}: `oracle` and `reference` are for the harness's own rows; leave them out.")
    given = {
        "task": found.kind.task,
        "name": name,
        "origin": origin,
        "target": f"{path.name}:{found.symbol}",
        "symbol": found.symbol,
        "source_sha256": bytes_id(source),
        "summary": found.doc.split("\n")[0],
    }
    try:
        return read_method(given | declared)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in problem["loc"] if part != found.kind.task)
        raise UsageError(f"{where}: {field}: {in_words(problem)}; {_mended(field, problem)}.") from error


def _mended(field: str, problem: ErrorDetails) -> str:
    """What to write instead, where that is plain."""
    kind, value = problem["type"], problem["input"]
    if kind.startswith("tuple") and isinstance(value, str):
        return f'write {field}=("{value}",)'
    if kind.startswith("string") and isinstance(value, int | float):
        return f'write {field}="{value}"'
    return "mend it in the decorator"


def _has_method(node: ast.ClassDef, name: str) -> bool:
    """Whether the class has it, or may have it from a class that it is made from."""
    return bool(node.bases) or any(isinstance(item, ast.FunctionDef) and item.name == name for item in node.body)


def _literal_arguments(decorator: ast.expr, known: tuple[str, ...], where: str) -> dict[str, Any]:
    if not isinstance(decorator, ast.Call):
        return {}
    if decorator.args:
        raise UsageError(f'{where}: name the decorator\'s arguments, e.g. version="1.0".')
    declared: dict[str, Any] = {}
    for keyword in decorator.keywords:
        if keyword.arg is None:
            raise UsageError(f"{where}: write the decorator's arguments one by one instead of with **.")
        if keyword.arg not in known:
            raise UsageError(f"{where}: {unknown('argument of the decorator', keyword.arg, known)}")
        try:
            declared[keyword.arg] = ast.literal_eval(keyword.value)
        except (ValueError, TypeError) as error:
            raise UsageError(
                f"{where}: {keyword.arg} must be a literal, because it is read without running the file."
            ) from error
    return declared
