"""Runs of nnActive as its authors release them: curves and scores from their JSON files, without any training.

Lüth et al. 2025, "nnActive: A Framework for Evaluation of Active Learning in 3D Biomedical Segmentation". An experiment
is a folder with `config.json` and `loop_000/summary.json`, `loop_001/summary.json`, ...; `auc.json`, `ppm.json` and
`beta.json` are the authors' own analysis of a setting. Their `analysis.pkl` is never opened: a pickle can run any code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.metrics.budget_curve import aubc, pairwise_penalty
from harness.metrics.segmentation import mean_dice
from harness.spec.errors import UsageError
from harness.storage import IntegrityError
from harness.tracks.query.loop_files import read_loops

if TYPE_CHECKING:
    import pandas as pd

_LOOP = re.compile(r"loop_(\d{3,})")
_RUN = ["dataset", "setting", "method", "seed"]
_ROUNDING = 1e-9


def read_runs(results: Path, raw: Path | None = None) -> pd.DataFrame:
    """Every experiment below a folder of results, one row per loop, sorted.

    Columns: dataset, setting (trainer, patch, start and query as in the names of nnActive's analysis folders), method,
    seed, loop, loops (how many are planned), patches (annotated so far), value (mean Dice on held-out cases). Dice is
    computed from the counts of single cases where they are there. Patches are counted in the loop files of the
    experiment's folder in `raw`, or else follow from the configuration.

    Raises UsageError for a folder without experiments, and IntegrityError for damaged files, a loop left out, counts
    that contradict their own mean, and two runs of one setting, method and seed.
    """
    import pandas as pd

    _refuse_pickles(results)
    folders = sorted(path.parent for path in Path(results).rglob("config.json"))
    if not folders:
        raise UsageError(f"{results} holds no experiment of nnActive: no folder below it has a config.json.")
    frame = pd.DataFrame([row for folder in folders for row in _rows(folder, raw)])
    if frame.empty:
        raise UsageError(f"no experiment below {results} has a loop_000/summary.json yet.")
    frame = frame.sort_values([*_RUN, "loop"], ignore_index=True)
    if frame.duplicated([*_RUN, "loop"]).any():
        twice = frame.loc[frame.duplicated([*_RUN, "loop"]), _RUN].iloc[0].to_dict()
        raise IntegrityError(f"{results} holds two runs of {twice}; keep one of them.")
    return frame


def run_scores(runs: pd.DataFrame) -> pd.DataFrame:
    """AUBC and final Dice of every complete run of the table of `read_runs`: its key columns, aubc, final.

    Runs that lack a loop are left out, as in nnActive.
    """
    import pandas as pd

    rows = []
    for key, of in runs.groupby(_RUN, sort=True):
        curve = of.sort_values("loop")["value"].to_numpy(dtype=float)
        if len(curve) == of["loops"].iloc[0] > 1:
            rows.append((*key, float(aubc(curve)), float(curve[-1])))
    return pd.DataFrame(rows, columns=[*_RUN, "aubc", "final"])


def read_auc(path: Path) -> pd.DataFrame:
    """`auc.json`: method, measure (such as "Mean Dice AUBC"), mean, std (over seeds), count. Sorted."""
    import pandas as pd

    cells: dict[tuple[str, str], dict[str, float]] = {}
    for column, values in _object(path).items():
        match = re.fullmatch(r"\('(.+)', '(mean|std|count)'\)", column)
        if match is None or not isinstance(values, dict):
            raise IntegrityError(f"{path} is no auc.json of nnActive: it has the column {column!r}.")
        for method, value in values.items():
            cells.setdefault((method, match[1]), {})[match[2]] = float("nan") if value is None else value
    rows = [{"method": method, "measure": measure, **of} for (method, measure), of in sorted(cells.items())]
    return pd.DataFrame(rows, columns=["method", "measure", "mean", "std", "count"])


def read_ppm(path: Path) -> pd.DataFrame:
    """`ppm.json`: share of the budgets at which the row's method is significantly better than the column's.

    The file itself holds the transpose. Methods are sorted.
    """
    import pandas as pd

    matrix = _object(path).get("matrix")
    rows = matrix if isinstance(matrix, dict) else {}
    names = sorted(rows)
    if not names or any(not isinstance(row, dict) or sorted(row) != names for row in rows.values()):
        raise IntegrityError(f"{path} is no ppm.json of nnActive: it has no square matrix of methods.")
    return pd.DataFrame(rows, dtype=float).loc[names, names]


def read_beta(path: Path) -> pd.DataFrame:
    """`beta.json`: method, efficiency, variance. What the file calls `beta_std` is the variance of the fit. Sorted."""
    import pandas as pd

    content = _object(path)
    names = ("Query Method", "beta", "beta_std")
    if set(content) != set(names) or len({tuple(sorted(content[name])) for name in names}) != 1:
        raise IntegrityError(f"{path} is no beta.json of nnActive: it needs the columns {', '.join(names)}.")
    rows = [tuple(content[name][key] for name in names) for key in content["beta"]]
    return pd.DataFrame(rows, columns=["method", "efficiency", "variance"]).sort_values("method", ignore_index=True)


def compare(runs: pd.DataFrame, analysis: Path) -> pd.DataFrame:
    """What the authors' analysis of one setting says beside what its runs give.

    `runs` as from `read_runs`, of one data set and setting; `analysis` is the folder with `auc.json` and `ppm.json`,
    each compared if it is there. Result: quantity, method, rival (of a penalty), ours, published, difference.
    Raises UsageError for several settings or neither file.
    """
    import pandas as pd

    if len(runs[["dataset", "setting"]].drop_duplicates()) != 1:
        raise UsageError("name the runs of one data set and setting to compare them with its analysis.")
    files = {name: Path(analysis) / name for name in ("auc.json", "ppm.json")}
    if not any(path.is_file() for path in files.values()):
        raise UsageError(f"{analysis} has neither auc.json nor ppm.json.")
    rows = [*_areas(runs, files["auc.json"]), *_penalties(runs, files["ppm.json"])]
    frame = pd.DataFrame(rows, columns=["quantity", "method", "rival", "ours", "published"])
    return frame.assign(difference=frame["ours"] - frame["published"])


def read_full_performance(folder: Path) -> pd.DataFrame:
    """Mean Dice of trainings on all labels, from files `<data set>__<trainer>.json`: dataset, trainer, dice. Sorted."""
    import pandas as pd

    rows = []
    for path in sorted(Path(folder).glob("*__*.json")):
        dataset, _, trainer = path.stem.strip().partition("__")  # one of nnActive's names ends in a blank
        rows.append((dataset, trainer, _mean_dice(_object(path), path)))
    if not rows:
        raise UsageError(f"{folder} holds no file <data set>__<trainer>.json.")
    return pd.DataFrame(rows, columns=["dataset", "trainer", "dice"]).sort_values(
        ["dataset", "trainer"], ignore_index=True
    )


def _rows(folder: Path, raw: Path | None) -> Iterator[dict[str, Any]]:
    config = _object(folder / "config.json")
    loops = sorted(
        (int(match[1]), path / "summary.json")
        for path in folder.iterdir()
        if (match := _LOOP.fullmatch(path.name)) and (path / "summary.json").is_file()
    )
    if [number for number, _ in loops] != list(range(len(loops))):
        raise IntegrityError(f"{folder} has loop {loops[-1][0]}, but not all before it.")
    try:
        patches = _patches(folder, config, raw, len(loops))
        run = {
            "dataset": config["dataset"],
            "setting": _setting(config),
            "method": config["uncertainty"],
            "seed": int(config["seed"]),
            "loops": int(config["query_steps"]),
        }
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"{folder / 'config.json'} is no configuration of nnActive ({error!r}).") from error
    for number, path in loops:
        yield {**run, "loop": number, "patches": patches[number], "value": _mean_dice(_object(path), path)}


def _setting(config: Mapping[str, Any]) -> str:
    parts = {
        "tr": config["trainer"],
        "patch": "_".join(str(length) for length in config["patch_size"]),
        "sb": config["starting_budget"],
        "sbs": config["starting_budget_size"],
        "qs": config["query_size"],
    }
    return "__".join(f"{name}-{value}" for name, value in parts.items())


def _patches(folder: Path, config: Mapping[str, Any], raw: Path | None, loops: int) -> list[int]:
    """Annotated patches after each loop."""
    if raw is None:
        return [int(config["starting_budget_size"]) + k * int(config["query_size"]) for k in range(loops)]
    new = [len(patches) for patches in read_loops(Path(raw) / folder.name)]
    if len(new) < loops:
        raise IntegrityError(f"{folder} has {loops} evaluated loops, {Path(raw) / folder.name} patches of {len(new)}.")
    return [sum(new[: k + 1]) for k in range(loops)]


def _mean_dice(summary: Mapping[str, Any], path: Path) -> float:
    """Of nnU-Net's summary, from the counts of single cases if it has them. They must agree with its mean."""
    import numpy as np

    try:
        stated = float(summary["foreground_mean"]["Dice"])
        labels = list(summary["mean"])
        by_class = [float(summary["mean"][label]["Dice"]) for label in labels]
        cases = [
            [[0, 0, 0], *([case["metrics"][label][name] for name in ("TP", "FP", "FN")] for label in labels)]
            for case in summary.get("metric_per_case", ())
        ]
        value = mean_dice(np.array(cases)) if cases else float(np.mean(by_class))
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"{path} is no summary of nnU-Net ({error!r}).") from error
    if not abs(value - stated) <= _ROUNDING:
        raise IntegrityError(f"{path} states a mean Dice of {stated:g}, but its own parts give {value:g}.")
    return value


def _areas(runs: pd.DataFrame, path: Path) -> Iterator[tuple[str, str, str, float, float]]:
    if not path.is_file():
        return
    of_method = run_scores(runs).groupby("method")
    ours = {"Mean Dice AUBC": of_method["aubc"], "Mean Dice Final": of_method["final"]}
    for row in read_auc(path).to_dict(orient="records"):
        if row["measure"] in ours and row["method"] in of_method.groups:
            of = ours[row["measure"]].get_group(row["method"])
            for name, value in (("mean", of.mean()), ("std", of.std()), ("count", len(of))):
                yield f"{row['measure']} {name}", row["method"], "", float(value), float(row[name])


def _penalties(runs: pd.DataFrame, path: Path) -> Iterator[tuple[str, str, str, float, float]]:
    if not path.is_file():
        return
    published = read_ppm(path)
    common = [name for name in published.index if name in set(runs["method"])]
    if len(common) < 2:
        return
    ours = pairwise_penalty(runs[runs["method"].isin(common)], budget="patches")
    for better in common:
        for worse in common:
            if better != worse:
                pair = (float(table.loc[better, worse]) for table in (ours, published))
                yield ("pairwise penalty", better, worse, *pair)


def _object(path: Path) -> dict[str, Any]:
    """A JSON object, in which nnU-Net writes NaN for a class that a case does not have."""
    _refuse_pickles(path)
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{path} is not valid JSON: {error}.") from error
    if not isinstance(content, dict):
        raise IntegrityError(f"{path} holds no JSON object.")
    return content


def _refuse_pickles(path: Path) -> None:
    if Path(path).suffix in (".pkl", ".pickle"):
        raise UsageError(f"{path} is a pickle, which can run any code; give the JSON files that lie beside it.")
