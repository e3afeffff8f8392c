"""The query track: campaigns of active learning under a fixed protocol."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.catalog import LoadedBenchmark
from harness.methods.answers import checked_picks
from harness.methods.client import MethodClient, MethodError
from harness.spec.method import QueryMethod
from harness.spec.query import QueryBenchmark
from harness.spec.result import Record, Summary
from harness.spec.run import RunSpec, Unit
from harness.storage import IntegrityError, content_id
from harness.tracks.base import EXACT, Audit, Desk, Outputs, Tolerance
from harness.tracks.query.campaign import EFFORT, PICKS, Campaign, Ledger, PoolOffer, run_campaign
from harness.tracks.query.learners import open_learner, open_ledger
from harness.tracks.query.sources import Setting

if TYPE_CHECKING:
    import numpy as np


class QueryTrack:
    """See `harness.tracks.base.Track`. A unit is one campaign: a setting and a seed."""

    def __init__(self, protocol: LoadedBenchmark, method: QueryMethod, device: str = "cpu") -> None:
        self.protocol = protocol
        self.benchmark = protocol.of(QueryBenchmark)
        self.method = method
        self._device = device

    def metric_versions(self) -> dict[str, str]:
        from harness.tracks.query.scoring import metric_versions

        return metric_versions(self.benchmark)

    def units(self, spec: RunSpec) -> tuple[Unit, ...]:
        method = content_id(spec.method.model_dump(mode="json", exclude={"target", "summary", "citation"}))
        metrics = content_id(spec.metric_versions)
        return tuple(
            Unit(
                task="query",
                benchmark_hash=spec.benchmark_hash,
                method_hash=method,
                model=f"{setting.training.id}-{seed}",
                model_seed=seed,
                artefacts_hash=self._artefacts_hash(setting.study.id),
                study=setting.study.id,
                seed=spec.seed,
                device=spec.device,
                limit=spec.limit,
                metrics_hash=metrics,
            )
            for setting in self.settings.values()
            for seed in self.benchmark.seeds
        )

    def run(self, unit: Unit, method: MethodClient, desk: Desk | None = None) -> Outputs:
        setting = self.settings[unit.study]
        task = "segmentation" if setting.segments else "classification"
        if task not in self.method.tasks:
            raise MethodError("not-applicable", f"it is declared for {', '.join(self.method.tasks)}, not for {task}")
        if content_id(setting.artefacts()) != unit.artefacts_hash:
            raise IntegrityError(f"the files of {unit.label} were changed after the run was planned; start it again.")
        if desk is None:
            with tempfile.TemporaryDirectory(prefix="harness-campaign-") as folder:
                return self.run(unit, method, Desk(Path(folder)))
        learner = open_learner(setting, unit.model_seed, self.method.needs, self._device)
        campaign = Campaign(self._loops(unit), setting.study.query, self.method.oracle)
        conversation = _Conversation(self.method, unit, method, campaign)
        return run_campaign(campaign, learner, conversation.ask, desk.folder, desk.report)

    def score(self, unit: Unit, outputs: Outputs) -> tuple[Record, ...]:
        from harness.tracks.query.scoring import records

        return records(self.settings[unit.study], self.benchmark, outputs)

    def summarize(self, answered: Mapping[Unit, Outputs], inapplicable: Collection[Unit] = ()) -> tuple[Summary, ...]:
        from harness.tracks.query.scoring import summarize

        return summarize(self.settings, self.benchmark, answered, inapplicable)

    def submitted(self, outputs: Outputs) -> Outputs:
        """All of it: queries, and what the networks made of the held-out data."""
        return outputs

    def as_reported(self, unit: Unit, submitted: Outputs) -> tuple[str, ...]:
        """All that follows from what trained networks predicted."""
        from harness.tracks.query.scoring import FROM_QUERIES

        return tuple(name for name in self.metric_versions() if name not in FROM_QUERIES)

    def audit(self, unit: Unit, submitted: Outputs) -> Audit:
        """Queries and effort are checked against the data; what the networks predicted only another run can check."""
        setting = self.settings[unit.study]
        records = self.score(unit, submitted)
        return Audit(
            records,
            self.as_reported(unit, submitted),
            tuple(_problems(setting, open_ledger(setting, unit.model_seed), submitted)),
        )

    def tolerance(self, name: str) -> Tolerance:
        """None: picks, predictions and counts of voxels are whole numbers, and a query that differs is another query."""
        return EXACT

    def absent(self) -> tuple[str, ...]:
        """Pinned files, and the folder of a data set, that are not on this machine."""
        return tuple(dict.fromkeys(file for setting in self.settings.values() for file in setting.absent()))

    def trainings(self, unit: Unit) -> int:
        """Those of the start too, which other strategies of the seed share."""
        setting = self.settings[unit.study]
        return self._loops(unit) * setting.training.trainings

    def uncomputed(self) -> int:
        return 0

    @cached_property
    def settings(self) -> dict[str, Setting]:
        """By study."""
        return {study.id: Setting(self.protocol, study) for study in self.benchmark.studies}

    def _loops(self, unit: Unit) -> int:
        """Those of the study, or as many as the limit of a rehearsal allows, at least two."""
        loops = self.settings[unit.study].study.loops
        return min(loops, max(2, unit.limit or loops))

    def _artefacts_hash(self, study: str) -> str:
        return content_id(self.settings[study].artefacts())


def _problems(setting: Setting, ledger: Ledger, outputs: Outputs) -> Iterator[str]:
    """What is wrong with the queries of a campaign, and with what they are said to have revealed."""
    import numpy as np

    picks: list[np.ndarray] = []
    while (name := f"{PICKS}{len(picks)}") in outputs:
        try:
            if not picks and not np.array_equal(outputs[name], ledger.start()):
                raise ValueError("it is not the start that every strategy has")
            if picks:
                ledger.check(outputs[name], picks, setting.study.query)
        except ValueError as error:
            yield f"the picks of loop {len(picks)} are no valid query: {error}"
            return
        picks.append(outputs[name])
    efforts = [ledger.effort(picks[: loop + 1]) for loop in range(len(picks))]
    for name in efforts[0]:
        if not np.array_equal(outputs.get(EFFORT + name, ()), [each[name] for each in efforts]):
            yield f"the queries reveal other amounts of {name} than the submission says"


class _Conversation:
    """All that is asked of a strategy in one campaign."""

    def __init__(self, method: QueryMethod, unit: Unit, client: MethodClient, campaign: Campaign) -> None:
        self._method, self._unit, self._client, self._campaign = method, unit, client, campaign

    def ask(self, loop: int, offer: PoolOffer) -> np.ndarray:
        """The strategy's answer to one pool. Its generator comes from the run's seed, the campaign's and the loop."""
        meta = {
            **offer.meta,
            "loop": loop,
            "loops": self._campaign.loops,
            "budget": self._campaign.query,
            "entropy": [self._unit.seed, self._unit.model_seed, loop],
            "oracle": self._method.oracle,
            "needs": list(self._method.needs),
        }
        if self._method.oracle:
            return checked_picks(self._ask_oracle(meta), self._campaign.query)
        if self._client.state != self._unit.label:
            self._client.call("begin", {}, seed=self._unit.model_seed)
            self._client.state = self._unit.label
        seed = int(content_id([self._unit.seed, self._unit.model_seed, loop])[:8], 16)
        return checked_picks(self._client.call("query", {}, seed=seed, meta=meta), self._campaign.query)

    def _ask_oracle(self, meta: dict[str, object]) -> dict[str, np.ndarray]:
        """The harness's own strategies that read labels are answered here, where labels may be read."""
        from harness.methods.discovery import load_baseline
        from harness.tracks.query.host import QueryHost

        host = QueryHost(load_baseline(self._method), "cpu")
        host.begin({}, {})
        return host.query(meta, {})
