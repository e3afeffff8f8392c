"""Rules about numbers, each by a submission that breaks just that one."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import rankdata

from harness.boards.gate import validate
from harness.storage import file_id, write_bytes
from tests.boards.gate.support import (
    arrays_of,
    change_about,
    change_outputs,
    change_run,
    claim_what_outputs_give,
    said,
    unit_of,
)
from tests.boards.support import MODELS, SAMPLES, STUDIES

EVERY = [(study, model) for model in MODELS for study in STUDIES]


def spec(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["spec"]
    return found


def unit(document: dict[str, Any], study: str = "iid", model: str = "one") -> dict[str, Any]:
    return unit_of(document, study, model)


OTHER = "run.json and submission.toml do not fit together: {} of the run differ; evaluate again."
WRONG_RUNS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a rehearsal": (
        lambda d: spec(d).update(limit=10, submittable=False),
        "run.json is a rehearsal (made with --limit); evaluate without a limit.",
    ),
    "other metrics": (lambda d: spec(d)["metric_versions"].update(augrc="0"), OTHER.format("metric_versions")),
    "another method": (lambda d: spec(d)["method"].update(needs=["inputs"]), OTHER.format("method")),
    "another state": (lambda d: spec(d).update(benchmark_hash="3" * 64), OTHER.format("benchmark_hash")),
    "another benchmark": (
        lambda d: spec(d).update(benchmark="other@1", submittable=False),
        OTHER.format("benchmark, submittable"),
    ),
    "a changed harness": (
        lambda d: d["environment"].update(git_dirty=True),
        "run.json was made by a changed harness (git_dirty); commit or undo the changes and evaluate again.",
    ),
}
WRONG_UNITS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "missing": (lambda d: d["units"].remove(unit(d, "shift", "two")), "run.json lacks the unit shift · two."),
    "not planned": (
        lambda d: d["units"].append(unit(d, "shift", "two") | {"unit": "4" * 64}),
        "run.json holds 1 units that toy@1 does not plan for this method.",
    ),
    "twice": (lambda d: d["units"].append(unit(d, "shift", "two")), "run.json lists a unit twice."),
    "another name": (
        lambda d: unit(d).update(study="shift"),
        "run.json calls the unit iid · one shift · one, seed 0.",
    ),
    "failed": (
        lambda d: unit(d).update(status="timeout", reason="60 s"),
        "iid · one ended as timeout (60 s); a board takes complete runs only.",
    ),
    "no hash": (
        lambda d: unit(d).update(outputs=None),
        "iid · one has scores, but no hash of the outputs that they were computed from.",
    ),
    "chosen by the method": (
        lambda d: unit(d, "shift").update(status="not-applicable", outputs=None, records=[]),
        "shift · one is not applicable, for which the benchmark makes no exemption.",
    ),
}


@pytest.mark.parametrize("case", WRONG_RUNS)
def test_runs_that_no_board_takes(good: Path, case: str) -> None:
    change, sentence = WRONG_RUNS[case]
    change_run(good, change, new_id=True)
    assert said(good) == [f"refused run: {sentence}"]


@pytest.mark.parametrize("case", WRONG_UNITS)
def test_units_are_those_that_are_planned_each_once_and_scored(good: Path, case: str) -> None:
    change, sentence = WRONG_UNITS[case]
    change_run(good, change)
    assert said(good) == [f"refused units: {sentence}"]


def test_a_run_that_was_changed_after_it_was_sealed(good: Path) -> None:
    path = good / "run.json"
    path.write_text(path.read_text().replace('"git_dirty": false', '"git_dirty": null'))
    assert said(good) == ["refused run: run.json was changed after it was sealed; run the evaluation again."]


@pytest.mark.parametrize(
    ("told", "finding"),
    [
        (
            {"benchmark_hash": "1" * 64},
            "benchmark: it was made for another state of toy@1 (its hash differs); evaluate again.",
        ),
        ({"run": "1" * 64}, "run: run.json is not the run that submission.toml names."),
        ({"outputs": {}}, "outputs: submission.toml must name one file of outputs, outputs.npz."),
        (
            {"outputs": {"../../outputs.npz": "0" * 64}},
            "outputs: submission.toml must name one file of outputs, outputs.npz.",
        ),
        ({"outputs": {"outputs.npz": "0" * 64}}, "outputs: outputs.npz is not the file that submission.toml names"),
    ],
)
def test_the_document_names_what_is_there(good: Path, told: dict[str, Any], finding: str) -> None:
    change_about(good, **told)
    assert said(good) == [f"refused {finding}"]


def test_an_id_that_is_not_that_of_the_run(good: Path) -> None:
    change_run(good, lambda document: document.update(id="2" * 64))
    change_about(good, run="2" * 64)
    assert said(good) == ["refused run: the id in run.json is not that of its specification."]


def test_deprecated_benchmarks_take_no_new_rows_and_keep_the_old_ones(checkout: Path, good: Path) -> None:
    from harness.data.catalog import load_protocol

    path = checkout / "leaderboards" / "toy" / "1" / "benchmark.toml"
    path.write_text('status = "deprecated"\nsuccessor = "toy@2"\n' + path.read_text())
    state = load_protocol(path).hash
    change_about(good, benchmark_hash=state)
    findings = said(good)
    assert findings[0] == "refused open: toy@1 is deprecated; use toy@2 instead."
    assert "open" not in {each.rule for each in validate(good, standing=True).findings}


def test_a_benchmark_whose_files_are_not_pinned(checkout: Path, good: Path) -> None:
    from harness.data.catalog import load_protocol

    path = checkout / "leaderboards" / "toy" / "1" / "benchmark.toml"
    path.write_text(
        "\n".join(line.split(", sha256")[0] + " }" * (", sha256" in line) for line in path.read_text().split("\n"))
    )
    state = load_protocol(path).hash
    change_about(good, benchmark_hash=state)
    change_run(good, lambda document: document["spec"].update(benchmark_hash=state), new_id=True)
    assert said(good)[0] == (
        "refused run: toy@1 does not pin its files by sha256, so its runs cannot be compared on a board."
    )


def test_a_harness_outside_of_a_checkout_is_for_a_human(good: Path) -> None:
    change_run(good, lambda document: document["environment"].update(git_dirty=None, git_commit=None))
    assert said(good) == [
        "flagged provenance: run.json was not made from a git checkout, so nothing says whether its harness was changed."
    ]
    assert validate(good).accepted


@pytest.mark.parametrize("text", ["{", "[" * 100_000, '{"id": NaN}', '{"a": 1, "a": 2}', "null", "[]", "{}"])
def test_texts_that_are_no_run(good: Path, text: str) -> None:
    (good / "run.json").write_text(text)
    findings = said(good)
    assert len(findings) == 1
    assert findings[0].startswith("refused run: run.json is not ")


def store(folder: Path, content: bytes) -> None:
    write_bytes(folder / "outputs.npz", content)
    change_about(folder, outputs={"outputs.npz": file_id(folder / "outputs.npz")})


def test_pickles_stay_shut(good: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "exploded",))

    stream = io.BytesIO()
    np.savez(stream, **{"one--iid--confidence": np.array([Bomb()], dtype=object)})
    store(good, stream.getvalue())
    assert said(good) == [
        "refused outputs: outputs.npz was refused: its member 'one--iid--confidence.npy' has the unsafe dtype object."
    ]
    assert not (tmp_path / "exploded").exists()


def test_a_zip_bomb_is_not_unpacked(good: Path) -> None:
    """240 MB of zeros in a quarter of a megabyte."""
    stream = io.BytesIO()
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (60_000_000,)})
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("one--iid--confidence.npy", header.getvalue() + bytes(240_000_000))
    assert len(stream.getvalue()) < 300_000
    store(good, stream.getvalue())
    assert said(good) == [
        "refused outputs: outputs.npz was refused: it unpacks to 240000128 bytes, more than the 200000000 allowed."
    ]


def test_what_is_no_archive(good: Path) -> None:
    store(good, b"PK\x03\x04" + b"\0" * 100)
    assert said(good) == ["refused outputs: outputs.npz is not a valid file of arrays."]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("../../evil--iid--confidence", "outputs.npz holds arrays of no unit, '../../evil--iid'."),
        ("evil", "outputs.npz holds arrays of no unit, ''."),
        ("three--iid--confidence", "outputs.npz holds arrays of no unit, 'three--iid'."),
    ],
)
def test_arrays_of_no_unit(good: Path, name: str, sentence: str) -> None:
    stream = io.BytesIO()
    np.savez(stream, **arrays_of(good), **{name: np.zeros(3, np.float32)})
    store(good, stream.getvalue())
    assert said(good) == [f"refused outputs: {sentence}"]


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (lambda arrays: arrays.pop("two--shift--confidence"), "outputs: outputs.npz lacks the outputs of shift · two."),
        (
            lambda arrays: arrays.update({"one--iid--confidence": arrays["one--iid--confidence"][:-1]}),
            "samples: the stored answers of iid · one cannot be scored: "
            f"it returned shape ({SAMPLES - 1},), expected ({SAMPLES},)",
        ),
        *(
            (
                lambda arrays, bad=bad: np.put(arrays["one--iid--confidence"], 0, bad),
                f"samples: the stored answers of iid · one cannot be scored: 1 of {SAMPLES} confidences are NaN or infinite",
            )
            for bad in (np.nan, np.inf)
        ),
    ],
)
def test_every_sample_has_a_number(good: Path, change: Callable[..., object], finding: str) -> None:
    arrays = arrays_of(good)
    change(arrays)
    change_outputs(good, arrays)
    assert said(good) == [f"refused {finding}"]


def test_permuted_outputs(good: Path) -> None:
    permuted = {name: np.random.default_rng(0).permutation(array) for name, array in arrays_of(good).items()}
    change_outputs(good, permuted, forge_hashes=False)
    assert said(good) == [
        f"refused outputs: the outputs of {study} · {model} are not those that run.json was computed from "
        "(their hash differs)."
        for study, model in EVERY
    ]


def test_permuted_outputs_with_forged_hashes_do_not_give_the_claims(good: Path) -> None:
    permuted = {name: np.random.default_rng(0).permutation(array) for name, array in arrays_of(good).items()}
    change_outputs(good, permuted)
    findings = said(good)
    assert {each.split(":")[0] for each in findings} == {"refused metrics", "refused summary"}
    assert findings[0].startswith("refused metrics: augrc of iid · one is claimed as ")
    assert findings[5] == "refused metrics: and 3 more of this kind.", "two metrics of four units"


def test_outputs_in_another_precision(good: Path) -> None:
    change_outputs(good, {name: array.astype(np.float64) for name, array in arrays_of(good).items()})
    assert said(good) == [
        f"refused samples: the confidences of {study} · {model} are stored as float64; a run stores them as float32"
        for study, model in EVERY
    ]


def test_outputs_that_only_double_precision_tells_apart(good: Path) -> None:
    """They are stored as they are, and the gate computes from them what they give."""
    close = {name: 1 - 1e-12 * rankdata(array) for name, array in arrays_of(good).items()}
    change_outputs(good, {name: array.astype(np.float32) for name, array in close.items()})
    claim_what_outputs_give(good)
    assert any("the same for every sample" in each for each in said(good))
    change_outputs(good, close)
    assert {each.split(":")[0] for each in said(good)} == {"refused metrics", "refused summary"}
    claim_what_outputs_give(good)
    assert said(good) == []


def augrc_of(document: dict[str, Any]) -> dict[str, Any]:
    records: list[dict[str, Any]] = unit_of(document, "iid", "one")["records"]
    return next(record for record in records if record["metric"] == "augrc")


@pytest.mark.parametrize("factor", [1 - 1e-6, 1 + 1e-6, 1 + 2e-9])
def test_one_number_that_is_slightly_better(good: Path, factor: float) -> None:
    claims: list[float] = []

    def polish(document: dict[str, Any]) -> None:
        record = augrc_of(document)
        claims.append(record["value"])
        record["value"] *= factor
        claims.append(record["value"])

    change_run(good, polish)
    true, claimed = claims
    assert said(good) == [
        f"refused metrics: augrc of iid · one is claimed as {claimed!r} (n = {SAMPLES}), "
        f"its outputs give {true!r} (n = {SAMPLES})."
    ]


def test_rounding_is_no_forgery(good: Path) -> None:
    change_run(good, lambda document: augrc_of(document).update(value=augrc_of(document)["value"] * (1 + 5e-10)))
    assert said(good) == []


@pytest.mark.parametrize(
    ("change", "claimed"),
    [({"value": None, "status": "undefined"}, "undefined"), ({"value": 0.0}, f"0.0 (n = {SAMPLES})")],
)
def test_status_and_value_must_be_those_of_the_outputs(good: Path, change: dict[str, Any], claimed: str) -> None:
    change_run(good, lambda document: augrc_of(document).update(change))
    (line,) = said(good)
    assert line.startswith(f"refused metrics: augrc of iid · one is claimed as {claimed}, its outputs give 0.0")


def test_counts_must_be_those_of_the_outputs(good: Path) -> None:
    change_run(good, lambda document: augrc_of(document).update(n=SAMPLES + 1))
    (line,) = said(good)
    assert f"(n = {SAMPLES + 1}), its outputs give" in line


def test_metrics_that_are_not_measured_missing_or_double(good: Path) -> None:
    def change(document: dict[str, Any]) -> None:
        unit_of(document, "iid", "one")["records"].append(augrc_of(document) | {"metric": "auprc"})
        unit_of(document, "iid", "two")["records"].pop()
        records = unit_of(document, "shift", "one")["records"]
        records.append(records[0])

    change_run(good, change)
    assert said(good) == [
        "refused metrics: iid · one claims auprc, which toy@1 does not measure.",
        "refused metrics: shift · one claims a metric twice.",
        "refused metrics: iid · two lacks failure_auroc.",
    ]


@pytest.mark.parametrize("field", ["value", "low", "high"])
def test_the_summary_follows_from_the_outputs(good: Path, field: str) -> None:
    def change(document: dict[str, Any]) -> None:
        row = next(row for row in document["summary"] if (row["study"], row["metric"]) == ("shift", "augrc"))
        row[field] *= 1 - 1e-6

    change_run(good, change)
    (line,) = said(good)
    assert line.startswith("refused summary: the summary claims augrc of shift as ")


def test_the_summary_has_all_its_rows(good: Path) -> None:
    change_run(good, lambda document: document["summary"].pop())
    assert said(good) == ["refused summary: the summary in run.json does not have the rows that its units give."]


def test_claims_that_follow_from_other_outputs_are_those_of_another_method(good: Path) -> None:
    """What no recomputation can find: outputs that method.py does not give. That is what reproducing is for."""
    rng = np.random.default_rng(0)
    noise = {name: rng.normal(size=array.shape).astype(np.float32) for name, array in arrays_of(good).items()}
    change_outputs(good, noise)
    assert {each.split(":")[0] for each in said(good)} == {"refused metrics", "refused summary"}
    claim_what_outputs_give(good)
    assert said(good) == []
