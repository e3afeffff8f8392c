"""The kinds of source of a confidence benchmark."""

from __future__ import annotations

from harness.data.catalog import LoadedBenchmark
from harness.spec.benchmark import ConfidenceBenchmark
from harness.spec.predictions import PredictionSource
from harness.spec.released import ReleasedSource
from harness.spec.sources import ImageSource, PackSource, ResultsSource, TableSource
from harness.tracks.confidence.computed import ComputedOutputs
from harness.tracks.confidence.model_outputs import OutputSource
from harness.tracks.confidence.packs import PackedOutputs
from harness.tracks.confidence.predicted import PredictedOutputs
from harness.tracks.confidence.released import ReleasedOutputs
from harness.tracks.confidence.stored import FolderOutputs, TableOutputs


def open_source(protocol: LoadedBenchmark, device: str, *, members: bool = True) -> OutputSource:
    """The source that a benchmark names. Without `members`, costly outputs of Monte-Carlo dropout are left out."""
    source = protocol.of(ConfidenceBenchmark).source
    if isinstance(source, ReleasedSource):
        return ReleasedOutputs(protocol, source, device, members=members)
    if isinstance(source, ImageSource):
        return ComputedOutputs(protocol, source, device)
    if isinstance(source, PackSource):
        return PackedOutputs(protocol, source)
    if isinstance(source, TableSource | ResultsSource):
        return TableOutputs(protocol, source)
    if isinstance(source, PredictionSource):
        return PredictedOutputs(protocol, source)
    return FolderOutputs(protocol, source)
