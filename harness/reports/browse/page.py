"""The failure browser's page: one file with its points, what scores say of them, and small images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.metrics.facts import metric_facts
from harness.reports.browse.chosen import Chosen, chosen_samples
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
_PARTS = ("browse.css", "browse-sheet.js", "browse-points.js", "browse-stage.js", "browse.js")
_LIBRARIES = ("regl.min.js", "pub-sub.umd.min.js", "regl-scatterplot.min.js")


@dataclass(frozen=True)
class PageRequest:
    """What the user chose. model: a network's name, None for the first. say: told what takes long."""

    out: Path
    model: str | None = None
    embedding: How = "auto"
    images: bool = True
    points: int = MOST_POINTS
    say: Callable[[str], None] = lambda text: None


def write_browser(opened: Opened, request: PageRequest) -> Path:
    """Write the page and return its path. Errors as those of `Browsed` and `layouts`."""
    import numpy as np

    browsed = Browsed(opened.scores, request.model)
    chosen = chosen_samples(browsed, request.points)
    points = Points(browsed, chosen)
    components, ways = _laid_out(browsed, points, request)
    shown = sprites(browsed, chosen, np.flatnonzero(points.outcome == FAILURE)) if request.images else None
    facts = metric_facts()
    page = fill_page(
        "browse.html",
        data={"browse": content(points, components, ways, shown)},
        libraries=_LIBRARIES,
        parts=_PARTS,
        title=opened.title,
        benchmark=opened.protocol.benchmark,
        model=browsed.model.id,
        networks=sorted({unit.model for unit in opened.scores[0].answers}),
        document=opened.document,
        notes=tuple(_notes(opened, browsed, chosen, shown, request)),
        metrics=[(name, facts[name].heading, facts[name].scale) for name in points.metrics],
        picture=picture(ways[0].flat, points),
        layout=ways[0].title,
        vectors=browsed.vectors,
    )
    write_text(request.out, page)
    return request.out


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


def _notes(
    opened: Opened, browsed: Browsed, chosen: Chosen, shown: Sprites | None, request: PageRequest
) -> Iterator[str]:
    """What a reader must know of what is not shown."""
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
    if request.images and shown is None:
        yield "There are no images here."
    elif shown is not None and int((shown.cell >= 0).sum()) < points:
        yield f"Images of {int((shown.cell >= 0).sum()):,} points are inside, failures before others."
    if browsed.elsewhere:
        names = ", ".join(browsed.elsewhere)
        yield f"Scores without answers on these samples of {browsed.model.id} are left out: {names}."
    yield from opened.missing
