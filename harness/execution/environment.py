"""Where numbers were computed: recorded in every result."""

from __future__ import annotations

import platform
import subprocess
from functools import lru_cache
from importlib import import_module, metadata
from pathlib import Path

import harness
from harness.spec.result import Environment
from harness.storage import bytes_id, content_id

PACKAGES = (
    "datasets",
    "huggingface-hub",
    "jinja2",
    "matplotlib",
    "mlxtend",
    "nnunetv2",
    "numpy",
    "pandas",
    "pillow",
    "pyarrow",
    "pydantic",
    "rich",
    "safetensors",
    "scikit-learn",
    "scipy",
    "tomli-w",
    "torch",
    "typer",
)
_ROOT = Path(harness.__file__).parent


def describe_environment(device: str, threads: int, seeds: dict[str, int]) -> Environment:
    """Versions, commit and settings; nothing in it changes between two runs on the same machine."""
    commit, dirty = git_state()
    return Environment(
        harness=harness.__version__,
        source_sha256=harness_source_hash(),
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        packages={name: version for name in PACKAGES if (version := installed_version(name))},
        git_commit=commit,
        git_dirty=dirty,
        device=device,
        threads=threads,
        seeds=seeds,
    )


def installed_version(package: str) -> str | None:
    """Version of an installed distribution, without importing it."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@lru_cache(maxsize=1)
def harness_source_hash() -> str:
    """Hash of the harness's own Python files: what computed a result, with or without git."""
    return content_id(_python_files(_ROOT))


@lru_cache(maxsize=8)
def _python_files(root: Path) -> dict[str, str]:
    return {path.relative_to(root).as_posix(): bytes_id(path.read_bytes()) for path in sorted(root.rglob("*.py"))}


def code_hash(track: object) -> str:
    """Hash of all code that a number rests on: the harness's own, and that of the package that brings the kind."""
    package = import_module(type(track).__module__.split(".")[0])
    root = Path(package.__file__ or "").parent
    return harness_source_hash() if root == _ROOT else content_id([harness_source_hash(), _python_files(root)])


@lru_cache(maxsize=1)
def git_state() -> tuple[str | None, bool | None]:
    """Commit of the checkout that the harness runs from, and whether its code differs from it."""
    checkout = _ROOT.parent
    if not (checkout / ".git").exists():
        return None, None
    commit = _git(checkout, "rev-parse", "HEAD")
    changes = _git(
        checkout,
        "status",
        "--porcelain",
        "--",
        "harness",
        ":(glob)leaderboards/**/benchmark.toml",
        "datasets",
        "pyproject.toml",
    )
    return commit, None if changes is None else bool(changes)


def _git(checkout: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=checkout, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
