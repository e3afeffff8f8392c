"""Pictures of every page, to be looked at: `make screenshots`.

Runs the examples of README, writes their pages and the site, and takes each page at two widths, light and dark. What is
there already is not made again. Argument: the folder.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

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
SITE = ("index.html", "search.html")
LONGEST = 6000  # of a page, in pixels


def main(folder: Path) -> None:
    pages = dict(run_pages(folder))
    if done([*HARNESS, "site", "build", "--out", str(folder / "site")], unless=folder / "site" / SITE[0]):
        pages |= {
            f"site-{'-'.join(path.with_suffix('').parts)}": folder / "site" / path
            for path in site_pages(folder / "site")
        }
    with browser(graphics=True) as started:
        for name, path in pages.items():
            for width, scheme in ((1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")):
                picture(started, path, folder / f"{name}-{width}-{scheme}.png", width, scheme)


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


def site_pages(site: Path) -> list[Path]:
    """One of each kind: the others are made from the same templates."""
    first: dict[tuple[str, ...], Path] = {}
    for path in sorted(path for path in site.rglob("*.html") if "_static" not in path.parts):
        place = path.relative_to(site)
        first.setdefault((place.parts[0], str(len(place.parts))) if len(place.parts) > 1 else place.parts, place)
    return list(first.values())


def done(command: list[str], *, unless: Path) -> bool:
    """Whether what the command makes is there; what cannot be made here is named and left out."""
    if unless.exists():
        return True
    print("$ harness", *command[1:], flush=True)
    return subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode == 0


def picture(started: object, page: Path, target: Path, width: int, scheme: str) -> None:
    with opened(started, page, width=width, scheme=scheme) as seen:
        seen.page.wait_for_timeout(1000)
        height = min(LONGEST, seen.page.evaluate("document.documentElement.scrollHeight"))
        seen.page.set_viewport_size({"width": width, "height": height})
        seen.page.wait_for_timeout(500)
        seen.page.screenshot(path=target)
    print(target, *seen.problems, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
