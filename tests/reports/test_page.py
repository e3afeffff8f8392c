"""A page: safe data, nothing loaded, and libraries that are what their list says."""

from __future__ import annotations

import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from harness.reports.page import VENDOR, fill_page, script_json
from harness.tracks.views import Card, Chart, Gallery, Key, Numbers, OperatingPoints, Picture, Thresholds, image_uri
from tests.reports.browser import ask, needs_browser

HOSTILE = "</script><script>alert(1)</script><!--'\"&\u2028\u2029<b>"
VIEWS = (
    Chart(
        HOSTILE,
        HOSTILE,
        {"x": [0.0, 1.0, 2.0], "y": [1.0, float("nan"), 3.0], "of": [HOSTILE] * 3},
        ({"mark": "line", "x": "x", "y": "y"}, {"mark": "dot", "x": "x", "y": "y", "tip": True}),
        panel="of",
        keys=(Key(HOSTILE, "red", HOSTILE),),
    ),
    Numbers(HOSTILE, "", ("name", HOSTILE), ((HOSTILE, 1.23456), ("b", None), ("c", HOSTILE))),
    Thresholds(
        "T",
        "",
        (
            OperatingPoints(
                HOSTILE, 4, 2, [0.1, 0.5, 0.9], [4, 3, 1], [2, 1, 0],
                {"set": [HOSTILE, "s"], "sample": [0, 1], "confidence": [0.6, 0.1]},
            ),
        ),
    ),
    Gallery("G", "", ((HOSTILE, (Card((Picture(image_uri([[0, 255]]), HOSTILE),), HOSTILE),)),)),
)  # fmt: skip


class Tags(HTMLParser):
    """The elements of a page with their attributes, and the text of its scripts of a type."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.data, self._inside = "", False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self._inside = dict(attrs).get("id") == "data"

    def handle_endtag(self, tag):
        self._inside = False

    def handle_data(self, data):
        self.data += data if self._inside else ""


@pytest.fixture(scope="module")
def page():
    return fill_page("views-page.html", views=VIEWS, data={"hostile": HOSTILE})


@pytest.fixture(scope="module", autouse=True)
def _template(tmp_path_factory):
    """A template of the test's own beside those of the harness."""
    import shutil

    from harness.reports import page as module

    folder = tmp_path_factory.mktemp("templates")
    shutil.copytree(module.TEMPLATES, folder, dirs_exist_ok=True)
    (folder / "views-page.html").write_text(
        '{% extends "base.html" %}{% from "views.html" import show %}{% block title %}t{% endblock %}'
        "{% block body %}{% for view, number in views %}{{ show(view, number, loop.index) }}{% endfor %}{% endblock %}"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TEMPLATES", folder)
        yield


def test_data_in_a_script_is_what_it_was_and_ends_no_script():
    value = {"a": HOSTILE, "b": [1.5, float("inf"), float("nan"), None, True], HOSTILE: (1,)}
    text = script_json(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == {"a": HOSTILE, "b": [1.5, None, None, None, True], HOSTILE: [1]}


def test_hostile_text_stays_text(page):
    tags = Tags(page)
    assert [attributes for tag, attributes in tags.found if tag == "script" and not attributes] == [{}] * 4
    assert not [tag for tag, _ in tags.found if tag == "b"]
    assert json.loads(tags.data)["hostile"] == HOSTILE
    assert json.loads(tags.data)["views"][0]["columns"]["y"] == [1.0, None, 3.0]


def test_a_page_refers_to_nothing(page):
    for tag, attributes in Tags(page).found:
        for name in ("src", "href", "srcset", "poster", "action"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:")), f"{tag} {name}={value}"
        assert "url(" not in (attributes.get("style") or "")
    assert "default-src 'none'" in page


def test_a_page_without_charts_carries_no_chart_library():
    assert "observablehq" not in fill_page("views-page.html", views=VIEWS[1:2])


def test_libraries_are_those_of_the_list():
    rows = re.findall(r"^\| `(\S+)` \| .*? \| `([0-9a-f]{64})` \|", (VENDOR / "README.md").read_text(), re.MULTILINE)
    scripts = sorted(VENDOR.glob("*.js"))
    assert sorted(name for name, _ in rows) == [path.name for path in scripts]
    for name, digest in rows:
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest
        assert (VENDOR / f"{name.split('.')[0]}.LICENSE").is_file()
        assert "</script" not in (VENDOR / name).read_text(encoding="utf-8").lower()
    assert sum(path.stat().st_size for path in scripts) < 900_000


def test_a_value_that_is_missing_is_a_dash(page):
    assert re.search(r"<th scope=\"row\">b</th>\s*<td>–</td>", page)
    assert "<td>1.235</td>" in page


@needs_browser
def test_every_view_is_drawn_without_a_word(page, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(page, encoding="utf-8")
    script = """
      document.querySelector("details[data-table]").open = true;
      document.querySelector("details[data-table]").dispatchEvent(new Event("toggle"));
      return {
        lines: document.querySelectorAll(".plots[data-view] svg path").length,
        caption: document.querySelector(".plots figcaption").textContent,
        fallback: document.querySelectorAll("details[data-table] tbody tr").length,
        failures: [...document.querySelectorAll(".failures tbody tr")].map((row) => row.cells[0].textContent),
        wide: document.documentElement.scrollWidth,
      };
    """
    answer = ask(path, script)
    assert answer["problems"] == []
    assert answer["loaded"] == []
    found = answer["found"]
    assert found["lines"] > 0
    assert found["caption"] == HOSTILE
    assert found["fallback"] == 3
    assert found["failures"] == [HOSTILE]
    assert found["wide"] <= 1280
