"""What the trainings of campaigns cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.data.manifests import read_datasets
from harness.spec.products import ImagesForm
from harness.spec.query import ArrayImages, ClassifierTraining, NnUNetTraining
from harness.spec.run import Unit
from harness.tracks.costs import PAIR, Estimate, costs, multiply_adds

if TYPE_CHECKING:
    from harness.tracks.query.track import QueryTrack

_LARGEST_PLAN = 2 * 128**3
"""Voxels of a batch, about as many as nnU-Net plans at most by itself."""
_FEATURES, _MOST_FEATURES, _SMALLEST_EDGE = 32, 320, 4  # of nnU-Net's plans
_COPIES = 24
"""Of one set of feature maps, one for each stage, that a training step takes on the CPU."""


def campaign_estimate(track: QueryTrack, units: Sequence[Unit]) -> Estimate:
    """Trainings of every loop; those of the start too, which other strategies of the seed share."""
    benchmark = track.benchmark
    trainings = {each.id: each for each in benchmark.trainings}
    datasets = {each.id: each for each in benchmark.source.datasets}
    studies = {each.id: each for each in benchmark.studies}
    sides = _prepared_sides() if any(isinstance(each, ArrayImages) for each in datasets.values()) else {}
    seconds, networks = 0.0, 0
    left_out: list[str] = []
    for unit in units:
        study = studies[unit.study]
        training, data = trainings[study.training], datasets[study.dataset]
        if isinstance(training, NnUNetTraining):
            if data.kind != "nnunet-raw":
                return Estimate(None, left_out=("its networks are small enough for a laptop",))
            steps = training.epochs * training.iterations
            seconds += track.workload([unit]).trainings * steps * costs()["nnunet"]["seconds_per_step"]
        elif training.network == "small-cnn":
            return Estimate(None, left_out=("its networks are small enough for a laptop",))
        else:
            side = sides.get(data.train.path) if isinstance(data, ArrayImages) else None
            if side is None:
                left_out.append(f"{study.id}, of whose images the size is not known")
                continue
            seconds += (
                track.workload([unit]).trainings
                * _training_images(training, study.start, study.query, study.loops)
                * (
                    multiply_adds(training.network, side)
                    * costs()["training_factor"]
                    / costs()["multiply_adds_per_second"]
                )
            )
        networks += track.workload([unit]).trainings
    return Estimate(
        seconds / 3600 if networks else None, (f"{networks:,} trainings of networks",), tuple(dict.fromkeys(left_out))
    )


def training_memory(training: NnUNetTraining | ClassifierTraining, device: str) -> float | None:
    """GiB of both processes on the CPU; None for classifiers, and where networks are trained on cards.

    Measured with two patches in a batch and nnU-Net's own features: 2.4 GiB of 64 voxels a side (declared 3.0), 5.4 GiB of
    96 (declared 7.7). Volumes are read from files a crop at a time.
    """
    if device != "cpu" or not isinstance(training, NnUNetTraining):
        return None
    voxels = math.prod(training.patch_size) * (training.batch_size or 2) if training.patch_size else _LARGEST_PLAN
    stages = 1 + int(math.log2(max(1, min(training.patch_size or (128,)) // _SMALLEST_EDGE)))
    planned = tuple(min(_MOST_FEATURES, _FEATURES << stage) for stage in range(stages))
    features = training.features_per_stage or planned
    maps = sum(count * voxels / (1 << 3 * stage) for stage, count in enumerate(features))
    return PAIR + _COPIES * maps * 4 / 2**30


def _training_images(training: ClassifierTraining, start: int, query: int, loops: int) -> float:
    """Images that a training sees, on average over the loops of a campaign; unlabelled ones of FixMatch too."""
    labelled = start + query * (loops - 1) / 2
    seen = max(labelled, training.samples_per_epoch) * training.epochs
    return seen * (1 + (2 * training.fixmatch.ratio if training.fixmatch else 0))


def _prepared_sides() -> dict[str, int]:
    """Files that are prepared from data sets -> the side of their images; those that stay as they are have 32 pixels."""
    sides = {}
    for manifest in read_datasets()[0].values():
        for product in manifest.spec.products:
            if isinstance(product.form, ImagesForm):
                form = product.form
                sides[product.path] = form.crop or (max(form.size) if form.size else form.shorter_side) or 32
    return sides
