"""What a method prints is kept beside its run, where the user is told to look; it never becomes a result."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from harness.cli.render import print_result
from harness.execution.evaluate import prepare, run
from harness.execution.method_process import PRINTED
from harness.execution.run_files import PROTOCOL
from harness.execution.run_result import RunResult
from harness.storage import write_arrays
from tests.execution.support import CLASSES, HONEST, ROWS, request, request_one

PRINTING = {
    "first": "print('first study', len(outputs), 'samples'); " + HONEST,
    "second": "sys.stderr.write('to the error stream\\n'); " + HONEST,
    "third": "print('last words', flush=True); os._exit(3)",
}


def test_what_is_printed_lies_in_the_run_also_of_a_worker_that_died(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run(prepare(request(tmp_path, PRINTING, workers=1)))
    kept = "".join(path.read_text() for path in sorted((result.folder / PRINTED).iterdir()))
    for words in (r"first study \d+ samples", "to the error stream", "last words"):
        assert re.search(words, kept)
    print_result(result, "it has failed units")
    shown = capsys.readouterr().out
    assert re.search(r"^Output: \S+/printed   \(what the method printed\)$", shown, re.MULTILINE)
    assert "first study" not in shown


def test_a_few_words_are_not_lost_in_a_buffer(tmp_path: Path) -> None:
    result = run(prepare(request_one(tmp_path, "print('quietly'); " + HONEST, workers=1)))
    assert result.complete
    (path,) = (result.folder / PRINTED).iterdir()
    calls = len(path.read_text().splitlines())
    assert calls >= 3  # two batches at least, and a single sample
    assert path.read_text() == "quietly\n" * calls


def test_streams_that_a_method_closed_or_replaced_are_its_own_matter(tmp_path: Path) -> None:
    closed = "print('before'); sys.stdout.close(); sys.stderr = None; " + HONEST
    result = run(prepare(request_one(tmp_path, f"if sys.stderr: {closed}\n{HONEST}", workers=1)))
    assert result.complete, result.failed


def test_a_run_that_prints_nothing_has_no_such_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(prepare(request_one(tmp_path, HONEST, workers=1)))
    assert not (result.folder / PRINTED).exists()
    print_result(result, "nowhere")
    assert "Output:" not in capsys.readouterr().out


def test_only_the_end_of_endless_output_is_kept(tmp_path: Path) -> None:
    result = run(prepare(request_one(tmp_path, "print('x' * 3_000_000 + 'END'); " + HONEST, workers=1)))
    (path,) = (result.folder / PRINTED).iterdir()
    assert path.stat().st_size <= 110_000
    assert path.read_text().endswith("END\n")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return (outputs.logits[:, 0] > 3).double()", r"2 different values for 6[01] samples, .* for \d\d %"),
        (
            "return (outputs.probabilities.amax(1) > 0.3).float() + (outputs.logits[:, :2] > 3).float().sum(1) * 0.1",
            "tied",
        ),
    ],
)
def test_confidences_that_hardly_tell_samples_apart_are_noted(tmp_path: Path, body: str, words: str) -> None:
    (sentence,) = run(prepare(request_one(tmp_path, body, workers=1))).notes()
    assert sentence.startswith("in 2 of 2 units the confidence is tied almost everywhere (")
    assert re.search(words, sentence)
    assert "where the model's outputs are not" in sentence


def test_ordinary_confidences_are_not_noted(tmp_path: Path) -> None:
    assert run(prepare(request_one(tmp_path, HONEST, workers=1))).notes() == ()


COARSE = {
    "few rows": np.random.default_rng(0).integers(0, 2, size=(ROWS, 1)) * np.eye(CLASSES)[0],
    "one row": np.eye(CLASSES)[np.random.default_rng(0).integers(10, size=ROWS) // 9],
}


@pytest.mark.parametrize("rows", COARSE)
def test_ties_that_the_outputs_have_are_not_noted(tmp_path: Path, rows: str) -> None:
    """A method of the logits alone cannot tell equal logits apart."""
    asked = request_one(tmp_path, "return outputs.logits @ torch.arange(1.0, 6.0, dtype=torch.float64)", workers=1)
    arrays = {"logits": COARSE[rows] * 3 - 1, "labels": np.arange(ROWS) % CLASSES}
    write_arrays(tmp_path / "benchmark" / "m0.npz", arrays)
    result = run(prepare(asked))
    assert result.complete
    assert len(np.unique(next(iter(result.outputs().values()))["confidence"])) == 2
    assert result.notes() == ()


def test_notes_of_a_run_that_is_opened_need_its_benchmark(tmp_path: Path) -> None:
    result = run(prepare(request_one(tmp_path, "return (outputs.logits[:, 0] > 3).double()", workers=1)))
    assert RunResult.open(result.folder).notes() == result.notes() != ()
    (result.folder / PROTOCOL).unlink()
    assert RunResult.open(result.folder).notes() == ()
