"""Methods from installed packages: a real distribution, built, installed, found, checked, run, removed."""

import shutil
import subprocess
import sys
from importlib.util import find_spec, spec_from_file_location

import numpy as np
import pytest

import harness
from harness.methods.discovery import find_method, plugin_names
from harness.spec.errors import UsageError
from harness.testing import check_method

DISTRIBUTION = "Reliabench_Test.Plugin"
NAME = "reliabench-test-plugin"
PYPROJECT = f"""
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "{DISTRIBUTION}"
version = "0.0.1"

[project.entry-points."harness.methods"]
second-best = "reliabench_test_plugin.inner.scores:SecondBest"
plain = "reliabench_test_plugin.inner.scores:plain"
missing = "reliabench_test_plugin.nowhere:f"
undecorated = "reliabench_test_plugin.inner.scores:helper"

[tool.setuptools]
packages = ["reliabench_test_plugin", "reliabench_test_plugin.inner"]
"""
SCORES = '''
from harness import confidence_score

from reliabench_test_plugin.inner import SIGN


def helper(outputs):
    return SIGN * outputs.probabilities.amax(dim=1)


@confidence_score(version="3.1")
class SecondBest:
    """One minus the second largest probability."""

    def score(self, outputs):
        return SIGN * (1 - outputs.probabilities.topk(2, dim=1).values[:, 1])


@confidence_score(version="1.0", name="plainest")
def plain(outputs):
    return helper(outputs)
'''
BENCHMARK = """
id = "plug-in-test"
version = 1
title = "Outputs of a made-up classifier"
task = "confidence"
metrics = ["augrc"]
studies = [{ id = "iid", kind = "iid", samples = "test", group = "iid" }]

[source]
kind = "table"
holds = "probabilities"
values = "p"
models = [{ id = "only", table = { path = "table.npz" } }]
sets = { test = { rows = [0, 60] } }
"""


def pip(*arguments):
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The plug-in in this very environment, because the worker looks nowhere else; removed afterwards."""
    for module in ("pip", "setuptools"):
        if find_spec(module) is None:
            pytest.skip(f"{module}, which builds the plug-in, is not installed here")
    root = tmp_path_factory.mktemp("plugin")
    inner = root / "reliabench_test_plugin" / "inner"
    inner.mkdir(parents=True)
    (root / "pyproject.toml").write_text(PYPROJECT)
    # Importing it in the parent process would be a mistake, and would show.
    (root / "reliabench_test_plugin" / "__init__.py").write_text("LOADED = True\n")
    (inner / "__init__.py").write_text("SIGN = 1\n")
    (inner / "scores.py").write_text(SCORES)
    try:
        done = pip("install", "--no-deps", "--no-build-isolation", "--no-index", str(root))
        assert done.returncode == 0, done.stderr
        shutil.rmtree(root)
        yield
    finally:
        pip("uninstall", "--yes", DISTRIBUTION)
        assert not any(name.startswith(f"{NAME}/") for name in plugin_names()), "the plug-in is still installed"


def test_it_is_found_by_its_canonical_name_without_being_imported(installed):
    found = find_method(f"{NAME}/second-best")
    spec = found.spec
    assert (spec.name, spec.version, spec.origin) == ("secondbest", "3.1", "plug-in")
    assert (spec.symbol, spec.target) == ("SecondBest", f"{NAME}/second-best")
    assert found.module == "reliabench_test_plugin.inner.scores"
    assert found.source.decode() == SCORES
    assert {f"{NAME}/second-best", f"{NAME}/plain"} <= set(plugin_names())
    assert not any(module.startswith("reliabench_test_plugin") for module in sys.modules)


def test_the_declared_name_stands_on_boards(installed):
    assert find_method(f"{NAME}/plain").spec.name == "plainest"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("second-bset", f"did you mean {NAME}/second-best"),
        ("missing", "points to the module reliabench_test_plugin.nowhere, which is not installed"),
        ("undecorated", "points to reliabench_test_plugin.inner.scores:helper, which is not a decorated method"),
        ("plain:plain", "is one method; write it without"),
    ],
)
def test_mistakes(installed, name, sentence):
    with pytest.raises(UsageError, match=sentence):
        find_method(f"{NAME}/{name}")


def test_it_conforms_and_is_evaluated_in_a_worker(installed, tmp_path):
    check_method(f"{NAME}/plain")
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), size=60).astype(np.float32)
    labels = np.random.default_rng(1).integers(3, size=60)
    np.savez(tmp_path / "table.npz", p=probabilities, labels=labels)
    (tmp_path / "b.toml").write_text(BENCHMARK)
    result = harness.evaluate(f"{NAME}/second-best", benchmark=str(tmp_path / "b.toml"), out=tmp_path / "runs")
    assert result.complete
    (outputs,) = result.outputs().values()
    np.testing.assert_allclose(outputs["confidence"], 1 - np.sort(probabilities, axis=1)[:, -2], rtol=1e-6)


def test_a_package_without_init_files_is_found_without_an_import(tmp_path, monkeypatch):
    """Two folders deep, where the import system itself would import the outer one first."""
    folder = tmp_path / "reliabench_test_outer" / "inner"
    folder.mkdir(parents=True)
    (folder / "scores.py").write_text(SCORES)
    info = tmp_path / "reliabench_test_loose-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: reliabench_test_loose\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[harness.methods]\nplain = reliabench_test_outer.inner.scores:plain\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert find_method("reliabench-test-loose/plain").path == folder / "scores.py"
    assert "reliabench_test_outer" not in sys.modules


def test_a_package_installed_for_editing_is_found_by_its_own_finder(tmp_path, monkeypatch):
    """Editable installs may put a finder of their own beside the usual one."""
    (tmp_path / "code.py").write_text(SCORES)
    info = tmp_path / "reliabench_test_editable-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: reliabench_test_editable\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[harness.methods]\nplain = reliabench_test_elsewhere:plain\n")

    class Finder:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name == "reliabench_test_elsewhere":
                return spec_from_file_location(name, tmp_path / "code.py")
            return None

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    assert find_method("reliabench-test-editable/plain").path == tmp_path / "code.py"
