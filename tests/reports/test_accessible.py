"""Pages can be read and used by people who do not see well, or do not use a mouse."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.support import harness, write_toy
from tests.reports.browser import barriers, browser, needs_browser, opened
from tests.reports.test_page import _template, page  # noqa: F401

pytestmark = [pytest.mark.usefixtures("in_this_process"), needs_browser]


@pytest.fixture(scope="module")
def pages(page, made_once, tmp_path_factory):  # noqa: F811
    """A page of each template."""

    def fill(folder: Path) -> None:
        write_toy(folder)
        done = harness("evaluate", "margin.py", "--benchmark", "toy.toml", "--workers", "1", folder=folder)
        assert done.returncode == 0, done.stderr

    folder = shutil.copytree(made_once("report-run", fill), tmp_path_factory.mktemp("pages") / "toy")
    (run,) = folder.glob("runs/*")
    done = harness("browse", run, "--benchmark", "toy.toml", folder=folder)
    assert done.returncode == 0, done.stderr
    (run / "views.html").write_text(page, encoding="utf-8")
    return {name: run / f"{name}.html" for name in ("report", "browse", "views")}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["report", "browse", "views"])
def test_no_barrier_is_serious(pages, name, scheme):
    with browser() as started, opened(started, pages[name], scheme=scheme) as seen:
        seen.page.wait_for_timeout(300)
        assert barriers(seen) == []


SITE = (
    "index.html",
    "leaderboards/index.html",
    "leaderboards/confidence-mnist/2/index.html",
    "leaderboards/query-mnist/2/index.html",
    "leaderboards/query-realistic-al/2/index.html",
    "leaderboards/attribution-mnist/1/saliency/index.html",
    "datasets/index.html",
    "guides/confidence-scores.html",
    "reference/metrics-confidence.html",
    "api/index.html",
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_barrier_of_the_site_is_serious(whole_site, scheme):
    with browser() as started:
        for place in SITE:
            with opened(started, whole_site / "html" / place, scheme=scheme) as seen:
                seen.page.wait_for_timeout(300)
                assert seen.problems == [], place  # before axe asks for style sheets, which a page from disk must not
                assert barriers(seen) == [], place


def test_a_barrier_is_found(tmp_path):
    (tmp_path / "page.html").write_text('<!doctype html><html lang="en"><title>t</title><img src="data:,">')
    with browser() as started, opened(started, tmp_path / "page.html") as seen:
        assert any("image-alt" in each for each in barriers(seen))
