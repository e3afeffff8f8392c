"""What inference with released networks costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.spec.released import Preparation, ReleasedSource
from harness.spec.run import Unit
from harness.tracks.costs import Estimate, costs, multiply_adds, smallest_side

if TYPE_CHECKING:
    from harness.tracks.confidence.track import ConfidenceTrack


def inference_estimate(track: ConfidenceTrack, source: ReleasedSource, units: Sequence[Unit]) -> Estimate:
    """Every model once over its sets, and once more for each member of Monte-Carlo dropout."""
    used = {unit.model for unit in units}
    declared, seconds, images = costs(), 0.0, 0
    left_out: list[str] = []
    with_members = track.wants_members
    for model in (each for each in source.models if each.id in used):
        experiment = source.experiment(model)
        needed = track.sets_of(model)
        for each in experiment.sets:
            if each.id not in needed:
                continue
            if each.count is None:
                left_out.append(f"the set {each.id}, whose size is not declared")
                continue
            side = _side(each.images or experiment.images) or experiment.image_size or smallest_side(model.network)
            passes = 1 + source.members * (model.dropout and with_members)
            passes *= declared["heads"].get(model.head, 1.0)
            seconds += each.count * passes * multiply_adds(model.network, side) / declared["multiply_adds_per_second"]
            seconds += each.count * side * side / 1000 / declared["images_per_second_at_1000_pixels"]
            images += each.count
    basis = f"{len(used)} networks, {images:,} images and outputs of the networks on them"
    members = f", {source.members} members of Monte-Carlo dropout each" if with_members else ""
    return Estimate(seconds / 3600, (basis + members,), tuple(dict.fromkeys(left_out)))


def _side(how: Preparation) -> int | None:
    if how.crop is not None or how.resize is None:
        return how.crop
    return how.resize if isinstance(how.resize, int) else max(how.resize)
