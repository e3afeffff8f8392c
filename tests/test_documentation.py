"""The documentation is built without a warning, loads nothing from elsewhere, and shows every metric with its formula."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from harness.metrics.facts import metric_facts
from tests.printed import TEXTS

pytest.importorskip("sphinx", reason="the documentation is built by Sphinx: pip install 'reliabench[site]'")
pytest.importorskip("myst_parser", reason="the documentation is built by Sphinx: pip install 'reliabench[site]'")

METRIC_PAGES = [name for name in TEXTS if name.startswith("docs/reference/metrics-")]


@pytest.fixture(scope="module")
def site(whole_site: Path) -> Path:
    return whole_site / "html"


class Loaded(HTMLParser):
    """Addresses that a page loads by itself; those of links that a reader follows do not count."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "srcset", "data", "poster", "action") or (name == "href" and tag != "a"):
                self.found.append(value or "")


def loaded(site: Path) -> Iterator[tuple[str, str]]:
    for page in sorted(site.rglob("*.html")):
        parser = Loaded()
        parser.feed(page.read_text())
        yield from ((page.name, address) for address in parser.found)
    for sheet in sorted(site.rglob("*.css")):
        yield from (
            (sheet.name, found) for found in re.findall(r"(?:url\(|@import)\s*[\"']?([^\"')]+)", sheet.read_text())
        )


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    every = list(loaded(site))
    assert len(every) > 100
    assert [each for each in every if re.match(r"\w+:(?<!data:)|//", each[1])] == []


@pytest.mark.parametrize("name", METRIC_PAGES)
def test_formulas_are_mathml(site: Path, name: str) -> None:
    page = (site / name.removeprefix("docs/")).with_suffix(".html").read_text()
    assert page.count('<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">') >= 3
    assert "MathJax" not in page
    assert "$" not in re.sub(r"<(script|pre)\b.*?</\1>", "", page, flags=re.DOTALL)


def test_every_metric_has_a_place_with_a_formula(site: Path) -> None:
    pages = [(site / name.removeprefix("docs/")).with_suffix(".html").read_text() for name in METRIC_PAGES]
    sections = {
        id: section
        for page in pages
        for section in page.split("<section ")
        for id in re.findall(r'id="metric-([\w-]+)"', section)
    }
    judged = [fact for fact in metric_facts().values() if fact.lower_is_better is not None]
    for fact in judged:
        section = sections[fact.id.replace("_", "-")]
        assert 'display="block"' in section, fact.id
        assert ("lower" if fact.lower_is_better else "higher") + " is better" in section, fact.id
