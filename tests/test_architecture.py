"""The house: who may import whom, and what nobody may do. One test a rule; each names all offenders."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "harness"
# From the bottom up: a room imports itself and those before it.
ROOMS = [
    "spec",
    "storage",
    "data",
    "methods",
    "statistics",
    "metrics",
    "tracks",
    "execution",
    "boards",
    "reports",
    "publish",
    "cli",
]
HEAVY = {
    "torch",
    "pandas",
    "datasets",
    "sklearn",
    "skimage",
    "scipy",
    "matplotlib",
    "mlxtend",
    "pyarrow",
    "PIL",
    "safetensors",
    "huggingface_hub",
    "jinja2",
    "captum",
    "nnunetv2",
    "dask",
    "distributed",
    "dask_jobqueue",
}
MAY_IMPORT_HEAVY_AT_TOP = {
    "tracks/confidence/networks.py",  # defines nn.Modules; itself imported only inside functions
    "tracks/confidence/inference.py",
    "tracks/confidence/training.py",
    "metrics/attribution/_correlation.py",  # kernels behind metrics that import them in their functions
    "metrics/attribution/_imputation.py",
    "metrics/attribution/_ordering.py",
    "metrics/attribution/_prepared.py",
    "metrics/attribution/_segments.py",
    "metrics/attribution/forwards.py",
    *(f"methods/baselines/attribution/_{name}.py" for name in ("relprop", "operations", "derivatives")),
    *(f"methods/baselines/attribution/_{name}.py" for name in ("decompositions", "deep_lift", "plain_relus")),
    *(f"tracks/query/classification/{name}.py" for name in ("augmentation", "networks", "optimisation")),
    *(f"tracks/query/classification/{name}.py" for name in ("pretraining", "training", "randaugment")),
    *(f"tracks/query/classification/{name}.py" for name in ("colours", "warps", "draws")),
    *(f"tracks/query/segmentation/{name}.py" for name in ("plans", "prediction", "trainer")),
    "tracks/attribution/networks.py",
    "execution/dask_worker.py",  # runs on workers of dask alone
    "tracks/attribution/training.py",
    *(path.relative_to(PACKAGE).as_posix() for path in (PACKAGE / "tracks").glob("**/zoo/*.py")),
}
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve"}
WRITERS = {
    "write_text",
    "write_bytes",
    "savez",
    "savez_compressed",
    "to_csv",
    "to_json",
    "to_parquet",
    "savetxt",
    "dump",
}
MAY_WRITE = {
    "execution/worker.py": "the method's source, into the worker's own scratch folder",
    "execution/child.py": "a child's log, into its temporary folder",
    "tracks/confidence/training.py": "trained weights, by safetensors",
    "tracks/attribution/training.py": "trained weights, by safetensors",
}


@cache
def trees() -> dict[str, ast.Module]:
    """name below harness/ -> syntax tree"""
    return {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def run_at_import(tree: ast.Module) -> Iterator[ast.stmt]:
    """Statements that run at import: not in functions, not under TYPE_CHECKING."""
    for node in tree.body:
        if not for_types_only(node) and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node, ast.unparse(node.func)


def refuse(offenders: list[str]) -> None:
    assert not offenders, "\n" + "\n".join(offenders)


def test_the_rooms_are_those_that_there_are() -> None:
    assert {path.parent.name for path in PACKAGE.glob("*/__init__.py")} == set(ROOMS)


def test_no_class_name_stands_twice() -> None:
    """Names that begin with `_` are a module's own."""
    places: dict[str, list[str]] = {}
    for name, tree in trees().items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(name)
    refuse([f"{each}: {', '.join(where)}" for each, where in places.items() if len(where) > 1])


def test_imports_are_absolute() -> None:
    refuse(
        [
            f"{name}, line {node.lineno}"
            for name, tree in trees().items()
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.level
        ]
    )


def test_imports_go_downwards() -> None:
    """harness/__init__.py, api.py and testing.py stand above all rooms."""
    offenders = []
    for name, tree in trees().items():
        room = name.split("/")[0]
        if room in ROOMS:
            allowed = {"harness", *(f"harness.{lower}" for lower in ROOMS[: ROOMS.index(room) + 1])}
            for module in imported(tree):
                if module.split(".")[0] == "harness" and ".".join(module.split(".")[:2]) not in allowed:
                    offenders.append(f"{name} imports {module}, which is in a higher room")
    refuse(offenders)


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports in functions count, those for type checkers alone do not."""
    refuse([f"circle of {len(circle)}: {', '.join(circle)}" for circle in circles(dependencies())])


def dependencies() -> dict[str, set[str]]:
    """module -> modules of the package that it names in an import; `from a import b` names a.b where that is a module."""
    modules = {module_name(name): tree for name, tree in trees().items()}
    return {
        module: {target for node in imports_at_run_time(tree) for target in targets(node, modules.keys())} - {module}
        for module, tree in modules.items()
    }


def module_name(name: str) -> str:
    return ".".join(("harness", *Path(name).with_suffix("").parts)).removesuffix(".__init__")


def imports_at_run_time(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif for_types_only(node):
            for other in node.orelse:  # type: ignore[attr-defined]
                yield from imports_at_run_time(ast.Module([other], []))
        else:
            yield from imports_at_run_time(node)


def targets(node: ast.Import | ast.ImportFrom, modules: set[str]) -> Iterator[str]:
    for alias in node.names:
        if isinstance(node, ast.Import):
            name = alias.name
        else:
            name = f"{node.module}.{alias.name}" if f"{node.module}.{alias.name}" in modules else str(node.module)
        if name in modules:
            yield name


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The groups of modules each of which reaches every other one."""
    reached = {module: reachable(graph, module) for module in graph}
    groups = {frozenset(other for other in reached[module] if module in reached[other]) for module in graph}
    return sorted(sorted(group) for group in groups if len(group) > 1)


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    found, waiting = set(), [start]
    while waiting:
        new = graph[waiting.pop()] - found
        found |= new
        waiting += new
    return found


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        ({"a": {"b"}, "b": {"c"}, "c": set()}, []),
        ({"a": {"b"}, "b": {"a"}, "c": {"a"}}, [["a", "b"]]),
        ({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": {"d"}}, [["a", "b", "c"], ["d", "e"]]),
    ],
)
def test_circles_are_found(graph: dict[str, set[str]], expected: list[list[str]]) -> None:
    assert circles(graph) == expected


def test_imports_in_functions_are_seen_and_those_for_types_are_not() -> None:
    code = """
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import types_only
else:
    import otherwise
def function():
    try:
        import inside
    except ImportError:
        from fallback import name
"""
    found = [ast.unparse(node) for node in imports_at_run_time(ast.parse(code))]
    assert found == [
        "from typing import TYPE_CHECKING",
        "import otherwise",
        "import inside",
        "from fallback import name",
    ]


def test_heavy_imports_live_in_functions() -> None:
    offenders = []
    for name, tree in trees().items():
        if name not in MAY_IMPORT_HEAVY_AT_TOP:
            for statement in run_at_import(tree):
                for heavy in {module.split(".")[0] for module in imported(statement)} & HEAVY:
                    offenders.append(f"{name}, line {statement.lineno}: {heavy} is imported when the module is loaded")
    refuse(offenders)


def test_nothing_is_unpickled() -> None:
    offenders = []
    for name, tree in trees().items():
        offenders += [f"{name} imports {module}" for module in imported(tree) if module.split(".")[0] in PICKLES]
        for call, called in calls(tree):
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            wrong = (
                options.get("allow_pickle", "False") != "False"
                or (called.endswith("torch.load") and options.get("weights_only") != "True")
                or (called in ("np.load", "numpy.load") and options.get("allow_pickle") != "False")
                or called.endswith("read_pickle")
            )
            if wrong:
                offenders.append(f"{name}, line {call.lineno}: {called} must say that it reads no pickles")
    refuse(offenders)


def test_result_files_are_written_only_through_storage() -> None:
    refuse(
        [
            f"{name}, line {call.lineno}: {called}"
            for name, tree in trees().items()
            if not name.startswith("storage/") and name not in MAY_WRITE
            for call, called in calls(tree)
            if writes(call) or opens_to_write(call, called)
        ]
    )


def writes(call: ast.Call) -> bool:
    """pandas gives text where it is given no file."""
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in WRITERS:
        return False
    to_text = call.func.attr in ("to_csv", "to_json") and not call.args
    return not to_text or bool({None, "path_or_buf"} & {keyword.arg for keyword in call.keywords})


def opens_to_write(call: ast.Call, called: str) -> bool:
    if called not in ("open", "io.open") and (not called.endswith(".open") or called == "Journal.open"):
        return False
    modes = [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    return any(set(mode) & set("wax+") for mode in modes if len(mode) <= 3)


@pytest.mark.parametrize("folder", ["datasets", "leaderboards", "submissions"])
def test_data_folders_are_not_packages(folder: str) -> None:
    sources = re.compile(r"submissions/[^/]+/([^/]+/method|sources/[0-9a-f]{64})\.py")
    found = [path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*.py")]
    assert [path for path in found if not sources.fullmatch(path)] == []


def test_datasets_is_the_installed_library() -> None:
    code = "import datasets, sys; sys.exit('site-packages' not in (datasets.__file__ or ''))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_nothing_in_the_repository_is_large() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    sizes = {path: path.stat().st_size for path in files if path.is_file()}
    assert not [path for path, size in sizes.items() if size > 2_000_000]
    assert sum(sizes.values()) < 40_000_000
