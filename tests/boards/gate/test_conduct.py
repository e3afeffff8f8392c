"""Outputs that are formally right, and yet constant, copied or too good."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from harness.boards.gate import conduct, validate
from harness.boards.gate.candidate import Candidate
from harness.methods.discovery import find_method
from tests.boards.gate.support import arrays_of, change_outputs, claim_what_outputs_give, said


def answer(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    """Outputs with claims that fit them."""
    change_outputs(folder, arrays)
    claim_what_outputs_give(folder)


def noise(folder: Path) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.normal(size=array.shape).astype(np.float32) for name, array in arrays_of(folder).items()}


def test_constant_outputs(good: Path) -> None:
    arrays = noise(good)
    arrays["one--iid--confidence"][:] = 0.5
    answer(good, arrays)
    assert said(good) == [
        "refused constant: the outputs of iid · one are the same for every sample, so they rank nothing."
    ]


def copied(good: Path, units: int) -> dict[str, np.ndarray]:
    theirs = arrays_of(good.parent / "msr")
    return noise(good) | dict(list(theirs.items())[:units])


@pytest.mark.parametrize("units", [3, 4])
def test_outputs_of_another_method(good: Path, units: int) -> None:
    answer(good, copied(good, units))
    assert said(good) == [f"refused duplicate: its outputs are those of msr in {units} of 4 units."]


def test_a_few_equal_units_are_no_copy(good: Path) -> None:
    answer(good, copied(good, 2))
    assert said(good) == []


def test_a_new_version_of_the_same_method_may_answer_as_the_old_one(good: Path, tmp_path: Path) -> None:
    """Elsewhere on the disk, as while it is made, beside the old one that is on the board."""
    from shutil import copytree

    new = copytree(good, tmp_path / "made" / "toy@1" / "margin")
    assert said(new) == []


def test_a_copy_is_found_wherever_it_is_made(good: Path, tmp_path: Path) -> None:
    from shutil import copytree

    new = copytree(good, tmp_path / "made" / "toy@1" / "margin")
    answer(new, copied(good, 4))
    assert said(new) == ["refused duplicate: its outputs are those of msr in 4 of 4 units."]


def test_broken_neighbours_do_no_harm(good: Path) -> None:
    (good.parent / "msr" / "outputs.npz").write_bytes(b"PK")
    (good.parent / "oracle" / "submission.toml").write_text("[")
    (good.parent / "stray").write_text("")
    assert said(good) == []


def test_outputs_like_labels_are_for_a_human(good: Path) -> None:
    """The oracle's own confidences, shrunk by steps that no metric sees and that make them no copy."""
    answer(good, {name: array * np.float32(0.5) for name, array in arrays_of(good.parent / "oracle").items()})
    report = validate(good)
    assert report.accepted
    said = [f"{each.severity} {each.rule}: {each.sentence}" for each in report.findings]
    assert said[0] == "flagged near-copy: it orders as oracle does in 4 of 4 units; see why."
    assert [each for each in said if "perfect" in each] == [
        f"flagged label-like: failure_auroc of {study} · {model} is perfect (1); see whether it knows labels."
        for model in ("one", "two")
        for study in ("iid", "shift")
    ]


def test_better_than_the_oracle_is_for_a_human(good: Path) -> None:
    """An oracle row that was spoilt: everything is better, in every column."""
    arrays = arrays_of(good.parent / "oracle")
    answer(good.parent / "oracle", {name: -array for name, array in arrays.items()})
    findings = [each for each in said(good) if "label-like" in each]
    assert [each.split(" (")[0] for each in findings] == [
        f"flagged label-like: it is better than oracle, which reads labels, in {column}"
        for column in ("iid", "shift", "mean")
    ]


def test_the_oracle_may_be_perfect(good: Path) -> None:
    assert said(good.parent / "oracle") == []


def test_a_strategy_that_is_told_which_image_is_which() -> None:
    """A reviewer hears of it: it may carry queries, or choose by the order of the data set."""
    for name in ("bald", "msr"):
        about = SimpleNamespace(method=find_method(name).spec)
        assert not list(conduct.told_names(cast(Candidate, SimpleNamespace(about=about))))
    spec = find_method("bald").spec.model_copy(update={"needs": ("members", "names")})
    (sentence,) = conduct.told_names(cast(Candidate, SimpleNamespace(about=SimpleNamespace(method=spec))))
    assert sentence.startswith('it declares needs=("names",), so it is told which image of the data set is which')
