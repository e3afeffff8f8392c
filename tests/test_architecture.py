"""The house: who may import whom, and what nobody may do."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "harness"
ROOMS = (
    "spec",
    "storage",
    "data",
    "methods",
    "metrics",
    "ranking",
    "tracks",
    "execution",
    "boards",
    "reports",
    "publish",
    "cli",
)
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
}
MAY_IMPORT_HEAVY_AT_TOP = {
    "tracks/confidence/networks.py",  # defines nn.Modules; itself imported only inside functions
    "tracks/confidence/inference.py",
    "tracks/confidence/training.py",
    "metrics/attribution/_correlation.py",  # kernels behind metrics that import them in their functions
    "metrics/attribution/_imputation.py",
    "metrics/attribution/_ordering.py",
    "metrics/attribution/_segments.py",
    "metrics/attribution/forwards.py",
    "methods/baselines/attribution/_relprop.py",
    *(f"tracks/query/classification/{name}.py" for name in ("augmentation", "networks", "optimisation")),
    *(f"tracks/query/classification/{name}.py" for name in ("pretraining", "training")),
    *(f"tracks/query/segmentation/{name}.py" for name in ("plans", "prediction", "trainer")),
    "tracks/attribution/networks.py",
    "tracks/attribution/training.py",
    *(path.relative_to(PACKAGE).as_posix() for path in (PACKAGE / "tracks").glob("**/zoo/*.py")),
}
FILES = sorted(PACKAGE.rglob("*.py"))


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "absolute imports only"
            yield node.module or ""


def top_level(tree: ast.Module) -> Iterator[ast.stmt]:
    """Statements that run at import: not in functions, not under TYPE_CHECKING."""
    for node in tree.body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_go_downwards(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0]
    if room not in ROOMS:
        return  # harness/__init__.py, api.py and testing.py stand above all rooms
    allowed = {f"harness.{name}" for name in ROOMS[: ROOMS.index(room) + 1]} | {"harness"}
    for name in imported(ast.parse(path.read_text())):
        if name.split(".")[0] == "harness":
            assert ".".join(name.split(".")[:2]) in allowed, f"{name} is in a higher room than {room}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_heavy_imports_live_in_functions(path: Path) -> None:
    if name_of(path) in MAY_IMPORT_HEAVY_AT_TOP:
        return
    for statement in top_level(ast.parse(path.read_text())):
        heavy = {name.split(".")[0] for name in imported(statement)} & HEAVY
        assert not heavy, f"line {statement.lineno} imports {heavy} when the module is loaded"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_is_unpickled(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert not {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve"} & {
        n.split(".")[0] for n in imported(tree)
    }
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        called = ast.unparse(call.func)
        assert options.get("allow_pickle", "False") == "False", f"line {call.lineno}"
        if called.endswith("torch.load"):
            assert options.get("weights_only") == "True", f"line {call.lineno}"
        if called in ("np.load", "numpy.load"):
            assert options.get("allow_pickle") == "False", f"line {call.lineno}: say allow_pickle=False"
        assert not called.endswith("read_pickle")


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


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_result_files_are_written_only_through_storage(path: Path) -> None:
    if name_of(path).startswith("storage/") or name_of(path) in MAY_WRITE:
        return
    for call in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)):
        if isinstance(call.func, ast.Attribute):
            assert call.func.attr not in WRITERS, f"line {call.lineno}: {ast.unparse(call.func)}"
        if ast.unparse(call.func) in ("open", "io.open") or (
            isinstance(call.func, ast.Attribute)
            and call.func.attr == "open"
            and ast.unparse(call.func) != "Journal.open"
        ):
            modes = [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            assert not any(set(mode) & set("wax+") for mode in modes if len(mode) <= 3), f"line {call.lineno}"


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
