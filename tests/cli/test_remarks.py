"""What the end of a run says of scores that are hardly what was meant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli.support import harness, write_toy
from tests.test_readme import FILES
from tests.test_readme_files import EVALUATED, pictures, title

pytestmark = pytest.mark.usefixtures("in_this_process")

SCORE = "from harness import confidence_score\n\n\n@confidence_score(version='1')\ndef mine(outputs):\n    return {}\n"


def said(folder: Path, answer: str) -> str:
    write_toy(folder)
    (folder / "mine.py").write_text(SCORE.format(answer))
    done = harness("evaluate", "mine.py", "--benchmark", "toy.toml", folder=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_score_that_is_upside_down_is_said_so(tmp_path: Path) -> None:
    text = said(tmp_path, "-outputs.probabilities.amax(dim=1)")
    with np.load(tmp_path / "table.npz") as table:
        logits, labels = table["logits"][100:], table["labels"][100:]
    soft = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    score, wrong = -soft.max(axis=1), logits.argmax(axis=1) != labels
    auroc = np.mean(score[~wrong][:, None] > score[wrong])
    assert f"Note: the score looks upside down: its failure AUROC is {100 * auroc:.1f} %" in text


@pytest.mark.parametrize("answer", ["outputs.probabilities.amax(dim=1)", "(outputs.logits * 1e4).sum(dim=1).sin()"])
def test_a_good_score_and_chance_are_not(tmp_path: Path, answer: str) -> None:
    assert "upside down" not in said(tmp_path, answer)


def rounded(folder: Path, digits: int, holds: str) -> tuple[int, str]:
    """`margin` on softmax outputs with so many digits, of ten classes."""
    toy = write_toy(folder)
    toy.write_text(toy.read_text().replace('holds = "logits"', f'holds = "{holds}"'))
    soft = np.random.default_rng(0).dirichlet(np.ones(10), 400).round(digits)
    np.savez(folder / "table.npz", logits=soft, labels=np.arange(400) % 10)
    done = harness("evaluate", "margin", "--benchmark", "toy.toml", folder=folder)
    sums = soft.sum(axis=1)
    worst = int(np.abs(sums - 1).argmax())
    place = f"sums to {sums[worst]:.6g} in row {worst} (counted from 0), {abs(sums[worst] - 1):.2g} away from 1"
    return done.returncode, done.stdout + done.stderr.replace(place, "PLACE")


def test_of_rounded_probabilities_the_worst_row_is_named(tmp_path: Path) -> None:
    code, text = rounded(tmp_path, 2, "probabilities")
    assert code == 2
    assert "table.npz: logits PLACE; where 0.001 is too strict for rounded probabilities, divide each row by" in text


def test_a_negative_probability_is_named(tmp_path: Path) -> None:
    toy = write_toy(tmp_path)
    toy.write_text(toy.read_text().replace('holds = "logits"', 'holds = "probabilities"'))
    soft = np.full((400, 4), 0.25)
    soft[17] = [-0.5, 0.5, 0.5, 0.5]
    np.savez(tmp_path / "table.npz", logits=soft, labels=np.arange(400) % 4)
    done = harness("evaluate", "margin", "--benchmark", "toy.toml", folder=tmp_path)
    assert done.returncode == 2
    assert "table.npz: logits has -0.5 in row 17 (counted from 0), and probabilities are never negative" in done.stderr


def test_logits_that_sum_to_one_get_a_warning(tmp_path: Path) -> None:
    code, text = rounded(tmp_path, 2, "logits")
    assert code == 0
    assert "Note: all rows of the logits of one sum to about 1, as probabilities do" in text
    assert "sum to about 1" not in said(tmp_path, "outputs.probabilities.amax(dim=1)")


@pytest.mark.parametrize("shared", [0, 7])
def test_images_of_the_pool_that_are_tested_on_are_counted(shared: int, tmp_path: Path) -> None:
    (text,) = (each for each in FILES if title(each) == "My images")
    for long, short in EVALUATED["My images"][2].items():
        text = text.replace(long, short)
    (tmp_path / "mine.toml").write_text(text.replace("seeds = [1, 2, 3]", "seeds = [1]"))
    pictures(tmp_path)
    with np.load(tmp_path / "train.npz") as train, np.load(tmp_path / "test.npz") as test:
        inputs, labels, pool = test["inputs"].copy(), test["labels"], train["inputs"]
    inputs[:shared] = pool[20 : 20 + shared]
    np.savez(tmp_path / "test.npz", inputs=inputs, labels=labels)
    done = harness("evaluate", "random-sampling", "--benchmark", "mine.toml", "--limit", "2", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert ("Note: 7 of the 30 test images of mine are images of the pool" in done.stdout) == bool(shared)
    assert ("images of the pool" in done.stdout) == bool(shared)
