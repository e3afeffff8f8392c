"""Tables on narrow terminals, and where only their first line is read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.boards.build import read_board
from harness.data.catalog import find_protocol
from tests.cli.support import harness, write_toy

pytestmark = pytest.mark.usefixtures("in_this_process")

STUDIES = ("iid", "another-hospital", "corrupted-images", "yet-another-hospital", "photographs")


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """Five studies of the same samples under long names."""
    text = write_toy(tmp_path).read_text()
    head, study = text.split("[[studies]]")
    studies = [
        study.replace('id = "iid"', f'id = "{name}"').replace('group = "iid"', f'group = "{name}"') for name in STUDIES
    ]
    (tmp_path / "toy.toml").write_text("[[studies]]".join([head, *studies]))
    return tmp_path


@pytest.mark.parametrize("columns", ["40", "60", "80"])
def test_numbers_of_a_run_stay_whole(columns: str, toy: Path) -> None:
    wide = harness("evaluate", "margin.py", "--benchmark", "toy.toml", folder=toy).stdout
    (run,) = (toy / "runs").iterdir()
    narrow = harness("show", run, folder=toy, COLUMNS=columns).stdout
    numbers = re.findall(r"\d+\.\d–\d+\.\d", wide)
    assert len(numbers) == 2 * len(STUDIES)
    assert sorted(re.findall(r"\d+\.\d–\d+\.\d", narrow)) == sorted(numbers)
    rows = [
        line for line in narrow.splitlines() if line.startswith(("  ", "augrc", "samples", "failure", "study", "─"))
    ]
    assert max(map(len, rows)) <= max(int(columns), 40)
    assert "toy@1\n" in narrow, "a title is not as narrow as its table"


def test_the_ranked_column_of_a_board_stands_first(tmp_path: Path) -> None:
    board = read_board(find_protocol("attribution-pneumonia@1"))
    assert board is not None
    lines = harness("board", "show", "attribution-pneumonia@1", folder=tmp_path, COLUMNS="60").stdout.splitlines()
    (heading,) = [line for line in lines if line.startswith("method")][:1]
    assert heading.split()[1] == board.columns[-1]


@pytest.mark.parametrize(
    "words",
    [
        ("list",),
        ("list", "methods"),
        ("data", "list"),
        ("board", "show", "attribution-pneumonia@1"),
        ("claims",),
        ("plan", "msr", "--benchmark", "toy.toml"),
        ("plan", "--benchmark", "confidence-fdshifts"),
        ("evaluate", "margin.py", "--benchmark", "toy.toml"),
        ("show", "RUN"),
        ("compare", "RUN", "RUN"),
    ],
)
def test_the_first_line_says_something(words: tuple[str, ...], evaluated: Path) -> None:
    (run,) = (evaluated / "runs").iterdir()
    done = harness(*(str(run) if word == "RUN" else word for word in words), folder=evaluated)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].strip()


def test_an_empty_metric_is_explained(tmp_path: Path) -> None:
    toy = write_toy(tmp_path)
    toy.write_text(toy.read_text().replace('"failure_auroc"', '"failure_auroc", "ece"'))
    said = harness("evaluate", "mls", "--benchmark", "toy.toml", folder=tmp_path).stdout
    assert re.search(r"^ECE ↓ +– *$", said, re.MULTILINE)
    assert (
        "ECE ↓ is – because it has no meaning here: it needs confidences that are probabilities, all from 0 to 1."
        in said
    )
    assert (
        "because it has no meaning" not in harness("evaluate", "msr", "--benchmark", "toy.toml", folder=tmp_path).stdout
    )
