"""Queries that were made elsewhere, played back: so that another tool's strategy can be compared, too.

    from harness import query_strategy
    from harness.methods.precomputed import PrecomputedQueries

    @query_strategy(version="1.0", needs=("names",))
    class FromMyTool(PrecomputedQueries):
        folder = "/data/my-tool/queries"

The folder holds `seed-<seed>/loop_<loop>.json` for every seed of the benchmark: `loop_000.json` is the start, which is
the benchmark's, `loop_001.json` the first query. Of patches only the new ones are listed, in nnActive's format,
`{"patches": [{"file": "case.nii.gz", "coords": [z, y, x], "size": [dz, dy, dx]}]}`; of images, in files that look like
`{"images": [17, 4, 1205]}`, their rows in the data set's pool. The folder of a campaign has its own queries in this form.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from harness.methods.answers import UnusableAnswerError
from harness.storage import IntegrityError, read_json

if TYPE_CHECKING:
    import numpy as np

    from harness.methods.pool import ClassificationPool, Picks, SegmentationPool


class PrecomputedQueries:
    """Base class of a strategy that reads its queries. In the rehearsal before a run, it asks at random.

    Files name images as the data set does: declare `needs=("names",)`.
    Raises UnusableAnswerError for a file that is not there, cannot be used, or belongs to another start.
    """

    folder: ClassVar[str] = ""

    def query(self, pool: SegmentationPool | ClassificationPool, budget: int, rng: np.random.Generator) -> Picks:
        campaign = Path(self.folder).expanduser() / f"seed-{pool.seed}"
        if not self.folder or not campaign.is_absolute():
            raise UnusableAnswerError(f"`folder` is {self.folder!r}; give the whole path of the folder of loop files")
        if pool.rehearsal:
            return pool.random(budget, rng)
        start, *queries = (_read(campaign, loop) for loop in range(pool.loop + 2))
        return _patches(start, queries[-1], pool) if pool.task == "segmentation" else _images([start, *queries], pool)


def _read(campaign: Path, loop: int) -> Any:
    path = campaign / f"loop_{loop:03d}.json"
    try:
        content = read_json(path)
    except OSError as error:
        raise UnusableAnswerError(f"{path} cannot be read ({error.strerror}); it should hold loop {loop}") from error
    except IntegrityError as error:
        raise UnusableAnswerError(str(error).rstrip(".")) from error
    return content if isinstance(content, dict) else {}


def _patches(start: Any, query: Any, pool: Any) -> list[tuple[str, list[int], Any]]:
    """The patches of a query, with the pool's names of images."""
    shown = {image.source: image.name for image in pool.images}
    sources = sorted(shown, key=len, reverse=True)
    known = {(image.source, tuple(corner)) for image in pool.images for corner, _ in image.annotated}
    for source, corner, _ in _rows(start, sources):
        if (source, tuple(corner)) not in known:
            raise UnusableAnswerError(
                f"its loop_000.json has a patch of {source!r} at {corner}, which is not in the start of this campaign"
            )
    return [(shown.get(source, source), corner, size) for source, corner, size in _rows(query, sources)]


def _rows(content: Any, names: list[str]) -> list[tuple[str, list[int], Any]]:
    try:
        return [(_name(row["file"], names), list(row["coords"]), row["size"]) for row in content["patches"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise UnusableAnswerError(
            'its loop file is not {"patches": [{"file": ..., "coords": [...], "size": [...]}]}'
        ) from error


def _name(file: str, names: list[str]) -> str:
    """`case` for `case.nii.gz`; the file as it is if no image of the pool has that name."""
    return next((name for name in names if file == name or file.startswith(f"{name}.")), file)


def _images(loops: list[Any], pool: Any) -> np.ndarray:
    """Rows in the data set as numbers in the pool, where the images of earlier loops are gone."""
    import numpy as np

    asked = [content.get("images") for content in loops]
    if not all(isinstance(each, list) and all(type(index) is int for index in each) for each in asked):
        raise UnusableAnswerError('its loop file is not {"images": [...]} with whole numbers')
    gone = sorted(index for each in asked[:-1] for index in each)
    if gone != sorted(pool.labelled_rows.tolist()):
        raise UnusableAnswerError(
            f"its earlier loops list {len(gone)} images, which are not the {len(pool.labelled_targets)} that this campaign "
            "has labelled; they belong to another campaign"
        )
    number = {row: place for place, row in enumerate(pool.rows.tolist())}
    if not number.keys() >= set(asked[-1]):
        raise UnusableAnswerError("its loop file asks for images that are labelled already or not in the data set")
    return np.array([number[row] for row in asked[-1]], dtype=np.int64)
