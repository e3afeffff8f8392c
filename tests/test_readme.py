"""README is true: its methods keep their contract, its files are read, its commands exist, its output is what is printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import typer

from harness.cli import application
from harness.data.catalog import load_protocol
from harness.testing import check_method

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = BLOCK.findall(TEXT)
PYTHON = [text for kind, text in BLOCKS if kind == "python"]
DECLARE = re.compile(r"@?\b(?:confidence_score|query_strategy|explainer|attribution_metric)\(")
METHODS = [text for text in PYTHON if DECLARE.search(text)]
SNIPPETS = [text for text in PYTHON if not DECLARE.search(text)]
FILES = [text for kind, text in BLOCKS if kind == "toml" and text.startswith("schema_version")]
DOCS = [ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted(ROOT.glob("datasets/*/README.md"))]
COMMANDS = [
    line
    for kind, text in (*BLOCKS, *(block for path in DOCS for block in BLOCK.findall(path.read_text())))
    for line in text.splitlines()
    if not kind and line.startswith("harness ")
]


def test_every_kind_of_block_was_found():
    assert len(METHODS) >= 8
    assert len(SNIPPETS) >= 4
    assert len(FILES) >= 5
    assert len(COMMANDS) >= 30


def declared(text):
    names = re.findall(r"^(?:def|class) (\w+)", text, re.MULTILINE)
    return names or re.findall(r"^(\w+) = explainer", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("text", "name"), [(text, name) for text in METHODS for name in declared(text)], ids=lambda value: value[:20]
)
def test_a_method_as_printed_keeps_its_contract(tmp_path, text, name):
    path = tmp_path / "my_method.py"
    path.write_text(text)
    check_method(f"{path}:{name}")


def made_up():
    """What the snippets take for granted."""
    rng = np.random.default_rng(0)
    confidence, residual = rng.random(50), rng.integers(0, 2, 50).astype(float)
    budgets = [
        {"method": m, "budget": b, "seed": s, "value": rng.random()} for m in "ab" for b in range(3) for s in range(3)
    ]
    return {
        "confidence": confidence,
        "residual": residual,
        "mine": confidence,
        "msr": rng.random(50),
        "model": torch.nn.Sequential(
            torch.nn.Conv2d(1, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
        ).eval(),
        "inputs": torch.rand(3, 1, 12, 12),
        "targets": torch.tensor([0, 1, 2]),
        "maps": torch.rand(3, 1, 12, 12),
        "fraction": np.array([[0.1, 0.2, 0.3]] * 3),
        "dice": np.array([[0.5, 0.6, 0.7]] * 3) + rng.normal(scale=0.01, size=(3, 3)),
        "frame": pd.DataFrame(budgets),
    }


@pytest.mark.parametrize("text", SNIPPETS, ids=lambda text: text.split("\n")[0])
def test_a_snippet_runs_as_printed(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_method.py").write_text(METHODS[0])
    exec(compile(text, "README.md", "exec"), made_up())


@pytest.mark.parametrize("text", FILES, ids=range(len(FILES)))
def test_a_benchmark_file_as_printed_is_read(tmp_path, text):
    path = tmp_path / "my_benchmark.toml"
    path.write_text(text)
    assert f'id = "{load_protocol(path).benchmark.id}"' in text


def test_a_source_of_fd_shifts_results_as_printed_fits_into_a_benchmark_file(tmp_path):
    (source,) = (text for kind, text in BLOCKS if kind == "toml" and 'kind = "fd-shifts"' in text)
    head, _, _ = next(text for text in FILES if 'kind = "table"' in text).partition("[source]")
    study = '[[studies]]\nid = "iid"\nkind = "iid"\nsamples = "iid"\ngroup = "iid"\n'
    path = tmp_path / "my_benchmark.toml"
    path.write_text(f"{head}{source}{study}")
    assert load_protocol(path).benchmark.source.kind == "fd-shifts"


def test_other_pages_show_commands_and_trees_alone():
    """A snippet of another language would need a test like those of README's."""
    assert {kind for path in DOCS for kind, _ in BLOCK.findall(path.read_text())} <= {""}


@pytest.mark.parametrize("line", dict.fromkeys(COMMANDS))
def test_a_command_as_printed_exists(line):
    command = typer.main.get_command(application())
    words = re.split(r"\s{2,}|\s+#", line)[0].split()[1:]
    while hasattr(command, "commands"):
        verb = words.pop(0)
        assert verb.split("|")[0] in command.commands, line
        command = command.commands[verb.split("|")[0]]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in words if word.startswith("--")} <= known


def test_the_output_is_what_is_printed(tmp_path):
    (printed,) = (text for kind, text in BLOCKS if not kind and text.startswith("$ "))
    command, _, expected = printed.partition("\n")
    words = command.split()[2:]
    assert words == ["evaluate", "examples/margin.py"]
    done = subprocess.run(
        [sys.executable, "-c", "from harness.cli import main; main()", "evaluate", str(ROOT / words[1])],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", "NO_COLOR": "1"},
    )
    assert done.returncode == 0, done.stderr
    shown = [line for line in (done.stderr + done.stdout).splitlines() if not line.startswith("  … ")]  # slow machines
    # Lines may be wrapped elsewhere.
    assert " ".join(shown).split() == expected.split()
