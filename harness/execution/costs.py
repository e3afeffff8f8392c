"""How many hours of a graphics card a run takes, to an order of magnitude, from costs that stand in `costs.toml`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from harness.data.catalog import LoadedBenchmark
from harness.data.manifests import read_datasets
from harness.data.toml import read_toml
from harness.spec.attribution import AttributionBenchmark, OwnNetwork
from harness.spec.benchmark import ConfidenceBenchmark
from harness.spec.products import ImagesForm
from harness.spec.query import ArrayImages, ClassifierTraining, NnUNetTraining, QueryBenchmark
from harness.spec.released import Preparation, ReleasedSource
from harness.spec.run import Unit
from harness.tracks.base import Track

COSTS = Path(__file__).with_name("costs.toml")


@dataclass(frozen=True)
class Estimate:
    """hours: of one graphics card; None where nothing is declared by which it could be estimated. basis: what was
    counted, in sentences. left_out: what could not be."""

    hours: float | None
    basis: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def estimate(protocol: LoadedBenchmark, track: Track, units: Iterable[Unit]) -> Estimate | None:
    """What the units of a run cost; None for benchmarks that are small enough for a laptop."""
    benchmark = protocol.benchmark
    if isinstance(benchmark, ConfidenceBenchmark) and isinstance(benchmark.source, ReleasedSource):
        return _inference(benchmark, benchmark.source, track, list(units))
    if isinstance(benchmark, QueryBenchmark):
        return _campaigns(benchmark, track, list(units))
    if isinstance(benchmark, AttributionBenchmark) and benchmark.source.kind == "arrays":
        return _maps(benchmark, list(units))
    return None


def text_of(hours: float) -> str:
    """An order of magnitude in words: what it says is not more certain than that."""
    if hours < 1:
        return "less than an hour of a graphics card"
    rounded = round(hours, -max(0, math.floor(math.log10(hours))))
    return f"about {rounded:,.0f} hours of a graphics card"


def _inference(benchmark: ConfidenceBenchmark, source: ReleasedSource, track: Track, units: list[Unit]) -> Estimate:
    """Every model once over its sets, and once more for each member of Monte-Carlo dropout."""
    used = {unit.model for unit in units}
    costs, seconds, images = _costs(), 0.0, 0
    left_out: list[str] = []
    with_members = track.method.task == "confidence" and (
        track.method.classifier == "mc-mean" or "members" in track.method.needs
    )
    for model in (each for each in source.models if each.id in used):
        experiment = source.experiment(model)
        needed = {name for study in benchmark.studies_of(model) for name in study.sets}
        needed |= set(benchmark.reference_of(model).sets)
        for each in experiment.sets:
            if each.id not in needed:
                continue
            if each.count is None:
                left_out.append(f"the set {each.id}, whose size is not declared")
                continue
            side = _side(each.images or experiment.images) or experiment.image_size or _smallest_side(model.network)
            passes = 1 + source.members * (model.dropout and with_members)
            passes *= costs["heads"].get(model.head, 1.0)
            seconds += each.count * passes * _forward(model.network, side) / costs["multiply_adds_per_second"]
            seconds += each.count * side * side / 1000 / costs["images_per_second_at_1000_pixels"]
            images += each.count
    basis = f"{len(used)} networks, {images:,} images and outputs of the networks on them"
    members = f", {source.members} members of Monte-Carlo dropout each" if with_members else ""
    return Estimate(seconds / 3600, (basis + members,), tuple(dict.fromkeys(left_out)))


def _campaigns(benchmark: QueryBenchmark, track: Track, units: list[Unit]) -> Estimate:
    """Trainings of every loop; those of the start too, which other strategies of the seed share."""
    trainings = {each.id: each for each in benchmark.trainings}
    datasets = {each.id: each for each in benchmark.source.datasets}
    studies = {each.id: each for each in benchmark.studies}
    sides = _prepared_sides()
    seconds, networks = 0.0, 0
    left_out: list[str] = []
    for unit in units:
        study = studies[unit.study]
        training, data = trainings[study.training], datasets[study.dataset]
        if isinstance(training, NnUNetTraining):
            if data.kind != "nnunet-raw":
                return Estimate(None, left_out=("its networks are small enough for a laptop",))
            steps = training.epochs * training.iterations
            seconds += track.trainings(unit) * steps * _costs()["nnunet"]["seconds_per_step"]
        elif training.network == "small-cnn":
            return Estimate(None, left_out=("its networks are small enough for a laptop",))
        else:
            side = sides.get(data.train.path) if isinstance(data, ArrayImages) else None
            if side is None:
                left_out.append(f"{study.id}, of whose images the size is not known")
                continue
            seconds += (
                track.trainings(unit)
                * _training_images(training, study.start, study.query, study.loops)
                * (
                    _forward(training.network, side)
                    * _costs()["training_factor"]
                    / _costs()["multiply_adds_per_second"]
                )
            )
        networks += track.trainings(unit)
    return Estimate(
        seconds / 3600 if networks else None, (f"{networks:,} trainings of networks",), tuple(dict.fromkeys(left_out))
    )


def _training_images(training: ClassifierTraining, start: int, query: int, loops: int) -> float:
    """Images that a training sees, on average over the loops of a campaign; unlabelled ones of FixMatch too."""
    labelled = start + query * (loops - 1) / 2
    seen = max(labelled, training.samples_per_epoch) * training.epochs
    return seen * (1 + (2 * training.fixmatch.ratio if training.fixmatch else 0))


def _maps(benchmark: AttributionBenchmark, units: list[Unit]) -> Estimate:
    """Maps of every sample of every study, and what the metrics ask of the networks for each."""
    sets = {each.id: each for each in benchmark.source.sets}
    studies = {each.id: each for each in benchmark.studies}
    models = {each.id: each for each in benchmark.source.models}
    costs, seconds, maps = _costs(), 0.0, 0
    left_out: list[str] = []
    for unit in units:
        model, count = models[unit.model], sets[studies[unit.study].samples].count
        name = (
            model.factory.rpartition(":")[2] if isinstance(model, OwnNetwork) and isinstance(model.factory, str) else ""
        )
        if name not in costs["forward"] or count is None:
            left_out.append(f"{unit.model} on {unit.study}")
            continue
        once = costs["forward"][name][0]["multiply_adds"] / costs["multiply_adds_per_second"]
        seconds += count * costs["attribution"]["passes_per_map"] * once
        maps += count
    return Estimate(
        seconds / 3600 if maps else None, (f"{maps:,} maps and their metrics",), tuple(dict.fromkeys(left_out))
    )


@cache
def _costs() -> Mapping[str, Any]:
    return read_toml(COSTS)


def _forward(network: str, side: int) -> float:
    """Multiply-adds of one pass, from the declared one of the nearest side."""
    declared = min(_costs()["forward"][network], key=lambda each: abs(math.log(each["side"] / side)))
    return float(declared["multiply_adds"] * (side / declared["side"]) ** 2)


def _smallest_side(network: str) -> int:
    return int(min(each["side"] for each in _costs()["forward"][network]))


def _side(how: Preparation) -> int | None:
    if how.crop is not None or how.resize is None:
        return how.crop
    return how.resize if isinstance(how.resize, int) else max(how.resize)


def _prepared_sides() -> dict[str, int]:
    """Files that are prepared from data sets -> the side of their images; those that stay as they are have 32 pixels."""
    sides = {}
    for manifest in read_datasets()[0].values():
        for product in manifest.spec.products:
            if isinstance(product.form, ImagesForm):
                form = product.form
                sides[product.path] = form.crop or (max(form.size) if form.size else form.shorter_side) or 32
    return sides
