"""The command answers at once: nothing heavy is loaded before it is needed. How quick that is, `make bench` measures."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    *("torch", "numpy", "scipy", "pandas", "sklearn", "skimage", "matplotlib", "PIL", "pyarrow", "datasets"),
    *("safetensors", "huggingface_hub", "httpx2", "mlxtend", "jinja2", "captum", "SimpleITK", "nnunetv2"),
)
CALL = "import sys; sys.argv[1:] = {words!r}\nfrom harness.cli import main\ntry: main()\nexcept SystemExit: pass"


def loaded_after(code: str) -> set[str]:
    report = f"{code}\nimport sys; print(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True)
    return set(done.stdout.split("\n")[-2].split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_after("import harness; harness.confidence_score") == set()


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        ["evaluate", "--help"],
        ["board", "--help"],
        ["data", "--help"],
    ],
    ids=" ".join,
)
def test_help_loads_nothing_heavy(words: list[str]) -> None:
    assert loaded_after(CALL.format(words=words)) == set()


@pytest.mark.parametrize("kind", ["benchmarks", "methods", "metrics"])
def test_lists_load_at_most_numpy(kind: str) -> None:
    assert loaded_after(CALL.format(words=["list", kind])) <= {"numpy"}


@pytest.mark.parametrize("name", ["evaluate", "confidence_score", "RunResult"])
def test_public_names_resolve(name: str) -> None:
    import harness

    assert getattr(harness, name).__name__ == {"RunResult": "Result"}.get(name, name)
    assert name in dir(harness)


def test_unknown_names_are_attribute_errors() -> None:
    import harness

    with pytest.raises(AttributeError, match="no_such_name"):
        _ = harness.no_such_name
