"""nnActive's released files: curves without training, and numbers beside the authors' own."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from harness.data.catalog import find_protocol
from harness.spec.errors import UsageError
from harness.storage import IntegrityError
from harness.tracks.query.published import (
    compare,
    read_auc,
    read_beta,
    read_full_performance,
    read_ppm,
    read_runs,
    run_scores,
)

SHARED = Path(os.environ.get("HARNESS_SHARED", Path(__file__).resolve().parents[4] / "shared"))
RELEASED = SHARED / "data/published/nnactive_full_data"
CONFIG = {
    "patch_size": [20, 20, 20],
    "base_id": 4,
    "starting_budget": "random-label2-all-classes",
    "starting_budget_size": 20,
    "trainer": "nnActiveTrainer_200epochs",
    "query_size": 20,
    "query_steps": 3,
    "dataset": "Dataset004_Hippocampus",
}
# Released values: Hippocampus, 20 + 20 patches.
CURVES = {
    ("random", 12346): [0.87395, 0.878, 0.881],
    ("random", 12345): [0.86763, 0.87, 0.879],
    ("power_bald", 12345): [0.86763, 0.875, 0.8815],
    ("power_bald", 12346): [0.87395, 0.879, 0.88215],
}


def summary(dice: float) -> dict:
    classes = {label: {"Dice": dice + shift, "n_ref": 10.0} for label, shift in (("1", 0.01), ("2", -0.01))}
    return {"foreground_mean": {"Dice": dice}, "mean": classes, "metric_per_case": []}


def write_run(root: Path, method: str, seed: int, summaries: list[dict], **config) -> Path:
    folder = root / f"Dataset{len(list(root.glob('Dataset*'))):03d}_{method}-{seed}"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({**CONFIG, "uncertainty": method, "seed": seed, **config}))
    for loop, content in enumerate(summaries):
        (folder / f"loop_{loop:03d}").mkdir()
        (folder / f"loop_{loop:03d}" / "summary.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def results(tmp_path: Path) -> Path:
    root = tmp_path / "nnActive_results"
    for (method, seed), curve in CURVES.items():
        write_run(root, method, seed, [summary(dice) for dice in curve])
    return root


def test_curves_are_those_of_the_files(results: Path) -> None:
    runs = read_runs(results)
    assert set(runs["setting"]) == {
        "tr-nnActiveTrainer_200epochs__patch-20_20_20__sb-random-label2-all-classes__sbs-20__qs-20"
    }
    for (method, seed), curve in CURVES.items():
        own = runs[(runs["method"] == method) & (runs["seed"] == seed)]
        assert own["value"].tolist() == pytest.approx(curve, abs=1e-12)
        assert own["patches"].tolist() == [20, 40, 60]
        assert own["loop"].tolist() == [0, 1, 2]


def test_scores_are_areas_of_complete_runs(results: Path) -> None:
    write_run(results, "bald", 12345, [summary(0.86763)])
    scores = run_scores(read_runs(results)).set_index(["method", "seed"])
    assert set(scores.index) == set(CURVES)
    for key, (a, b, c) in CURVES.items():
        assert scores.loc[key, "aubc"] == pytest.approx((a / 2 + b + c / 2) / 2)
        assert scores.loc[key, "final"] == pytest.approx(c)


def counted(tp: int, fp: int, fn: int) -> dict:
    dice = 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else float("nan")
    return {"TP": tp, "FP": fp, "FN": fn, "TN": 5, "Dice": dice}


def test_dice_comes_from_the_counts_of_cases(tmp_path: Path) -> None:
    """Class 1: (3/4 + 1)/2. Class 2 is in one case only, where nnU-Net writes NaN for the other: 1/2."""
    cases = [{"1": counted(3, 1, 1), "2": counted(0, 0, 0)}, {"1": counted(4, 0, 0), "2": counted(1, 1, 1)}]
    content = {
        "foreground_mean": {"Dice": (7 / 8 + 1 / 2) / 2},
        "mean": {"1": {"Dice": 7 / 8}, "2": {"Dice": 1 / 2}},
        "metric_per_case": [{"metrics": case} for case in cases],
    }
    write_run(tmp_path, "random", 1, [content] * 2)
    assert read_runs(tmp_path)["value"].tolist() == pytest.approx([11 / 16] * 2)
    content["foreground_mean"]["Dice"] = 0.7
    write_run(tmp_path, "random", 2, [content])
    with pytest.raises(IntegrityError, match=r"states a mean Dice of 0.7, but its own parts give 0.6875"):
        read_runs(tmp_path)


def test_patches_are_counted_in_loop_files(results: Path, tmp_path: Path) -> None:
    patch = {"file": "a.nii.gz", "coords": [0, 0, 0], "size": [2, 2, 2]}
    for folder in results.iterdir():
        (tmp_path / "raw" / folder.name).mkdir(parents=True)
        for loop, new in enumerate((18, 20, 7)):
            path = tmp_path / "raw" / folder.name / f"loop_{loop:03d}.json"
            path.write_text(json.dumps({"patches": [patch] * new}))
    assert set(read_runs(results, tmp_path / "raw")["patches"]) == {18, 38, 45}
    path.unlink()
    with pytest.raises(IntegrityError, match="3 evaluated loops"):
        read_runs(results, tmp_path / "raw")


def write_analysis(folder: Path, areas: dict[str, float], beats: dict[str, dict[str, float]]) -> None:
    """`beats[a][b]`: share of the budgets at which a is better than b; the file holds the transpose."""
    folder.mkdir()
    auc = {
        "('Mean Dice AUBC', 'mean')": areas,
        "('Mean Dice AUBC', 'std')": dict.fromkeys(areas, None),
        "('Mean Dice AUBC', 'count')": dict.fromkeys(areas, 2),
    }
    (folder / "auc.json").write_text(json.dumps(auc))
    matrix = {worse: {better: beats[better][worse] for better in beats} for worse in beats}
    (folder / "ppm.json").write_text(json.dumps({"matrix": matrix, "alpha": 0.05, "max_pos_ent": 1}))
    (folder / "analysis.pkl").write_bytes(b"never opened")


def test_the_authors_numbers_stand_beside_ours(results: Path, tmp_path: Path) -> None:
    areas = {
        method: np.mean([(a / 2 + b + c / 2) / 2 for (name, _), (a, b, c) in CURVES.items() if name == method])
        for method in ("random", "power_bald")
    }
    beats = {"random": {"random": 0, "power_bald": 0}, "power_bald": {"random": 1 / 3, "power_bald": 0}}
    write_analysis(tmp_path / "analysis", areas, beats)
    table = compare(read_runs(results), tmp_path / "analysis").set_index(["quantity", "method", "rival"])
    for method in areas:
        assert abs(table.loc[("Mean Dice AUBC mean", method, ""), "difference"]) < 1e-12
        assert table.loc[("Mean Dice AUBC count", method, ""), "ours"] == 2
    assert table.loc[("pairwise penalty", "power_bald", "random"), "published"] == pytest.approx(1 / 3)
    # Differences of the two seeds, loop by loop: 0 and 0; 0.005 and 0.001; 0.0025 and 0.00115. With one degree of
    # freedom t must pass 12.7, which (a + b) / |a - b| does for none.
    assert table.loc[("pairwise penalty", "power_bald", "random"), "ours"] == 0


def test_tables_of_the_authors_are_read_as_they_mean_them(tmp_path: Path) -> None:
    write_analysis(tmp_path / "a", {"b": 0.5, "a": 0.4}, {"a": {"a": 0, "b": 0.2}, "b": {"a": 0.6, "b": 0}})
    penalty = read_ppm(tmp_path / "a" / "ppm.json")
    assert (penalty.loc["a", "b"], penalty.loc["b", "a"]) == (0.2, 0.6)
    areas = read_auc(tmp_path / "a" / "auc.json")
    assert areas[["method", "measure", "mean"]].to_numpy().tolist() == [
        ["a", "Mean Dice AUBC", 0.4],
        ["b", "Mean Dice AUBC", 0.5],
    ]
    assert areas["std"].isna().all()
    beta = {
        "Query Method": {"0": "random", "1": "bald"},
        "beta": {"0": 3.0, "1": 5.0},
        "beta_std": {"0": 0.1, "1": 0.2},
    }
    (tmp_path / "beta.json").write_text(json.dumps(beta))
    assert read_beta(tmp_path / "beta.json").to_numpy().tolist() == [["bald", 5.0, 0.2], ["random", 3.0, 0.1]]


@pytest.mark.parametrize("reader", [read_auc, read_ppm, read_beta, read_runs])
@pytest.mark.parametrize("name", ["analysis.pkl", "analysis_df.pickle"])
def test_a_pickle_is_never_opened(tmp_path: Path, reader, name: str) -> None:
    (tmp_path / name).write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    with pytest.raises(UsageError, match="is a pickle, which can run any code"):
        reader(tmp_path / name)


@pytest.mark.parametrize("reader", [read_auc, read_ppm, read_beta])
@pytest.mark.parametrize("text", ["{", "[1]", '{"x": 1}', '{"matrix": {"a": {"b": 1}}}', '{"beta": {}}', "[" * 100_000])
def test_damaged_tables_are_refused(tmp_path: Path, reader, text: str) -> None:
    (tmp_path / "file.json").write_text(text)
    with pytest.raises(IntegrityError):
        reader(tmp_path / "file.json")


def test_folders_without_runs_are_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no experiment"):
        read_runs(tmp_path)
    write_run(tmp_path, "random", 1, [])
    with pytest.raises(UsageError, match=r"no experiment .* has a loop_000"):
        read_runs(tmp_path)
    write_run(tmp_path, "random", 2, [summary(0.5)])
    runs = read_runs(tmp_path)
    with pytest.raises(UsageError, match=r"neither auc\.json nor ppm\.json"):
        compare(runs, tmp_path)


def test_damaged_runs_are_refused(results: Path) -> None:
    folder = write_run(results, "bald", 1, [summary(0.5)] * 3)
    (folder / "loop_001" / "summary.json").unlink()
    with pytest.raises(IntegrityError, match="loop 2, but not all before it"):
        read_runs(results)
    (folder / "loop_001" / "summary.json").write_text(json.dumps({"mean": {}}))
    with pytest.raises(IntegrityError, match="no summary of nnU-Net"):
        read_runs(results)
    (folder / "loop_001" / "summary.json").write_text(json.dumps(summary(0.5)))
    (folder / "config.json").write_text(json.dumps({"seed": 1}))
    with pytest.raises(IntegrityError, match="no configuration of nnActive"):
        read_runs(results)


def test_two_runs_of_one_seed_are_refused(results: Path) -> None:
    write_run(results, "random", 12345, [summary(0.9)] * 3)
    with pytest.raises(IntegrityError, match="two runs of"):
        read_runs(results)


def test_two_settings_are_not_compared(results: Path) -> None:
    write_run(results, "random", 12345, [summary(0.9)] * 3, query_size=40)
    with pytest.raises(UsageError, match="one data set and setting"):
        compare(read_runs(results), results)


@pytest.mark.skipif(not RELEASED.is_dir(), reason="needs nnActive's full-data results (HARNESS_SHARED)")
def test_the_protocol_has_the_released_full_performance() -> None:
    released = read_full_performance(RELEASED).set_index(["dataset", "trainer"])["dice"]
    assert len(released) == 24
    protocol = find_protocol("query-nnactive@1").benchmark
    folders = {each.id: each.folder for each in protocol.source.datasets}
    for study in protocol.studies:
        trainer = "nnUNetTrainer" if study.dataset == "hippocampus" else "nnUNetTrainer_200epochs"
        assert study.full_performance == pytest.approx(released[folders[study.dataset], trainer], abs=1e-12)
    assert released["Dataset654_word", "nnUNetTrainer_200epochs"] == pytest.approx(0.80677, abs=1e-5)


def test_the_protocol_has_every_setting() -> None:
    """Budgets and patches of nnActive's table, one by one."""
    protocol = find_protocol("query-nnactive@1").benchmark
    table = {s.id: (s.start, s.query, s.loops, s.patches.size, s.patches.max_per_image) for s in protocol.studies}
    patch = {"acdc": (4, 40, 40), "amos": (32, 74, 74), "hippocampus": (20, 20, 20), "kits": (64, 64, 64)}
    budgets = {"acdc": (30, 60, 90), "amos": (40, 200, 500), "hippocampus": (20, 40, 60), "kits": (40, 200, 500)}
    expected = {
        f"{name}-{regime}": (budget, budget, 5, patch[name], 20)
        for name in patch
        for regime, budget in zip(("low", "medium", "high"), budgets[name], strict=True)
    }
    expected |= {
        "lits": (150, 150, 5, (28, 44, 39), 150),
        "word": (800, 800, 5, (29, 74, 87), 800),
        "mama-mia": (100, 100, 5, (16, 48, 57), 100),
        "toothfairy2": (2100, 2100, 5, (33, 34, 35), 50),
    }
    assert table == expected
    assert protocol.seeds == (12345, 12346, 12347, 12348)
    assert {(t.folds, t.epochs, t.iterations) for t in protocol.trainings} == {(5, 200, 250)}
