"""A page opened in Debian's chromium, where that is installed, by playwright: without a network, as from a disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
_GRAPHICS = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
_NO_GRAPHICS = ["--disable-gpu", "--disable-3d-apis"]


@dataclass
class Opened:
    """page: playwright's. problems: errors and warnings so far; loaded: what the page fetched beside itself."""

    page: Any
    problems: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)


@contextmanager
def browser(*, graphics: bool = False) -> Iterator[Any]:
    """graphics: WebGL exists, drawn in software."""
    from playwright.sync_api import sync_playwright

    drawing = _GRAPHICS if graphics else _NO_GRAPHICS
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage", *drawing], timeout=120_000
        )
        try:
            yield started
        finally:
            started.close()


@contextmanager
def opened(started: Any, path: Path, *, width: int = 1280, scheme: str = "light", query: str = "") -> Iterator[Opened]:
    """scheme: light or dark. query: what follows the address."""
    context = started.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, accept_downloads=True, offline=True
    )
    context.set_default_timeout(60_000)
    page = context.new_page()
    seen = Opened(page)

    def said(message: Any) -> None:
        # That drawing in software is slow, the driver says at times; the page cannot help it.
        if message.type in ("error", "warning") and "GL Driver Message" not in message.text:
            seen.problems.append(f"{message.type}: {message.text}")

    def requested(request: Any) -> None:
        if request.url != path.as_uri() + query and not request.url.startswith(("data:", "blob:")):
            seen.loaded.append(request.url)

    page.on("console", said)
    page.on("pageerror", lambda error: seen.problems.append(f"error: {error}"))
    page.on("request", requested)
    page.goto(path.as_uri() + query)
    try:
        yield seen
    finally:
        context.close()


def ask(page: Path, script: str, *, width: int = 1280, graphics: bool = False, query: str = "") -> dict[str, Any]:
    """`found`: what the body of an async function returns on the page; `problems` and `loaded` as `Opened`."""
    with browser(graphics=graphics) as started, opened(started, page, width=width, query=query) as seen:
        seen.page.wait_for_timeout(200)
        found = seen.page.evaluate(f"async () => {{ {script} }}")
        return {"found": found, "problems": seen.problems, "loaded": seen.loaded}


def barriers(seen: Opened) -> list[str]:
    """What axe-core finds serious or critical for people who do not see or do not use a mouse."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(seen.page).response["violations"]
    return [
        f"{each['id']} ({each['impact']}): {node['target']} {node['failureSummary'].splitlines()[-1].strip()}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]
