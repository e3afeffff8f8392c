"""README and the documentation are true: their methods keep their contract, their files are read, their commands exist,
their output is what is printed."""

import itertools
import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
import typer

from harness.cli import application
from harness.data.catalog import find_protocol, load_protocol
from harness.methods.discovery import baseline_names
from harness.testing import check_method
from tests.printed import (
    BLOCK,
    BLOCKS,
    COMMANDS,
    FILES,
    METHODS,
    NAMED,
    OTHERS,
    OUTPUTS,
    ROOT,
    SNIPPETS,
    TEXTS,
    TOML,
    declared,
    method_before,
)


def test_every_kind_of_block_was_found():
    assert len(METHODS) >= 14
    assert sum(map(len, SNIPPETS.values())) >= 8
    assert len(FILES) >= 6
    assert len(COMMANDS) >= 25
    assert len(OUTPUTS) >= 5
    assert len(NAMED) >= 70


def test_every_block_has_a_test():
    """A snippet of another language, or a fragment of a file, would need one like those below."""
    assert {kind for kind, _ in BLOCKS} == {"", "python", "toml", "text"}
    fragments = [text for text in TOML if text not in FILES]
    tried = ('kind = "fd-shifts"', 'head = "mine"', "[options]")  # the last by the tests of clusters
    assert len(fragments) == 3
    assert all(any(each in text for each in tried) for text in fragments)
    assert [text.partition("\n")[0] for kind, text in BLOCKS if kind == "text"] == ["label,prediction,confidence"]


def test_links_of_readme_lead_somewhere():
    """Those of the other pages are followed when they are built."""
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", TEXTS["README.md"])
    assert len(links) > 20
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_pictures_are_small_and_shown():
    pictures = sorted((ROOT / "docs" / "_static").glob("*.webp"))
    assert len(pictures) == 3
    assert [path.name for path in pictures if path.stat().st_size >= 200_000] == []
    for name in ("README.md", "docs/index.md"):
        shown = re.findall(r"_static/([\w-]+\.webp)", TEXTS[name])
        assert sorted(shown) == [path.name for path in pictures], name


def test_pages_that_are_made_of_docstrings_say_so_in_the_repository():
    made = {name: text for name, text in TEXTS.items() if re.search(r"\{(?:metrics|docstring|eval-rst)\}", text)}
    assert len(made) >= 9
    for name, text in made.items():
        (note,) = re.findall(r"^:::\{repository\}\n(.*?)^:::$", text, re.DOTALL | re.MULTILINE)
        assert "harness site build --out site" in note, name
        links = re.findall(r"\]\(([^)]+)\)", note)
        assert links
        assert [link for link in links if not (ROOT / name).parent.joinpath(link).exists()] == []


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


@pytest.mark.parametrize("name", SNIPPETS)
def test_snippets_run_as_printed(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_method.py").write_text(METHODS[0])
    known = made_up()
    for text in SNIPPETS[name]:
        exec(compile(text, name, "exec"), known)


@pytest.mark.parametrize("text", FILES, ids=range(len(FILES)))
def test_a_benchmark_file_as_printed_is_read(tmp_path, text):
    path = tmp_path / "my_benchmark.toml"
    path.write_text(text)
    assert f'id = "{load_protocol(path).benchmark.id}"' in text


def test_a_source_of_fd_shifts_results_as_printed_fits_into_a_benchmark_file(tmp_path):
    (source,) = (text for text in TOML if 'kind = "fd-shifts"' in text)
    head, _, _ = next(text for text in FILES if 'kind = "table"' in text).partition("[source]")
    study = '[[studies]]\nid = "iid"\nkind = "iid"\nsamples = "iid"\ngroup = "iid"\n'
    path = tmp_path / "my_benchmark.toml"
    path.write_text(f"{head}{source}{study}")
    assert load_protocol(path).benchmark.source.kind == "fd-shifts"


def test_other_pages_show_commands_and_trees_alone():
    """A snippet of another language would need a test like those above."""
    assert {kind for path in OTHERS for kind, _ in BLOCK.findall(path.read_text())} <= {""}


@pytest.mark.parametrize("line", dict.fromkeys((*COMMANDS, *NAMED)))
def test_a_command_as_printed_exists(line):
    command = typer.main.get_command(application())
    words = re.split(r"\s{2,}|\s+#", line)[0].split()[1:]
    while hasattr(command, "commands"):
        verb = words.pop(0)
        assert verb.split("|")[0] in command.commands, line
        command = command.commands[verb.split("|")[0]]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.parametrize("line", dict.fromkeys((*COMMANDS, *NAMED)))
def test_names_of_baselines_and_benchmarks_in_a_command_exist(line):
    """Words in capitals, and files, stand for the reader's own."""
    words = re.split(r"\s{2,}|\s+#", line)[0].split()[1:]
    for before, word in itertools.pairwise(words):
        if re.fullmatch(r"[a-z][a-z0-9@-]*", word) and before == "evaluate":
            assert word in baseline_names(), line
        if re.fullmatch(r"[a-z][a-z0-9@-]*", word) and before == "--benchmark":
            assert find_protocol(word).benchmark.id == word.partition("@")[0], line


@pytest.mark.parametrize(("name", "text"), OUTPUTS, ids=[name for name, _ in OUTPUTS])
def test_the_output_is_what_is_printed(tmp_path, name, text):
    command, _, expected = text.partition("\n")
    program, verb, path = command.removeprefix("$ ").split()
    assert program.endswith("harness")
    if (ROOT / path).is_file():
        path = str(ROOT / path)
    else:
        (tmp_path / path).write_text(method_before(name, text))
    done = subprocess.run(
        [sys.executable, "-c", "from harness.cli import main; main()", verb, path],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80" if verb == "evaluate" else "120", "NO_COLOR": "1"},
    )
    assert done.returncode == 0, done.stderr
    shown = [line for line in (done.stderr + done.stdout).splitlines() if not line.startswith("  … ")]  # slow machines
    # Lines may be wrapped elsewhere.
    assert " ".join(shown).split() == expected.split()
