"""A campaign's stored arrays as the files that other tools read: loop files, summaries, and nnActive's configuration."""

from __future__ import annotations

from pathlib import Path

from harness.spec.query import QueryStudy
from harness.storage import write_json
from harness.tracks.base import Answers
from harness.tracks.query.campaign import EVALUATION, PICKS, Ledger
from harness.tracks.query.learners import open_ledger
from harness.tracks.query.sources import Setting


def write_campaign(setting: Setting, seed: int, method: str, outputs: Answers, folder: Path) -> None:
    """`loop_000.json` and `loop_000/summary.json` of every loop; of volumes also `config.json` as nnActive writes it.

    `outputs` are those of a valid campaign (`QueryTrack.audit`). A folder of such folders is what `published.read_runs`
    and nnActive's own analysis read. Raises StorageError; UsageError or IntegrityError where the data is not here.
    """
    ledger: Ledger = open_ledger(setting, seed)
    evaluations = {
        name.removeprefix(EVALUATION): array for name, array in outputs.items() if name.startswith(EVALUATION)
    }
    loops = sum(name.startswith(PICKS) for name in outputs)
    folder.mkdir(parents=True, exist_ok=True)
    for loop in range(loops):
        evaluation = {name: array[loop] for name, array in evaluations.items()}
        ledger.write_summary(folder, outputs[f"{PICKS}{loop}"], loop, evaluation)
    if setting.segments:
        write_json(folder / "config.json", _configuration(setting.study, seed, method, loops))


def _configuration(study: QueryStudy, seed: int, method: str, loops: int) -> dict[str, object]:
    """What nnActive calls an experiment by."""
    return {
        "dataset": study.dataset,
        "trainer": study.training,
        "patch_size": [] if study.patches is None else list(study.patches.size),
        "starting_budget": study.start_rule,
        "starting_budget_size": study.start,
        "query_size": study.query,
        "query_steps": loops,
        "uncertainty": method,
        "seed": seed,
    }
