"""A page opened in Debian's chromium, where that is installed: what a script finds there, and what went wrong.

The script runs in a copy of the page. Nothing else than chromium is needed: it prints the page after the script ended.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
_GRAPHICS = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
_WATCH = """<script>
window.problems = [];
for (const name of ["error", "warn"]) console[name] = (...said) => window.problems.push(name + ": " + said.join(" "));
addEventListener("error", (event) => window.problems.push("error: " + event.message));
document.addEventListener("securitypolicyviolation", (event) => window.problems.push("policy: " + event.blockedURI));
</script>"""
_ASK = """<script>
addEventListener("load", () => setTimeout(async () => {
  let found;
  try { found = await (async () => { %s })(); } catch (error) { window.problems.push("script: " + error.message); }
  const loaded = performance.getEntriesByType("resource").map((entry) => entry.name).filter((name) => !name.startsWith("data:"));
  const out = document.createElement("pre");
  out.id = "answer";
  out.textContent = JSON.stringify({ found, problems: window.problems, loaded });
  document.body.append(out);
}, 200));
</script>"""


def ask(
    page: Path, script: str, folder: Path, *, width: int = 1280, graphics: bool = False, query: str = ""
) -> dict[str, Any]:
    """`found`: what the body of an async function returns on the page; `problems`: errors and warnings; `loaded`: what the page
    fetched beside itself. The network does not exist; graphics: WebGL does, drawn in software."""
    assert CHROMIUM is not None
    text = page.read_text(encoding="utf-8")
    assert text.count("<head>") == text.count("</body>") == 1
    copy = folder / "asked.html"
    copy.write_text(text.replace("<head>", "<head>" + _WATCH).replace("</body>", _ASK % script + "</body>"), "utf-8")
    done = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            *(_GRAPHICS if graphics else ["--disable-gpu", "--disable-3d-apis"]),
            "--disable-dev-shm-usage",
            f"--user-data-dir={folder / 'profile'}",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--window-size={width},900",
            "--virtual-time-budget=4000",
            "--dump-dom",
            copy.as_uri() + query,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "HOME": str(folder)},
    )
    answer = re.search(r'<pre id="answer"[^>]*>(.*?)</pre>', done.stdout, re.DOTALL)
    assert answer is not None, done.stderr[-2000:]
    return dict(json.loads(unescape(answer[1])))
