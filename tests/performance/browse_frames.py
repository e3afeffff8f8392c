"""How fluid the failure browser is: real mouse wheel and drags in Debian's chromium, drawn in software. By hand: `make
bench-browse`.

Prints for each number of points: size of the page and memory of its making, seconds until the first picture, frames per
second while zooming and while dragging, in two dimensions and three, what the page's own measure says, and memory of the tab.
Frames count only if the page has drawn in them.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

CLASSES, FEATURES = 10, 32
COUNT = """
window.drawings = [];
const draws = WebGLRenderingContext.prototype.drawArrays, elements = WebGLRenderingContext.prototype.drawElements;
const drawn = () => { const now = Math.round(document.timeline.currentTime); if (drawings.at(-1) !== now) drawings.push(now); };
WebGLRenderingContext.prototype.drawArrays = function (...all) { drawn(); return draws.apply(this, all); };
WebGLRenderingContext.prototype.drawElements = function (...all) { drawn(); return elements.apply(this, all); };
"""
MAKE = """
import resource, sys
from harness.cli import main
try:
    sys.argv = ["harness", *sys.argv[1:]]
    main()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, file=sys.stderr)
"""
VARIANTS = {
    "swiftshader": ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"],
    "egl": ["--use-gl=egl", "--ignore-gpu-blocklist"],
    "angle-gl": ["--use-angle=gl", "--ignore-gpu-blocklist"],
    "default": [],
}
HEADINGS = ("samples", "points", "page MB", "build s", "build MB", "picture s", "zoom 2D", "drag 2D", "turn 3D", "zoom 3D", "symbols", "threshold", "page says", "tab MB")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, nargs="+", default=[1_000, 5_000, 20_000, 500_000])
    parser.add_argument("--drawing", choices=VARIANTS, default="swiftshader")
    parser.add_argument("--width", type=int, default=1280)
    given = parser.parse_args()
    print("  ".join(f"{each:>9}" for each in HEADINGS))
    with tempfile.TemporaryDirectory() as folder:
        for samples in given.samples:
            page, seconds, memory = made(Path(folder), samples)
            found = asyncio.run(measured(page, given.drawing, given.width))
            row = [
                samples,
                found.pop("points"),
                round(page.stat().st_size / 1e6, 2),
                round(seconds, 1),
                memory,
                *found.values(),
            ]
            print("  ".join(f"{each:>9}" for each in row), flush=True)


def made(folder: Path, samples: int) -> tuple[Path, float, int]:
    """The page of a table of this many samples, of which one in ten fails; processor seconds and MiB of its making."""
    rng = np.random.default_rng(0)
    labels = rng.integers(CLASSES, size=samples)
    centres = 3 * rng.normal(size=(CLASSES, FEATURES))
    features = (centres[labels] + rng.normal(size=(samples, FEATURES))).astype(np.float32)
    logits = (rng.normal(size=(samples, CLASSES)) + 3.1 * np.eye(CLASSES)[labels]).astype(np.float32)
    np.savez(folder / f"{samples}.npz", labels=labels, logits=logits, features=features)
    page = folder / f"{samples}.html"
    before = os.times()
    command = [
        sys.executable,
        "-c",
        MAKE,
        "browse",
        str(folder / f"{samples}.npz"),
        "--embedding",
        "pca",
        "--out",
        str(page),
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    after = os.times()
    return (
        page,
        after.children_user + after.children_system - before.children_user - before.children_system,
        int(done.stderr.split()[-1]),
    )


async def measured(path: Path, drawing: str, width: int) -> dict[str, Any]:
    from playwright.async_api import async_playwright

    from tests.reports.browser import CHROMIUM

    arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--enable-precise-memory-info", *VARIANTS[drawing]]
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=CHROMIUM, args=arguments, timeout=120_000)
        page = await started.new_page(viewport={"width": width, "height": 900})
        page.set_default_timeout(120_000)
        await page.add_init_script(COUNT)
        await page.goto(path.as_uri())
        await page.wait_for_function("drawings.length > 0")
        found: dict[str, Any] = {"picture": round(await page.evaluate("drawings[0]") / 1000, 1)}
        await page.wait_for_timeout(1500)  # the page looks how fast it draws
        box = await page.locator("#stage").bounding_box()
        hand = Hand(page, box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        found |= {"zoom 2D": await hand.zooms(), "drag 2D": await hand.drags()}
        await page.get_by_role("radio", name="3").check()
        await page.wait_for_timeout(1000)
        found |= {"turn 3D": await hand.drags(), "zoom 3D": await hand.zooms()}
        await page.get_by_role("radio", name="2").check()
        await page.get_by_label("symbols").select_option("class")
        await page.wait_for_timeout(1000)
        found |= {"symbols": await hand.zooms()}
        await page.get_by_label("symbols").select_option("")
        found |= {"threshold": await hand.steps()}
        await page.wait_for_timeout(2000)
        await page.get_by_role("button", name="frame rate").click()
        await page.wait_for_function("document.getElementById('drawn').textContent.includes('per second')")
        said = await page.locator("#drawn").inner_text()
        found |= {
            "says": said.split(" frames")[0].split()[-1],
            "memory": round(await page.evaluate("performance.memory.usedJSHeapSize") / 2**20),
        }
        found["points"] = await page.evaluate("Browse.visible().length")
        print(said, file=sys.stderr)
        await started.close()
    return found


class Hand:
    """A mouse that sends an event every 60th of a second, whether or not the page keeps up."""

    def __init__(self, page: Any, x: float, y: float) -> None:
        self.page, self.x, self.y = page, x, y

    async def zooms(self) -> float:
        return await self.rate(
            lambda step: {"type": "mouseWheel", "deltaX": 0, "deltaY": -20 if step % 60 < 30 else 20}
        )

    async def drags(self) -> float:
        mouse = self.page.mouse
        await mouse.move(self.x, self.y)
        await mouse.down()
        angle = 0.1
        found = await self.rate(
            lambda step: {
                "type": "mouseMoved",
                "button": "left",
                "buttons": 1,
                "dx": 80 * math.sin(angle * step),
                "dy": 80 * math.cos(angle * step),
            }
        )
        await mouse.up()
        return found

    async def steps(self) -> float:
        """Of the threshold, by arrow keys."""
        slider = self.page.locator("#threshold")
        await slider.fill(await slider.get_attribute("max") or "0")
        await slider.focus()
        left = {"type": "keyDown", "key": "ArrowLeft", "code": "ArrowLeft", "windowsVirtualKeyCode": 37}
        return await self.rate(lambda step: left)

    async def rate(self, gesture: Callable[[int], dict[str, Any]], seconds: float = 3.0) -> float:
        """Frames per second in which the page has drawn, while a gesture goes on without a pause."""
        await self.page.mouse.move(self.x, self.y)
        await self.page.wait_for_timeout(500)
        session = await self.page.context.new_cdp_session(self.page)
        start = await self.page.evaluate("document.timeline.currentTime")
        sent = []
        for step in range(round(60 * seconds)):
            event = {"x": self.x, "y": self.y, **gesture(step)}
            event |= {"x": self.x + event.pop("dx", 0), "y": self.y + event.pop("dy", 0)}
            what = "Input.dispatchKeyEvent" if "key" in event else "Input.dispatchMouseEvent"
            sent.append(asyncio.ensure_future(session.send(what, event)))
            await asyncio.sleep(1 / 60)
        end = await self.page.evaluate("document.timeline.currentTime")
        count = await self.page.evaluate(f"drawings.filter((at) => at > {start} && at <= {end}).length")
        await asyncio.gather(*sent)
        return round(1000 * count / (end - start), 1)


if __name__ == "__main__":
    main()
