"""Pictures of every page, to be looked at: `make screenshots`.

Runs the examples of README, writes their pages, a board of one's own runs and the site, and takes a page of every template
at two widths, light and dark. What is there already is not made again. Argument: the folder. Its `docs/` holds the pictures
of README and the first page of the site, to be copied to `docs/_static` where they show an older look.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from tests.reports.browser import browser, opened

ROOT = Path(__file__).parents[2]
HARNESS = [str(Path(sys.executable).with_name("harness"))]
EXAMPLES = {
    "confidence": ["margin.py"],
    "query": ["predictive_entropy.py"],
    "query-volumes": ["predictive_entropy.py", "--benchmark", "query-mni152"],
    "attribution": ["gradient_times_input.py"],
    "attribution-metric": ["top_patch_drop.py"],
}
BROWSED = ("confidence", "query", "query-volumes", "attribution")
BOARD = "query-mnist"  # with the run of the example that it is the benchmark of
SITE = {
    "index": "index.html",
    "leaderboards": "leaderboards/index.html",
    "board-confidence": "leaderboards/confidence-mnist/2/index.html",
    "board-query": "leaderboards/query-mnist/2/index.html",
    "board-attribution": "leaderboards/attribution-mnist/1/index.html",
    "board-attribution-metric": "leaderboards/meta-mnist/1/index.html",
    "board-published": "leaderboards/query-realistic-al/2/index.html",
    "board-withdrawn": "leaderboards/attribution-latec/1/index.html",
    "changes": "leaderboards/confidence-mnist/2/changes/index.html",
    "method": "leaderboards/confidence-mnist/2/msr/index.html",
    "comparison": "leaderboards/confidence-mnist/2/index.html",
    "submit": "leaderboards/submit/index.html",
    "datasets": "datasets/index.html",
    "dataset": "datasets/acdc/index.html",
    "guides": "guides/index.html",
    "guide-confidence": "guides/confidence-scores.html",
    "guide-query": "guides/query-strategies.html",
    "guide-attribution": "guides/xai-methods.html",
    "guide-attribution-metric": "guides/xai-metrics.html",
    "metrics": "reference/metrics-confidence.html",
    "protocols": "reference/protocols.html",
    "benchmarks": "reference/benchmarks.html",
    "api": "api/attribution.html",
    "search": "search.html?q=augrc",
}
PARTS = {"comparison": "#apart"}  # of a page, where not all of it
LONGEST = 6000  # of a page, in pixels
SHOWN = {  # in README: the page, to where it is scrolled, and how many pixels are left above that
    "board-page": ("site-board-confidence", "h1", 120),
    "run-report": ("report-confidence", "#view-1", 15),
    "failure-browser": ("browse-confidence", "h1", 30),
}


def main(folder: Path) -> None:
    pages = dict(run_pages(folder))
    if done([*HARNESS, "site", "build", "--out", str(folder / "site")], unless=folder / "site" / SITE["index"]):
        pages |= {f"site-{name}": folder / "site" / path for name, path in SITE.items()}
    with browser(graphics=True) as started:
        for name, path in pages.items():
            for width, scheme in ((1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")):
                part = PARTS.get(name.removeprefix("site-"), "")
                picture(started, path, folder / f"{name}-{width}-{scheme}.png", width, scheme, part)
        for name, (page, place, above) in SHOWN.items():
            if page in pages:
                shown_picture(started, pages[page], folder / "docs" / f"{name}.webp", place, above)


def run_pages(folder: Path) -> Iterator[tuple[str, Path]]:
    for kind, (file, *more) in EXAMPLES.items():
        runs = folder / "runs" / kind
        command = [*HARNESS, "evaluate", str(ROOT / "examples" / file), *more, "--out", str(runs)]
        if not done(command, unless=runs):
            continue
        (run,) = runs.iterdir()
        yield f"report-{kind}", run / "report.html"
        if kind in BROWSED and done([*HARNESS, "browse", str(run)], unless=run / "browse.html"):
            yield f"browse-{kind}", run / "browse.html"
    board = folder / "board"
    command = [*HARNESS, "board", "build", BOARD, "--runs", str(folder / "runs" / "query"), "--out", str(board)]
    if done(command, unless=board / "board.html"):
        yield "local-board", board / "board.html"


def done(command: list[str], *, unless: Path) -> bool:
    """Whether what the command makes is there; what cannot be made here is named and left out."""
    if unless.exists():
        return True
    print("$ harness", *command[1:], flush=True)
    return subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode == 0


def picture(started: object, page: Path, target: Path, width: int, scheme: str, part: str) -> None:
    """part: what of the page, a selector; empty for all, as far as `LONGEST` reaches."""
    file, _, query = page.name.partition("?")
    asked = f"?{query}" if query else ""
    with opened(started, page.with_name(file), width=width, scheme=scheme, query=asked) as seen:
        seen.page.wait_for_timeout(1000)
        height = min(LONGEST, seen.page.evaluate("document.documentElement.scrollHeight"))
        seen.page.set_viewport_size({"width": width, "height": height})
        seen.page.wait_for_timeout(500)
        (seen.page.locator(part) if part else seen.page).screenshot(path=target)
    print(target, *seen.problems, flush=True)


def shown_picture(started: Any, page: Path, target: Path, place: str, above: int) -> None:
    """What a window of 1280 x 860 shows from a place on, at one and a half times its pixels; in the failure browser, with a
    sample that the keyboard has chosen."""
    from PIL import Image

    context = started.new_context(viewport={"width": 1280, "height": 860}, device_scale_factor=1.5, offline=True)
    seen = context.new_page()
    seen.goto(page.as_uri())
    seen.wait_for_timeout(4000)
    if seen.locator(".canvas").count():
        seen.locator(".canvas").focus()
        seen.keyboard.press("ArrowRight")
    top = seen.evaluate("place => document.querySelector(place).getBoundingClientRect().top + scrollY", place)
    seen.evaluate("top => scrollTo(0, top)", top - above)
    seen.wait_for_timeout(300)
    target.parent.mkdir(exist_ok=True)
    Image.open(BytesIO(seen.screenshot())).convert("RGB").save(target, quality=80, method=6)
    context.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
