"""The whole site: generated pages beside a copy of the documentation, made into HTML by Sphinx, put in place at once."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from harness.data.catalog import bundled_folder
from harness.reports.page import TABLES, VENDOR
from harness.reports.site.datasets import write_datasets
from harness.reports.site.versions import write_versions
from harness.spec.errors import UsageError
from harness.storage import replacing_folder, write_bytes

PAGE = "index.html"
_NEEDED = ("sphinx", "myst_parser", "pydata_sphinx_theme", "scikit_posthocs")
_OWN = ".buildinfo"  # what Sphinx leaves in a folder of its own


def build_site(out: Path, say: Callable[[str], None] = lambda text: None) -> Path:
    """Write the site into the folder `out` and return its first page; `say` is told what goes on and what Sphinx warns of.

    An earlier site is replaced when the new one is whole. Raises UsageError where the extra or the checkout is missing,
    and for a folder that holds something else.
    """
    docs = bundled_folder("docs")
    _require(docs, out)
    with TemporaryDirectory(prefix="harness-site-") as scratch:
        source = Path(scratch) / docs.name
        shutil.copytree(docs, source, ignore=shutil.ignore_patterns("__pycache__", "_build"))
        for path in docs.parent.glob("*.md"):  # what guides include
            shutil.copy(path, scratch)
        for name in TABLES:
            shutil.copy(VENDOR / name, source / "_static" / name)
        files = write_versions(source, say)
        write_datasets(source)
        say("writing pages")
        with replacing_folder(out.resolve()) as folder:
            warnings = _sphinx(source, folder, Path(scratch) / "doctrees")
            for place, content in files.items():
                (folder / place).parent.mkdir(parents=True, exist_ok=True)
                write_bytes(folder / place, content)
    if warnings:
        say(warnings.replace(f"{source}/", ""))
    return out / PAGE


def _require(docs: Path, out: Path) -> None:
    if any(find_spec(name) is None for name in _NEEDED):
        raise UsageError("the site is made by Sphinx, which is not installed; run: pip install 'reliabench[site]'")
    if not (docs / "conf.py").is_file():
        raise UsageError("the site is built from a checkout of the repository, for its documentation; run it in one.")
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not (out / _OWN).is_file()):
        raise UsageError(f"--out {out}: it holds something else than a site; name a folder that is new or empty.")
    if not out.resolve().parent.is_dir():
        raise UsageError(f"--out {out}: the folder {out.resolve().parent} does not exist; make it, or name another.")


def _sphinx(source: Path, out: Path, doctrees: Path) -> str:
    """Run Sphinx and return its warnings. A process of its own: it changes docutils and logging for all."""
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-b",
        "html",
        "-j",
        "auto",
        "-q",
        "-d",
        str(doctrees),
        str(source),
        str(out),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    said = done.stderr.strip()
    if done.returncode != 0:
        raise UsageError(f"Sphinx could not make the pages: {' '.join(said.splitlines()[-3:]) or 'it says nothing.'}")
    return said
