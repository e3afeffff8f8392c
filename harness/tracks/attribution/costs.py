"""What maps and their metrics cost."""

from __future__ import annotations

from collections.abc import Sequence

from harness.spec.attribution import AttributionBenchmark, OwnNetwork
from harness.spec.run import Unit
from harness.tracks.costs import Estimate, costs


def maps_estimate(benchmark: AttributionBenchmark, units: Sequence[Unit]) -> Estimate:
    """Maps of every sample of every study, and what the metrics ask of the networks for each."""
    sets = {each.id: each for each in benchmark.source.sets}
    studies = {each.id: each for each in benchmark.studies}
    models = {each.id: each for each in benchmark.source.models}
    declared, seconds, maps = costs(), 0.0, 0
    left_out: list[str] = []
    for unit in units:
        model, count = models[unit.model], sets[studies[unit.study].samples].count
        name = (
            model.factory.rpartition(":")[2] if isinstance(model, OwnNetwork) and isinstance(model.factory, str) else ""
        )
        if name not in declared["forward"] or count is None:
            left_out.append(f"{unit.model} on {unit.study}")
            continue
        once = declared["forward"][name][0]["multiply_adds"] / declared["multiply_adds_per_second"]
        seconds += count * declared["attribution"]["passes_per_map"] * once
        maps += count
    return Estimate(
        seconds / 3600 if maps else None, (f"{maps:,} maps and their metrics",), tuple(dict.fromkeys(left_out))
    )
