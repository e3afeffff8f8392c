"""How fast statistics, boards and large evaluations are, beside plain code or what they may take. By hand: `make bench`.

AUGRC stands beside a loop over samples, as its authors have it, and, where that is installed, beside torch-uncertainty
(`pip install --no-deps torch-uncertainty torchmetrics lightning-utilities`); ranks beside the same in pandas, once with
one pass of groups for each resample and once with a loop over metrics and cells. All give the same numbers, which is
checked first. Processor time of one thread, the best of three, per method and resample where it is of a bootstrap of 13
methods. These share the draws, which take most of the time; beside it stands a bootstrap of one method alone. A board's
time is by the clock, with two processes. Memory is the largest sum over all processes of a run of what each of them
holds, looked at 50 times a second.

Writes runs/bench/evaluation.md and a plot (another folder: first argument; some parts only: --only augrc ranks ...).
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harness.metrics import augrc, paired_bootstrap
from harness.statistics import bootstrap_weights, mean_ranks
from tests.performance.bench_results import FOLDER, Results, Row

METHODS, BY_LOOP = 13, 2
SIZES, RESAMPLES = (10**4, 10**5, 10**6), 500
"""One resample of what is compared with is timed and stands for all."""
VALUE, BOOTSTRAP, RANKS = 5.0, 100.0, 50.0
REPLICATES = 1000
LARGE, CLASSES = 806_032, 10
BOARD_SECONDS, NEW_SECONDS = 20.0, 2.0
GIGABYTES = {0: 1.0, 25: 1.5}
"""Members of Monte-Carlo dropout -> what an evaluation may hold."""

Score = Callable[[np.ndarray, np.ndarray], float]


def augrc_rows() -> dict[str, list[Row]]:
    """Compared with -> rows."""
    others: dict[str, Score] = {"loop over samples": augrc_by_loop}
    by_torch = augrc_of_torch_uncertainty()
    if by_torch is not None:
        others["torch-uncertainty"] = by_torch
    rows: dict[str, list[Row]] = {name: [] for name in others}
    for samples in SIZES:
        rng = np.random.default_rng(samples)
        residual = (rng.random(samples) < 0.1).astype(float)
        confidences = {f"csf{i}": rng.random(samples) - 0.3 * residual for i in range(METHODS)}
        confidence = confidences["csf0"]
        value = augrc(confidence, residual)
        draws = paired_bootstrap(confidences, residual, augrc, n=BY_LOOP).replicates[:, 0]
        picked = [np.repeat(np.arange(samples), row) for row in bootstrap_weights(samples, BY_LOOP, 0)]
        ours = seconds(partial(augrc, confidence, residual))
        many = seconds(partial(paired_bootstrap, confidences, residual, augrc, n=RESAMPLES)) / RESAMPLES / METHODS
        alone = seconds(partial(paired_bootstrap, {"": confidence}, residual, augrc, n=RESAMPLES)) / RESAMPLES
        for name, other in others.items():
            close = 1e-12 if other is augrc_by_loop else 1e-5  # torch-uncertainty computes in single precision
            assert abs(other(confidence, residual) - value) <= close
            if other is augrc_by_loop:
                again = [other(confidence[rows_], residual[rows_]) for rows_ in picked]
                assert np.abs(again - draws).max() <= close
            theirs = seconds(partial(other, confidence, residual))
            resampled = seconds(partial(resample, rng, other, confidence, residual))
            rows[name] += [
                Row(f"AUGRC of {samples:,} samples, {name}", 1e3 * ours, 1e3 * theirs, VALUE),
                Row(
                    f"AUGRC, bootstrap of {samples:,} samples, {name}",
                    1e3 * many,
                    1e3 * resampled,
                    BOOTSTRAP,
                    note=f"one method alone: {1e3 * alone:.3g} ms, {resampled / alone:.0f} times",
                ),
            ]
    return rows


def resample(rng: np.random.Generator, score: Score, confidence: np.ndarray, residual: np.ndarray) -> float:
    drawn = rng.integers(len(residual), size=len(residual))
    return score(confidence[drawn], residual[drawn])


def augrc_by_loop(confidence: np.ndarray, residual: np.ndarray) -> float:
    """Trapezoids under the generalized risk, threshold by threshold from the lowest confidence up."""
    order, samples = np.argsort(confidence), len(residual)
    mass, area = residual.sum(), 0.0
    coverage, risk = 1.0, mass / samples
    for place in range(samples):
        mass -= residual[order[place]]
        if place == samples - 1 or confidence[order[place]] != confidence[order[place + 1]]:
            left, lower = (samples - place - 1) / samples, mass / samples
            area += (coverage - left) * (risk + lower) / 2
            coverage, risk = left, lower
    return float(area)


def augrc_of_torch_uncertainty() -> Score | None:
    """Its AUGRC of untied confidences, brought to the whole range of coverage; None where it is not installed.

    Of the package only this file is loaded: the others need libraries that have nothing to do with it.
    """
    package = importlib.util.find_spec("torch_uncertainty")
    if package is None or package.origin is None or importlib.util.find_spec("torchmetrics") is None:
        return None
    import torch

    path = Path(package.origin).parent / "metrics" / "classification" / "risk_coverage.py"
    spec = importlib.util.spec_from_file_location("risk_coverage_of_torch_uncertainty", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.set_num_threads(1)
    warnings.filterwarnings(
        "ignore", message="The ``compute`` method"
    )  # `update` takes logits, which there are none of

    def score(confidence: np.ndarray, residual: np.ndarray) -> float:
        metric, samples = module.AUGRC(), len(residual)
        metric.scores.append(torch.from_numpy(confidence))
        metric.errors.append(torch.from_numpy(residual))
        # Its curve begins at the most confident sample, and its area is divided by the width that is left.
        return float(metric.compute()) * (1 - 1 / samples)

    return score


def rank_rows() -> Iterator[Row]:
    """17 methods, 20 metrics of 3 criteria, 9 cells, 50 observations; reading the table is shared by all resamples."""
    levels = [list("abcdefghijklmnopq"), range(9), range(20), [f"{each:02}" for each in range(50)]]
    names = ["method", "cell", "metric", "observation"]
    frame = pd.MultiIndex.from_product(levels, names=names).to_frame(index=False)
    frame["value"] = np.random.default_rng(0).normal(size=len(frame))
    frame = frame.assign(status="ok", direction="lower", criterion=frame["metric"].map(lambda each: f"c{each // 7}"))
    weights = bootstrap_weights(50, BY_LOOP, 0)
    resamples = [np.repeat(levels[3], row) for row in weights]
    found = {each.criterion: each.means for each in mean_ranks(frame, cell="cell", replicates=BY_LOOP)}
    ours = seconds(partial(mean_ranks, frame, cell="cell", replicates=REPLICATES), 1) / REPLICATES
    passes = {"groups in pandas": ranks_by_groups, "loops in pandas": ranks_by_loops}
    for name, ranks in passes.items():
        for number, drawn in enumerate(resamples, start=1):
            for criterion, mean in ranks(frame, drawn).items():
                expected = found[criterion].iloc[number]
                assert (mean[expected.index] - expected).abs().max() <= 1e-12
        theirs = seconds(partial(ranks, frame, resamples[0]))
        yield Row(f"Ranks with a bootstrap, {name}", 1e3 * ours, 1e3 * theirs, RANKS)


def ranks_by_groups(frame: pd.DataFrame, drawn: np.ndarray) -> Mapping[str, pd.Series[float]]:
    """Criterion -> mean ranks of methods in one resample of observations, each step for all metrics and cells at once."""
    sample = frame.merge(pd.DataFrame({"observation": drawn}))
    values = sample.groupby(["metric", "cell"])["value"]
    low, high = values.transform("quantile", 0.025), values.transform("quantile", 0.975)
    scaled = (sample["value"].clip(low, high) - low) / (high - low)
    keys = ["criterion", "metric", "cell", "method"]
    medians = sample.assign(scaled=scaled.where(high > low, 0.5)).groupby(keys)["scaled"].median()
    scores = medians.groupby(["criterion", "metric", "method"]).mean().round(12)
    means = scores.groupby(["criterion", "metric"]).rank().groupby(["criterion", "method"]).mean()
    return {criterion: means[criterion] for criterion in frame["criterion"].unique()}


def ranks_by_loops(frame: pd.DataFrame, drawn: np.ndarray) -> Mapping[str, pd.Series[float]]:
    """The same, metric by metric and cell by cell."""
    sample = frame.merge(pd.DataFrame({"observation": drawn}))
    ranks: dict[str, list[pd.Series[float]]] = {}
    for (criterion, _), of_metric in sample.groupby(["criterion", "metric"]):
        scores = []
        for _, here in of_metric.groupby("cell"):
            low, high = here["value"].quantile([0.025, 0.975])
            scaled = (here["value"].clip(low, high) - low) / (high - low) if high > low else here["value"] * 0 + 0.5
            scores.append(scaled.groupby(here["method"]).median())
        ranks.setdefault(criterion, []).append(pd.concat(scores, axis=1).mean(axis=1).round(12).rank())
    return {criterion: pd.concat(each, axis=1).mean(axis=1) for criterion, each in ranks.items()}


def board_rows() -> Iterator[Row]:
    from tests.performance.board_speed import builds

    limits = {"from nothing": BOARD_SECONDS, "one new submission": NEW_SECONDS}
    for name, (clock, processors) in builds(200, 9_000, 20, 2):
        if name in limits:
            note = f"{processors:.1f} s of processors"
            yield Row(f"Board of 200 submissions, {name}", clock, limits[name], note=note)


def memory_rows() -> Iterator[Row]:
    for members, limit in GIGABYTES.items():
        with tempfile.TemporaryDirectory() as folder:
            benchmark = write_large_benchmark(Path(folder), members)
            peak = peak_of_tree(
                [sys.executable, "-m", "harness", "evaluate", "msr", "--benchmark", str(benchmark), "--out", folder],
                {**os.environ, "HARNESS_CACHE": f"{folder}/cache"},
            )
            size = sum(path.stat().st_size for path in Path(folder).glob("*.npz"))
        name = f"Memory, {LARGE:,} × {CLASSES} logits" + (f" and {members} members" if members else "")
        yield Row(name, peak / 1e9, limit, note=f"{size / 1e9:.2f} GB of data")


def write_large_benchmark(folder: Path, members: int) -> Path:
    rng = np.random.default_rng(0)
    labels = rng.integers(CLASSES, size=LARGE)
    logits = rng.normal(size=(LARGE, CLASSES)).astype(np.float32) + 2 * np.eye(CLASSES, dtype=np.float32)[labels]
    arrays: dict[str, Any] = {"logits": logits, "labels": labels}
    text = 'schema_version = 1\nid = "large"\nversion = 1\ntitle = "Large"\ntask = "confidence"\nmetrics = ["augrc"]\n'
    text += '[source]\nkind = "table"\nholds = "logits"\nvalues = "logits"\n'
    if members:
        noise = (rng.normal(size=logits.shape).astype(np.float32) / 2 for _ in range(members))
        arrays["mc_logits"] = np.stack([logits + each for each in noise])
        text += 'mc_logits = "mc_logits"\n'
    np.savez(folder / "large.npz", **arrays)
    text += f'[[source.models]]\nid = "one"\ntable = {{ path = "large.npz" }}\n[source.sets]\nall = {{ rows = [0, {LARGE}] }}\n'
    text += '[[studies]]\nid = "iid"\nkind = "iid"\nsamples = "all"\ngroup = "iid"\n'
    (folder / "benchmark.toml").write_text(text)
    return folder / "benchmark.toml"


def peak_of_tree(command: list[str], environment: Mapping[str, str]) -> int:
    """Bytes that a command and all processes below it hold together at the worst moment."""
    import psutil

    started = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    root, most = psutil.Process(started.pid), 0
    while started.poll() is None:
        held = 0
        try:
            for process in [root, *root.children(recursive=True)]:
                held += process.memory_info().rss
        except psutil.Error:  # one has just ended
            pass
        most = max(most, held)
        time.sleep(0.02)
    assert started.returncode == 0
    return most


def seconds(run: Callable[[], object], times: int = 3) -> float:
    """Of processors, the best of some runs."""
    best = float("inf")
    for _ in range(times):
        start = time.process_time()
        run()
        best = min(best, time.process_time() - start)
    return best


def main() -> None:
    parts = ("augrc", "ranks", "board", "memory")
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    given = parser.parse_args()
    packages = ("numpy", "scipy", "pandas", "torch", "torch-uncertainty")
    results = Results("Statistics, boards and large evaluations", packages)
    if "augrc" in given.only:
        for other, rows in augrc_rows().items():
            results.table("AUGRC", "ms", other, rows)
    if "ranks" in given.only:
        results.table("ranks", "ms per resample", "pandas", rank_rows())
    if "board" in given.only:
        results.table("board", "s", "at most", board_rows())
    if "memory" in given.only:
        results.table("memory", "GB", "at most", memory_rows())
    results.write(given.folder, "evaluation" if set(given.only) == set(parts) else "evaluation-" + "-".join(given.only))


if __name__ == "__main__":
    main()
