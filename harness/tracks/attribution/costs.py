"""What maps and their metrics cost."""

from __future__ import annotations

from collections.abc import Sequence

from harness.spec.attribution import AttributionBenchmark, ExplainedModel, OwnNetwork
from harness.spec.run import Unit
from harness.tracks.costs import PAIR, Estimate, costs

_COPIES = 8
"""Of a network's weights, in the unit process and the method's together: as read and as built, sent and received, and
those that parameter randomisation makes."""
_OF_KEPT = 1.5
"""Gradients and what layers take for a moment, beside what is kept for the backward pass."""


def maps_estimate(benchmark: AttributionBenchmark, units: Sequence[Unit]) -> Estimate:
    """Maps of every sample of every study, and what the metrics ask of the networks for each."""
    sets = {each.id: each for each in benchmark.source.sets}
    studies = {each.id: each for each in benchmark.studies}
    models = {each.id: each for each in benchmark.source.models}
    declared, seconds, maps = costs(), 0.0, 0
    left_out: list[str] = []
    for unit in units:
        model, count = models[unit.model], sets[studies[unit.study].samples].count
        name = _declared_name(model)
        if name not in declared["forward"] or count is None:
            left_out.append(f"{unit.model} on {unit.study}")
            continue
        once = declared["forward"][name][0]["multiply_adds"] / declared["multiply_adds_per_second"]
        seconds += count * declared["attribution"]["passes_per_map"] * once
        maps += count
    return Estimate(
        seconds / 3600 if maps else None, (f"{maps:,} maps and their metrics",), tuple(dict.fromkeys(left_out))
    )


def maps_memory(benchmark: AttributionBenchmark, unit: Unit) -> float | None:
    """GiB of both processes on the CPU, for a method of one backward pass; None where nothing is declared of the network.

    Measured through 24 metrics at 224 pixels: 3.4 GiB with ResNet-50 (declared 3.7), 5.8 GiB with ViT-B (declared 6.7).
    """
    model = next(each for each in benchmark.source.models if each.id == unit.model)
    declared = costs()["memory"].get(_declared_name(model))
    if declared is None or unit.device != "cpu":
        return None
    mebibytes = _COPIES * declared["weights"] + _OF_KEPT * benchmark.explained_at_once * declared["kept"]
    return PAIR + float(mebibytes) / 1024


def _declared_name(model: ExplainedModel) -> str:
    """By which `costs.toml` knows a network; empty for those of other files."""
    return model.factory.rpartition(":")[2] if isinstance(model, OwnNetwork) and isinstance(model.factory, str) else ""
