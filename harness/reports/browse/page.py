"""The failure browser's page: one file with its points, what scores say of them, and small images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.metrics.facts import metric_facts
from harness.reports.browse.chosen import chosen_samples
from harness.reports.browse.embedding import How, Places, layouts, principal_components
from harness.reports.browse.opening import Opened
from harness.reports.browse.payload import Points, by_confidence, content
from harness.reports.browse.picture import picture
from harness.reports.browse.samples import FAILURE, Browsed
from harness.reports.browse.sprites import Sprites, sprites
from harness.reports.page import fill_page
from harness.storage import write_text

if TYPE_CHECKING:
    import numpy as np

PAGE = "browse.html"
MOST_POINTS = 20_000
_NETWORKS = 4  # shown where the user names none
_FEWEST = 100  # points of a network
_PARTS = ("browse.css", "browse-sheet.js", "browse-points.js", "browse-solid.js", "browse-stage.js", "browse.js")
_LIBRARIES = ("regl.min.js", "pub-sub.umd.min.js", "regl-scatterplot.min.js")


@dataclass(frozen=True)
class PageRequest:
    """What the user chose. models: names of networks; none for the first ones, "all" for all. points: of all networks
    together. say: told what takes long."""

    out: Path
    models: tuple[str, ...] = ()
    embedding: How = "auto"
    images: bool = True
    points: int = MOST_POINTS
    say: Callable[[str], None] = lambda text: None


@dataclass(frozen=True)
class _Network:
    """A network as it is shown: its points, their principal components, and ways to lay them out."""

    browsed: Browsed
    points: Points
    components: np.ndarray | None
    ways: tuple[Places, ...]


def write_browser(opened: Opened, request: PageRequest) -> Path:
    """Write the page and return its path. Errors as those of `Browsed` and `layouts`."""
    import numpy as np

    names = list(dict.fromkeys(unit.model for unit in opened.scores[0].answers))
    wanted = names if "all" in request.models else request.models or names[:_NETWORKS] or (None,)
    shown = [_network(opened, model, request, len(wanted)) for model in wanted]
    images = None
    if request.images:
        images = sprites([(n.browsed, n.points.chosen, np.flatnonzero(n.points.outcome == FAILURE)) for n in shown])
    cells: tuple[np.ndarray | None, ...] = images.cells if images else (None,) * len(shown)
    pictures = [picture(each.ways[0].flat, each.points) for each in shown]
    notes = [list(_notes(opened, each, of, request)) for each, of in zip(shown, cells, strict=True)]
    facts = metric_facts()
    networks = [
        {
            "name": each.browsed.model.id,
            "notes": said,
            "picture": still,
            **content(each.points, each.components, each.ways, of),
        }
        for each, of, still, said in zip(shown, cells, pictures, notes, strict=True)
    ]
    page = fill_page(
        "browse.html",
        data={"networks": networks, "sprites": _sheets(images)},
        libraries=_LIBRARIES,
        parts=_PARTS,
        title=opened.title,
        benchmark=opened.protocol.benchmark,
        model=shown[0].browsed.model.id,
        shown=len(shown),
        others=[name for name in names if name not in {each.browsed.model.id for each in shown}],
        document=opened.document,
        notes=notes[0],
        metrics=[
            (name, facts[name].heading, facts[name].scale)
            for name in dict.fromkeys(name for each in shown for name in each.points.metrics)
        ],
        picture=pictures[0],
        layout=shown[0].ways[0].title,
    )
    write_text(request.out, page)
    return request.out


def _network(opened: Opened, model: str | None, request: PageRequest, count: int) -> _Network:
    browsed = Browsed(opened.scores, model, opened.naming)
    points = Points(browsed, chosen_samples(browsed, max(_FEWEST, request.points // count)))
    return _Network(browsed, points, *_laid_out(browsed, points, request))


def _sheets(shown: Sprites | None) -> dict[str, Any] | None:
    if shown is None:
        return None
    return {"sheets": shown.sheets, "side": shown.side, "across": shown.across, "perSheet": shown.per_sheet}


def _laid_out(browsed: Browsed, points: Points, request: PageRequest) -> tuple[np.ndarray | None, tuple[Places, ...]]:
    """Principal components of the points and the ways to lay them out; where there are results alone, no components and
    places by confidence."""
    import numpy as np

    if browsed.vectors is None:
        return None, (by_confidence(points),)
    parts = []
    for number, each in enumerate(browsed.sets):
        rows = points.chosen.samples[points.chosen.sets == number]
        parts.append((len(rows), browsed.vectors_of(each.name, rows) if len(rows) else None))
    width = next(found.shape[1] for _, found in parts if found is not None)
    vectors = np.concatenate(
        [np.zeros((count, width), np.float32) if found is None else found for count, found in parts]
    )
    components = principal_components(vectors)
    return components, layouts(components, request.embedding, request.say)


def _notes(opened: Opened, network: _Network, cells: np.ndarray | None, request: PageRequest) -> Iterator[str]:
    """What a reader must know of what is not shown."""
    browsed, chosen = network.browsed, network.points.chosen
    points = len(chosen.sets)
    if chosen.complete:
        yield f"All {points:,} samples are points, {chosen.failures:,} of {chosen.tested:,} tested ones being failures."
    else:
        yield (
            f"{points:,} points: all {chosen.failures:,} failures, the least confident successes of every study and score, "
            f"and a random draw from the rest of {chosen.tested:,} tested samples and from training samples. Curves, "
            "coverages and risks rest on all samples; rates of groups weigh what was drawn."
        )
    if browsed.vectors is None:
        yield "There are results alone, neither features nor logits: points lie by confidence and class."
    elif not any(each.role == "training" for each in browsed.sets):
        yield "The training set is not here."
    pictured = 0 if cells is None else int((cells >= 0).sum())
    if request.images and not pictured:
        yield "There are no images here."
    elif request.images and pictured < points:
        yield f"Images of {pictured:,} points are inside, failures before others."
    if browsed.elsewhere:
        names = ", ".join(browsed.elsewhere)
        yield f"Scores without answers on these samples of {browsed.model.id} are left out: {names}."
    yield from opened.missing
