"""A method's declaration, read from its file's syntax tree without running anything."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.spec.errors import UsageError
from harness.spec.method import MethodSpec, Origin
from harness.storage import bytes_id

DECORATORS = {"confidence_score": "confidence"}


def declared_methods(source: bytes, path: Path, origin: Origin) -> Iterator[MethodSpec]:
    """The decorated functions and classes at the top level of a file, in order."""
    try:
        tree = ast.parse(source, filename=str(path))
    except SyntaxError as error:
        where = f", line {error.lineno}" if error.lineno else ""
        raise UsageError(f"{path}{where}: {error.msg}; Python cannot read this file.") from error
    except ValueError as error:
        raise UsageError(f"{path} is not Python source: {error}.") from error
    names = _decorator_names(tree)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for decorator in node.decorator_list:
                task = names.get(ast.unparse(decorator.func if isinstance(decorator, ast.Call) else decorator))
                if task is not None:
                    yield _declaration(node, decorator, task, source, path, origin)


def _decorator_names(tree: ast.Module) -> dict[str, str]:
    """How this file may write our decorators: `confidence_score`, `harness.confidence_score`, aliases."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "harness":
            for alias in node.names:
                if alias.name in DECORATORS:
                    names[alias.asname or alias.name] = DECORATORS[alias.name]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name == "harness":
                    prefix = alias.asname or "harness"
                    names |= {f"{prefix}.{decorator}": task for decorator, task in DECORATORS.items()}
    return names


def _declaration(
    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef,
    decorator: ast.expr,
    task: str,
    source: bytes,
    path: Path,
    origin: Origin,
) -> MethodSpec:
    where = f"{path}, line {decorator.lineno}"
    declared = _literal_arguments(decorator, where)
    if "version" not in declared:
        raise UsageError(
            f'{where}: the decorator needs a version; write @{ast.unparse(decorator)[:40]}(version="1.0").'
        )
    if (
        isinstance(node, ast.ClassDef)
        and not any(isinstance(item, ast.FunctionDef) and item.name == "score" for item in node.body)
        and not node.bases
    ):
        raise UsageError(f"{where}: the class {node.name} has no method `score(self, outputs)`.")
    name = declared.pop("name", None) or node.name.lower().strip("_").replace("_", "-")
    if origin != "baseline" and (declared.get("oracle") or declared.get("reference")):
        raise UsageError(f"{where}: `oracle` and `reference` are for the harness's own rows; leave them out.")
    summary = (ast.get_docstring(node) or "").split("\n")[0]
    try:
        return MethodSpec(
            task=task,  # type: ignore[arg-type]
            name=name,
            origin=origin,
            target=f"{path.name}:{node.name}",
            symbol=node.name,
            source_sha256=bytes_id(source),
            summary=summary,
            **declared,
        )
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(map(str, problem["loc"]))
        raise UsageError(f"{where}: {field}: {problem['msg']}.") from error


def _literal_arguments(decorator: ast.expr, where: str) -> dict[str, Any]:
    if not isinstance(decorator, ast.Call):
        return {}
    if decorator.args:
        raise UsageError(f'{where}: name the decorator\'s arguments, e.g. version="1.0".')
    declared: dict[str, Any] = {}
    for keyword in decorator.keywords:
        try:
            declared[str(keyword.arg)] = ast.literal_eval(keyword.value)
        except ValueError as error:
            raise UsageError(
                f"{where}: {keyword.arg or '**'} must be a literal, because it is read without running the file."
            ) from error
    return declared
