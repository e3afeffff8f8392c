"""LATEC's released maps and scores as records of the meta-evaluation data set.

Klein et al. 2024. Maps lie in one file a data set, named after it (`imagenet.npz`); scores in `eval_scores_<set>.npz`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.data.importers.latec import NOTES, latec_set
from harness.data.importers.latec_maps import read_latec_maps
from harness.data.meta_evaluation import MapRecord, ScoreRecord
from harness.publish.schema import MapConfig
from harness.spec.errors import UsageError
from harness.storage import file_id
from harness.tracks.importers import import_results

PROTOCOL = "latec"
CITATION = (
    "Klein et al., Navigating the Maze of Explainable AI: A Systematic Approach to Evaluating Methods and Metrics, NeurIPS "
    "2024 (LATEC)"
)
_LICENCE = "not stated in the files; see the authors' release, ETH Zürich research collection 20.500.11850/674331"
_SCORES = "eval_scores"


@dataclass(frozen=True)
class LatecSource:
    """A folder of released files; see `harness.publish.meta_evaluation.RecordSource`.

    order: what the unnamed metrics of its score files are, "published" or "config".
    """

    folder: Path
    files: dict[str, Path]
    """Path relative to the folder -> file."""
    order: str | None

    @property
    def protocol(self) -> str:
        return PROTOCOL

    def facts(self) -> dict[str, Any]:
        return {
            "kind": "LATEC release",
            "protocol": PROTOCOL,
            "files": self._hashes,
            "order": self.order,
            "notes": list(NOTES),
            "licence": _LICENCE,
            "citations": [CITATION],
        }

    def configs(self) -> tuple[MapConfig, ...]:
        return tuple(sorted(self._maps))

    def maps(self, config: MapConfig) -> Iterator[MapRecord]:
        """One observation's maps are in memory at a time. Those that are not finite are yielded as they are."""
        path = self._maps.get(config)
        if path is None:
            return
        left_out: list[MapRecord] = []
        for record in read_latec_maps(path, config.dataset, left_out.append):
            yield from left_out
            left_out.clear()
            yield record
        yield from left_out

    def scores(self) -> Iterator[ScoreRecord]:
        for path in self._scores:
            imported = import_results("latec-scores", path, {} if self.order is None else {"order": self.order})
            row: Any
            for row in imported.frame.itertuples(index=False):
                yield ScoreRecord(
                    modality=row.modality,
                    dataset=row.dataset,
                    model=row.model,
                    method=row.method,
                    observation=str(row.observation),
                    metric=row.metric,
                    metric_version=row.version,
                    direction=row.direction,
                    value=float(row.value) if row.status == "ok" else None,
                )

    @cached_property
    def _hashes(self) -> dict[str, str]:
        return {name: file_id(path) for name, path in self.files.items()}

    @cached_property
    def _maps(self) -> dict[MapConfig, Path]:
        found: dict[MapConfig, Path] = {}
        for path in self.files.values():
            if path.stem.startswith(_SCORES):
                continue
            place = latec_set(path, {})
            config = MapConfig(place.modality, place.dataset)
            if config in found:
                raise UsageError(f"{found[config]} and {path} both hold maps of {place.dataset}; keep one of them.")
            found[config] = path
        return found

    @property
    def _scores(self) -> list[Path]:
        return [path for path in self.files.values() if path.stem.startswith(_SCORES)]


def open_latec(folder: Path, order: str | None) -> LatecSource:
    """All `.npz` files in and below a folder. Raises UsageError where there is none, or scores without an order."""
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*.npz"))}
    if not files:
        raise UsageError(f"{folder} holds no .npz file of LATEC's maps or scores.")
    if order is None and any(path.stem.startswith(_SCORES) for path in files.values()):
        raise UsageError(
            f"{folder} holds scores that do not say which metric is which; add --order published (of the notebooks behind "
            "the paper's tables) or --order config (of the released configuration)."
        )
    return LatecSource(folder, files, order)
