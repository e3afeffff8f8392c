"""Pages whose samples are looked at one by one: filters, order, slices, table and file say the same."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from harness.reports.browse import listing as module
from harness.reports.browse.listing import listing_page
from harness.tracks.views import Card, Key, Picture, SampleList, image_uri
from tests.reports.browser import ask, needs_browser
from tests.reports.test_page import HOSTILE

COUNT = 120
DICE = [None if at % 10 == 3 else round((at * 37 % 101) / 101, 4) for at in range(COUNT)]
CLASS = [at % 3 for at in range(COUNT)]


def made(**changes) -> SampleList:
    def cards(row: int) -> tuple[Card, ...]:
        views = [
            Card(
                (Picture(image_uri(np.full((4, 4), 2 * row + part)), f"row {row}, slice {part}"),),
                f"slice {part}",
                part == 1,
            )
            for part in range(3)
        ]
        return () if row % 5 == 4 else tuple(views)

    columns = {
        "what": ["held-out", HOSTILE] * 60,
        "case": [f"=1+{at}" for at in range(COUNT)],
        "class": CLASS,
        "Dice": DICE,
    }
    given = {
        "text": HOSTILE, "columns": columns, "filters": ("what", "class"), "orders": {"Dice": False, "class": True},
        "caption": ("case", "class", "Dice"), "cards": cards, "keys": (Key(HOSTILE, "red"),), "notes": (HOSTILE,),
    }  # fmt: skip
    return SampleList(**{**given, **changes})


DRIVE = """
  const find = (id) => document.getElementById(id), selects = [...document.querySelectorAll("#choices select")];
  const set = (at, value) => { selects[at].value = value; selects[at].dispatchEvent(new Event("change")); };
  const cases = () => [...document.querySelectorAll("#cards figure")].map((figure) => figure.querySelector("dd").textContent);
  const found = { first: cases(), slice: document.querySelector("#cards .slice").textContent, alt: document.querySelector("#cards img").alt,
    drawn: document.querySelector("#cards img").naturalWidth };
  const slider = document.querySelector("#cards input");
  slider.value = 2;
  slider.dispatchEvent(new Event("input"));
  found.moved = document.querySelector("#cards img").alt;
  find("more").click();
  found.more = cases().length;
  set(1, "2");
  found.second = cases();
  found.shown = find("shown").textContent;
  set(2, "Dice|true");
  found.largest = cases();
  found.csv = SampleList.csv();
  find("table").open = true;
  find("table").dispatchEvent(new Event("toggle"));
  found.rows = document.querySelectorAll("#table tbody tr").length;
  found.bold = document.querySelectorAll("b").length;
  found.wide = document.documentElement.scrollWidth - innerWidth;
  return found;
"""


@needs_browser
@pytest.mark.parametrize("width", [1280, 500])
def test_the_page_filters_orders_and_exports(tmp_path, width):
    page = tmp_path / "list.html"
    page.write_text(listing_page(made(), HOSTILE, HOSTILE), "utf-8")
    answer = ask(page, DRIVE, width=width)
    assert answer["problems"] == []
    assert answer["loaded"] == []
    found = answer["found"]

    def order(rows, sign=1):
        return sorted(rows, key=lambda at: (DICE[at] is None, sign * (DICE[at] or 0), at))

    everyone = order(range(COUNT))
    assert found["first"] == [f"=1+{at}" for at in everyone[:48]]
    assert found["slice"] == "slice 1"
    assert found["alt"] == f"row {everyone[0]}, slice 1"
    assert found["moved"] == f"row {everyone[0]}, slice 2"
    assert found["drawn"] == 4
    assert found["more"] == 96
    of_class = [at for at in range(COUNT) if CLASS[at] == 2]
    assert found["second"] == [f"=1+{at}" for at in order(of_class)]
    assert found["shown"].startswith("40 of 120 rows")
    assert found["largest"] == [f"=1+{at}" for at in order(of_class, -1)]
    table = list(csv.reader(io.StringIO(found["csv"], newline="")))
    assert table[0] == ["what", "case", "class", "Dice"]
    assert [row[1] for row in table[1:]] == [f"'=1+{at}" for at in order(of_class, -1)]  # no formula
    assert [row[3] for row in table[1:]] == [
        "" if DICE[at] is None else f"{DICE[at]:.4g}" for at in order(of_class, -1)
    ]
    assert found["rows"] == 25
    assert found["bold"] == 0
    assert found["wide"] <= 0


UNLUCKY = {
    "no pictures": {"cards": lambda row: ()},
    "one row": {"columns": {"what": ["a"], "case": ["b"], "class": [0], "Dice": [None]}},
    "two hundred classes": {"columns": {"what": ["a"] * 400, "case": ["b"] * 400, "class": [*range(200)] * 2, "Dice": [0.5] * 400}},
}  # fmt: skip


@needs_browser
@pytest.mark.parametrize("case", UNLUCKY)
def test_unlucky_listings_have_a_page_too(case, tmp_path):
    listing = made(**UNLUCKY[case])
    page = tmp_path / "list.html"
    page.write_text(listing_page(listing, "a", "b"), "utf-8")
    answer = ask(page, "return [...document.querySelectorAll('#choices select')].map((each) => each.options.length)")
    assert answer["problems"] == []
    classes = len(set(listing.columns["class"]))
    assert classes == 1 or 1 + classes in answer["found"]
    assert ("There are no pictures here." in page.read_text("utf-8")) == (case == "no pictures")


def test_a_page_that_is_full_says_how_many_rows_have_pictures(monkeypatch):
    monkeypatch.setattr(module, "_MOST_BYTES", 2000)
    text = listing_page(made(), "a", "b")
    assert "rows are inside, the first in the order at the beginning" in text
    assert "Pictures were left out." in listing_page(made(), "a", "b", images=False)
