"""The query track: campaigns of active learning under a fixed protocol."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness.methods.answers import checked_picks
from harness.methods.client import MethodClient
from harness.spec.method import QueryMethod
from harness.spec.query import ArrayImages, QueryBenchmark
from harness.spec.run import Unit
from harness.storage import seed_of
from harness.tracks.base import (
    Answers,
    Measurement,
    PlannedUnit,
    Scope,
    Tolerance,
    Track,
    Workload,
    Workspace,
    check_applies,
    check_unchanged,
    undeclared,
)
from harness.tracks.query.campaign import EFFORT, PICKS, Campaign, Ledger, PoolOffer, run_campaign
from harness.tracks.query.learners import open_learner, open_ledger
from harness.tracks.query.scoring import (
    EFFICIENCY,
    FROM_QUERIES,
    SHARED,
    campaign_scores,
    metric_versions,
    study_efficiency,
)
from harness.tracks.query.sources import Setting

if TYPE_CHECKING:
    import numpy as np

    from harness.tracks.costs import Estimate
    from harness.tracks.views import SampleList, Shown, View


class QueryTrack(Track):
    """See `harness.tracks.base.Track`. A unit is one campaign: a setting and a seed."""

    benchmark: QueryBenchmark
    method: QueryMethod

    def metric_versions(self) -> dict[str, str]:
        return metric_versions(self.benchmark)

    def planned(self) -> Iterator[PlannedUnit]:
        for setting in self.settings.values():
            artefacts = setting.artefacts()
            for seed in self.benchmark.seeds:
                yield PlannedUnit(setting.study.id, f"{setting.training.id}-{seed}", seed, artefacts)

    def ask(self, unit: Unit, method: MethodClient, workspace: Workspace | None = None) -> Answers:
        setting = self.settings[unit.study]
        check_applies(self.inapplicable(unit))
        check_unchanged(unit, setting.artefacts())
        if workspace is None:
            with tempfile.TemporaryDirectory(prefix="harness-campaign-") as folder:
                return self.ask(unit, method, Workspace(Path(folder)))
        learner = open_learner(setting, unit.model_seed, self.method.needs, self.device, workspace.kept)
        campaign = Campaign(self._loops(unit), setting.study.query, self.method.oracle)
        conversation = _QuerySession(self.method, unit, method, campaign)
        return run_campaign(campaign, learner, conversation.ask, workspace.folder, workspace.report)

    def inapplicable(self, unit: Unit) -> str:
        """Strategies are made for some tasks."""
        return undeclared(self.method.tasks, "segmentation" if self.settings[unit.study].segments else "classification")

    def require_packages(self) -> None:
        if any(setting.segments for setting in self.settings.values()):
            from harness.tracks.query.segmentation.learner import require_nnunet

            require_nnunet()

    def measure(self, unit: Unit, outputs: Answers, metrics: Collection[str] | None = None) -> Measurement:
        """A campaign that a limit has shortened is scored over the loops it has."""
        setting = self.settings[unit.study]
        return campaign_scores(setting, self.benchmark, outputs, self._loops(unit), metrics)

    def check_own_files(self) -> None:
        from harness.tracks.query.classification.data import open_images

        for setting in self._own_arrays().values():
            open_images(setting)

    def _own_arrays(self) -> dict[str, Setting]:
        """Data sets that are files of arrays of a user's own, each with a study of it."""
        own = () if self.benchmark.locked else self.settings.values()
        return {each.dataset.id: each for each in own if isinstance(each.dataset, ArrayImages)}

    def notes(self, answers: Mapping[Unit, Answers]) -> Iterator[str]:
        """Of data sets of a user's own, where nobody else has looked."""
        from harness.tracks.query.classification.data import open_images, shared_images

        for name, setting in self._own_arrays().items():
            images = open_images(setting)
            if shared := shared_images(images):
                yield (
                    f"{shared} of the {len(images.test_inputs)} test images of {name} are images of the pool, too, so that "
                    "a network may have learned them by heart; take them out of one of the two."
                )

    def scopes(self, measured: Mapping[Unit, Measurement], inapplicable: Collection[Unit] = ()) -> Iterator[Scope]:
        """Without studies that do not apply to the method. What annotation was spent on compares within a study only."""
        left_out = {unit.study for unit in inapplicable} - {unit.study for unit in measured}
        for name, every in self.groups().items():
            studies = [study for study in every if study not in left_out]
            units = tuple(unit for unit in measured if unit.study in studies)
            metrics = tuple(self.metric_versions()) if len(every) == 1 else SHARED
            if studies:
                yield Scope(name, metrics, units, len(self.benchmark.seeds) * len(every), self.part_of(name))

    def pooled(self, metric: str, members: Mapping[Unit, Measurement]) -> np.ndarray | None:
        if metric != EFFICIENCY:
            return super().pooled(metric, members)
        return study_efficiency(self.benchmark, self.study(next(iter(members)).study), members)

    def repeat(self, unit: Unit) -> object:
        return unit.model_seed

    def as_reported(self, unit: Unit, submitted: Answers) -> tuple[str, ...]:
        """All that follows from what trained networks predicted."""
        return tuple(name for name in self.metric_versions() if name not in FROM_QUERIES)

    def problems(self, unit: Unit, submitted: Answers) -> Iterator[str]:
        """Queries and effort are checked against the data; what the networks predicted only another run can check."""
        setting = self.settings[unit.study]
        return _problems(setting, open_ledger(setting, unit.model_seed), submitted)

    def said(self, name: str) -> bool:
        """The picks; trainings and costs follow from them."""
        return name.startswith(PICKS)

    def tolerance(self, name: str) -> Tolerance:
        """None: picks, predictions and counts of voxels are whole numbers, and a query that differs is another query."""
        return Tolerance(0.0, "whole numbers")

    def slow_imports(self) -> tuple[str, ...]:
        segments = any(setting.segments for setting in self.settings.values())
        return ("torch",) if segments else ("harness.tracks.query.classification.training",)

    def imports_to_show(self) -> tuple[str, ...]:
        return "pandas", "scipy.stats"

    def workload(self, units: Sequence[Unit]) -> Workload:
        """Trainings of the start too, which other strategies of the seed share; pinned files, and folders of data."""
        return Workload(
            trainings=sum(self._loops(unit) * self.settings[unit.study].training.trainings for unit in units),
            absent=tuple(dict.fromkeys(file for setting in self.settings.values() for file in setting.absent())),
        )

    def estimate(self, units: Sequence[Unit]) -> Estimate | None:
        from harness.tracks.query.costs import campaign_estimate

        return campaign_estimate(self, units)

    def memory(self, unit: Unit) -> float | None:
        from harness.tracks.query.costs import training_memory

        return training_memory(self.settings[unit.study].training, unit.device)

    def views(self, shown: Shown) -> Iterator[View]:
        from harness.tracks.query.picture import query_views

        return query_views(self, shown)

    def listing(self, answers: Mapping[Unit, Answers], kept: Callable[[Unit], Path]) -> SampleList | None:
        from harness.tracks.query.listing import query_listing

        return query_listing(self, answers, kept)

    @cached_property
    def settings(self) -> dict[str, Setting]:
        """By study."""
        return {study.id: Setting(self.protocol, study) for study in self.benchmark.studies}

    def _loops(self, unit: Unit) -> int:
        """Those of the study, or as many as the limit of a rehearsal allows, at least two."""
        loops = self.settings[unit.study].study.loops
        return min(loops, max(2, unit.limit or loops))


def _problems(setting: Setting, ledger: Ledger, outputs: Answers) -> Iterator[str]:
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


class _QuerySession:
    """All that is asked of a strategy in one campaign."""

    def __init__(self, method: QueryMethod, unit: Unit, client: MethodClient, campaign: Campaign) -> None:
        self._method, self._unit, self._client, self._campaign = method, unit, client, campaign

    def ask(self, loop: int, offer: PoolOffer) -> np.ndarray:
        """The strategy's answer to one pool. Its generator comes from the run's seed, the campaign's and the loop.

        It begins anew for each: a campaign that was interrupted in between must come to the same end.
        """
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
        self._client.begin_anew()
        self._client.call("begin", {}, seed=self._unit.model_seed)
        seed = seed_of([self._unit.seed, self._unit.model_seed, loop])
        return checked_picks(self._client.call("query", {}, seed=seed, meta=meta), self._campaign.query)

    def _ask_oracle(self, meta: dict[str, object]) -> dict[str, np.ndarray]:
        """The harness's own strategies that read labels are answered here, where labels may be read."""
        from harness.methods.discovery import load_baseline
        from harness.tracks.query.host import QueryHost

        host = QueryHost(load_baseline(self._method), "cpu")
        host.begin({}, {})
        return host.query(meta, {})
