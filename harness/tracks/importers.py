"""All importers of released results by kind, each with the metrics that its values are held against."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from harness.data.importers.base import Imported, Measure, Measured
from harness.data.importers.fdshifts import read_fdshifts_results
from harness.data.importers.latec_maps import describe_latec_maps
from harness.data.importers.latec_scores import read_latec_scores
from harness.data.importers.openood import read_openood
from harness.data.importers.realistic_al import read_realistic_al
from harness.metrics.attribution.registry import METRICS, ORDERS, latec_range
from harness.metrics.facts import metric_facts
from harness.spec.errors import UsageError, unknown
from harness.tracks.query.importing import read_nnactive

Options = Mapping[str, str]


@dataclass(frozen=True)
class Importer:
    """One kind of released results. options: which it takes, `name=value` as on the command line."""

    kind: str
    what: str
    read: Callable[[Path, Options], Imported]
    options: tuple[str, ...] = ()


def import_results(kind: str, path: Path, options: Options = MappingProxyType({})) -> Imported:
    """Released results as a long table. Raises UsageError for an unknown kind, an option that it does not take and a path
    that holds something else; IntegrityError for damaged files and values that a metric cannot have."""
    if kind not in IMPORTERS:
        raise unknown("kind of released results", kind, IMPORTERS)
    importer = IMPORTERS[kind]
    for name in options:
        if name not in importer.options:
            raise UsageError(f"{kind} takes no --{name}; leave it out.")
    return importer.read(path, options)


def latec_orders() -> dict[str, tuple[Measured, ...]]:
    """The two orders of LATEC's metrics, with their ranges in its units."""
    return {
        order: tuple(Measure(id, METRICS[id].direction, latec_range(id)) for id in ids) for order, ids in ORDERS.items()
    }


def _measures() -> dict[str, Measured]:
    return {
        fact.id: Measure(fact.id, "lower" if fact.lower_is_better else "higher", fact.range)
        for fact in metric_facts().values()
    }


IMPORTERS: Mapping[str, Importer] = MappingProxyType(
    {
        each.kind: each
        for each in (
            Importer(
                "latec-scores",
                "eval_scores_<set>.npz of LATEC: metric scores by network, method and observation",
                lambda path, options: read_latec_scores(path, latec_orders(), options),
                ("order", "dataset"),
            ),
            Importer(
                "latec-maps", "saliency maps of LATEC, .npz: what each looks like", describe_latec_maps, ("dataset",)
            ),
            Importer(
                "fd-shifts",
                "an inference folder of FD-Shifts, its analysis_metrics_*.csv, or its tables of 2022, such as svhn.csv",
                lambda path, options: read_fdshifts_results(path, _measures(), options),
                ("logits",),
            ),
            Importer(
                "nnactive",
                "nnActive's results, loop files, full-data results, auc.json, beta.json or ppm.json",
                read_nnactive,
                ("raw",),
            ),
            Importer("openood", "a leaderboard of OpenOOD, .csv", read_openood),
            Importer(
                "realistic-al",
                "AUBC_tidy.csv, or stored.npz or test_metrics.csv of a campaign",
                lambda path, options: read_realistic_al(path, _measures(), options),
            ),
        )
    }
)
