"""What the end of a run says of scores that are hardly what was meant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli.support import harness, write_toy

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
