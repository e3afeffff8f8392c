"""The site: its numbers are those of the boards, and it opens from disk, alone."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from harness.boards.build import build_board, write_board
from harness.boards.compare import compare
from harness.data import catalog
from harness.data.catalog import load_protocol
from harness.reports.site import build
from harness.reports.site.build import build_site
from harness.spec.errors import UsageError
from tests.boards import workshop
from tests.boards.support import BENCHMARK, record, told, write_submission
from tests.reports.browser import ask, browser, needs_browser, opened

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = "<script>alert(1)</script>\"'&</h1><h2>`\n# x"
pytestmark = pytest.mark.usefixtures("in_this_process")


class Page(HTMLParser):
    """Tables as rows of (text, data-order), addresses that are followed, and addresses that are loaded."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tables: list[list[list[tuple[str, str | None]]]] = []
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.text = ""
        self.scripts = 0
        self._cell = False
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.scripts += tag == "script"
        if tag == "a" and found.get("href"):
            self.links.append(str(found["href"]))
        elif tag in ("script", "link", "img", "iframe", "use") and found.get("rel") not in (
            "index",
            "search",
            "author",
        ):
            self.loaded += [str(found[name]) for name in ("src", "href", "xlink:href") if found.get(name)]
        if tag == "table":
            self.tables.append([])
        elif tag == "tr" and self.tables:
            self.tables[-1].append([])
        elif tag in ("td", "th") and self.tables and self.tables[-1]:
            self.tables[-1][-1].append(("", found.get("data-order")))
            self._cell = True

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._cell:
            text, order = self.tables[-1][-1][-1]
            self.tables[-1][-1][-1] = (" ".join(f"{text} {data}".split()), order)


@pytest.fixture(scope="module")
def checkout(made_once: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A checkout whose benchmarks are: toy, with rows of every sort; hostile, with one row; papers, with published numbers
    alone; gone, withdrawn and without a board."""
    root = tmp_path_factory.mktemp("site") / "checkout"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "_PACKAGE", root / "harness")
        patch.setenv("HARNESS_CACHE", str(root.parent / "cache"))
        workshop.write_workshop(root)
        docs = [ROOT / "docs" / name for name in ("conf.py", "index.md")]
        (root / "docs").mkdir()
        shutil.copy(ROOT / "README.md", root)
        for path in docs:
            shutil.copy(path, root / "docs")
        for name in ("_static", "_extensions"):
            shutil.copytree(ROOT / "docs" / name, root / "docs" / name)
        shutil.copytree(ROOT / "datasets" / "breastmnist", root / "datasets" / "breastmnist")
        (root / "datasets" / "toy").mkdir()
        (root / "datasets" / "toy" / "README.md").write_text(
            "# toy\n\nSee [it](../../leaderboards/toy/1/CHANGES.md), [b](../breastmnist/README.md), [c](../../x.py). <b>\n"
        )
        _write_boards(root)
        yield root


def _write_boards(root: Path) -> None:
    boards = root / "leaderboards"
    toy = load_protocol(boards / "toy" / "1" / "benchmark.toml")
    for name, quality in (("good", 2.0), ("fair", 1.6), ("poor", 0.5)):
        record(write_submission(root, toy, name, quality))
    record(write_submission(root, toy, "bound", 4.0, reference=True))
    told(workshop.store(root, workshop.GAP), citation=HOSTILE, authors=(HOSTILE,))
    write_board(build_board(toy), toy)
    for name, more in (
        ("hostile", ""),
        ("papers", ""),
        ("gone", 'status = "withdrawn"\nsuccessor = "toy@1"\nreason = "so"\n'),
    ):
        folder = boards / name / "1"
        shutil.copytree(
            boards / "toy" / "1", folder, ignore=shutil.ignore_patterns("board*", "reproductions", "CHANGES.md")
        )
        text = BENCHMARK.replace('id = "toy"', f'id = "{name}"').replace('task = "conf', f'{more}task = "conf')
        (folder / "benchmark.toml").write_text(text)
    hostile = boards / "hostile" / "1" / "benchmark.toml"
    hostile.write_text(hostile.read_text().replace('title = "Toy"', f"title = {json.dumps(HOSTILE)}"))
    protocol = load_protocol(hostile)
    write_submission(root, protocol, "alone", 1.0)
    write_board(build_board(protocol), protocol)
    board = hostile.with_name("board.json")
    told_board = json.loads(board.read_text()) | {"explanation": HOSTILE, "columns": [HOSTILE, "mean"]}
    told_board["rows"][0]["cells"][HOSTILE] = told_board["rows"][0]["cells"].pop("iid")
    told_board["rows"][0]["remark"] = HOSTILE
    board.write_text(json.dumps(told_board))
    papers = load_protocol(boards / "papers" / "1" / "benchmark.toml")
    papers.path.with_name("published.csv").write_text(f"method,column,value,source\nold,iid,0.0123,{HOSTILE[:24]}\n")
    write_board(build_board(papers), papers)


@pytest.fixture(scope="module")
def site(checkout: Path) -> Path:
    said: list[str] = []
    build_site(checkout.parent / "site", said.append)
    assert not [each for each in said if "WARNING" in each and "toctree" not in each], (
        said
    )  # guides are not copied here
    return checkout.parent / "site"


@pytest.fixture(scope="module")
def toy(site: Path) -> Path:
    return site / "leaderboards" / "toy" / "1"


def test_the_numbers_are_those_of_the_board(toy: Path) -> None:
    board = json.loads((toy / "board.json").read_text())
    head, *rows = Page(toy / "index.html").tables[0]
    assert [text for text, _ in head[:5]] == ["method", "rank", "mean", "iid", "shift"]
    assert {row[0][0].split()[0] for row in rows} == {row["method"] for row in board["rows"]}
    for row in rows:
        about = next(each for each in board["rows"] if each["method"] == row[0][0].split()[0])
        for (text, order), column in zip(row[2:5], ("mean", "iid", "shift"), strict=True):
            cell = about["cells"][column]
            assert float(str(order)) == cell["value"]
            shown = f"{cell['value']:.1f} {cell['low']:.1f} to {cell['high']:.1f}"
            assert text.startswith(shown)
            if cell["rank"]:
                assert f"rank {cell['rank']} ({cell['rank_low']}–{cell['rank_high']})" in text
            else:
                assert "rank" not in text


def test_rows_say_their_tier_and_references_take_no_rank(toy: Path) -> None:
    rows = {row[0][0]: [text for text, _ in row] for row in Page(toy / "index.html").tables[0][1:]}
    assert rows["gap"][1] == "–"
    assert rows["gap"][5] == "recomputed, waits since 2026-02-03"
    assert rows["good"][1:6:4] == ["1", "reproduced"]
    assert rows["bound reference"][1] == "–"
    assert "1 row waits" in Page(toy / "index.html").text


def test_differences_are_those_of_the_command(toy: Path) -> None:
    page = (toy / "index.html").read_text("utf-8")
    found = re.search(r'id="compared">(.*?)</script>', page)
    assert found is not None
    data = json.loads(found[1])
    assert data["columns"] == ["iid", "shift", "mean"]
    for column, kept in zip(compare("toy@1/fair", "toy@1/good").differences, data["pairs"]["fair|good"], strict=True):
        assert kept[:3] == pytest.approx([column.difference, column.low, column.high], rel=1e-3)
        assert kept[3] == column.better
    assert len(data["pairs"]) == 5 * 4 / 2
    assert "<svg" in page.partition('class="diagram"')[2], "three methods are ranked"


def test_a_page_of_a_row(toy: Path) -> None:
    page = Page(toy / "gap" / "index.html")
    told_source = " ".join(page.text.split())
    assert "def gap(outputs):" in told_source
    assert "No maintainer has run it again yet." in told_source
    assert "@misc{reliabench" in told_source
    assert HOSTILE.splitlines()[0] in told_source
    record = Page(toy / "good" / "index.html")
    assert "Run again on 2026-01-01: the same outputs came out." in " ".join(record.text.split())


def test_studies_are_those_of_the_run(toy: Path, checkout: Path) -> None:
    run = json.loads((checkout / "submissions" / "toy@1" / "gap" / "run.json").read_text())
    (value,) = (each["value"] for each in run["summary"] if (each["study"], each["metric"]) == ("iid", "augrc"))
    for page, name in ((toy / "index.html", "gap"), (toy / "gap" / "index.html", "iid")):
        cells = {order for table in Page(page).tables for row in table if row[0][0] == name for _, order in row}
        assert str(value) in cells


def test_files_beside_a_board(toy: Path, checkout: Path) -> None:
    import pyarrow.parquet as parquet

    for name in ("board.json", "board.csv"):
        assert (toy / name).read_bytes() == (checkout / "leaderboards" / "toy" / "1" / name).read_bytes()
    table = parquet.read_table(toy / "board.parquet").to_pydict()
    board = json.loads((toy / "board.json").read_text())
    values = [row["cells"][column]["value"] for row in board["rows"] for column in board["columns"]]
    np.testing.assert_array_equal(table["value"], values)


def test_markup_in_a_board_or_submission_stays_text(site: Path, toy: Path) -> None:
    plain = Page(site / "leaderboards" / "gone" / "1" / "index.html").scripts
    page = Page(site / "leaderboards" / "hostile" / "1" / "index.html")
    assert page.scripts == plain
    assert page.tables[0][0][3][0] == " ".join(HOSTILE.split())
    assert Page(toy / "gap" / "index.html").scripts == plain
    for path in site.rglob("*.html"):
        assert "<script>alert" not in path.read_text("utf-8")


def test_the_first_page_says_how_to_install_as_readme_does(site: Path) -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    commands = [
        line for line in re.split(r"<!-- install", readme)[1].splitlines() if line.startswith(("make", "source"))
    ]
    assert [line.split()[0] for line in commands] == ["make", "source"]
    shown = Page(site / "index.html").text
    assert all(line in shown for line in commands)


def test_one_row_stands_alone(site: Path) -> None:
    page = Page(site / "leaderboards" / "hostile" / "1" / "index.html")
    assert "One row stands alone." in page.text
    assert len(page.tables[0]) == 2


def test_published_numbers_alone(site: Path) -> None:
    page = Page(site / "leaderboards" / "papers" / "1" / "index.html")
    assert "No method has been submitted yet" in page.text
    assert page.tables == [[[("study", None), ("old", None)], [("iid", None), ("12.3", None)]]]
    assert HOSTILE[:24] in page.text


def test_what_is_withdrawn_says_so(site: Path) -> None:
    page = Page(site / "leaderboards" / "gone" / "1" / "index.html")
    assert "gone@1 is withdrawn, because so; use toy@1 instead." in page.text
    assert "../../../leaderboards/toy/1/index.html" in page.links
    assert "withdrawn" in Page(site / "leaderboards" / "index.html").text


def test_data_sets_have_pages_with_licences(site: Path) -> None:
    listed = {row[0][0]: [text for text, _ in row] for row in Page(site / "datasets" / "index.html").tables[0]}
    assert listed["breastmnist"][2:4] == ["CC BY 4.0", "open"]
    assert "CC BY 4.0" in Page(site / "datasets" / "breastmnist" / "index.html").text
    card = Page(site / "datasets" / "toy" / "index.html")
    assert {"../../leaderboards/toy/1/index.html", "../../datasets/breastmnist/index.html"} <= set(card.links)
    assert "<b>" in card.text, "tags in cards are text"


def broken(site: Path) -> list[str]:
    """Addresses of the site that lead nowhere, and all that is loaded from elsewhere."""
    found = []
    for path in site.rglob("*.html"):
        if path.is_relative_to(site / "_static"):  # a template of the theme's
            continue
        page = Page(path)
        found += [f"{path}: loads {each}" for each in page.loaded if re.match(r"(https?:)?//", each)]
        for each in (*page.links, *page.loaded):
            place = re.sub(r"[?#].*", "", each)
            if place and not re.match(r"\w+:|//", place) and not (path.parent / place).exists():
                found.append(f"{path.relative_to(site)}: {each}")
    return found


def test_links_lead_somewhere_and_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    assert broken(site) == []
    for path in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", path.read_text("utf-8")), path


@needs_browser
def test_tables_and_comparison_in_a_browser(toy: Path) -> None:
    found = ask(
        toy / "index.html",
        """
        const names = () => [...document.querySelectorAll("table.board tbody th a")].map((each) => each.textContent);
        const before = names();
        const head = [...document.querySelectorAll("table.board thead th")].find((each) => each.textContent.includes("iid"));
        head.querySelector("[role=button]").click();
        await new Promise((done) => setTimeout(done, 50));
        const sorted = [...document.querySelectorAll("table.board tbody td:nth-child(4)")].map((each) => Number(each.dataset.order));
        const filter = document.querySelector("#leaderboard .dt-search input");
        filter.value = "poor";
        filter.dispatchEvent(new Event("input"));
        await new Promise((done) => setTimeout(done, 600));
        const left = names();
        const selects = document.querySelectorAll(".compare select");
        selects[0].value = "poor"; selects[1].value = "good";
        selects[0].dispatchEvent(new Event("change"));
        return { before, sorted, left, verdict: document.querySelector(".verdict").textContent,
          wide: document.documentElement.scrollWidth - innerWidth };
        """,
        width=390,
    )
    assert found["problems"] == []
    assert all(each.startswith("file://") for each in found["loaded"])
    answer = found["found"]
    assert set(answer["before"]) == {"good", "fair", "poor", "gap", "bound"}
    assert answer["sorted"] == sorted(answer["sorted"])
    assert answer["left"] == ["poor"]
    assert answer["verdict"] == "good is better in the column “mean”."
    assert answer["wide"] <= 0, "only tables scroll sideways"


@needs_browser
def test_print_is_light_and_no_box_cuts_off_its_end(toy: Path) -> None:
    script = """
      const boxes = [], key = document.querySelector("details.reading");
      for (let each = document.querySelector("article"); each; each = each.parentElement) boxes.push(each);
      const before = [document.documentElement.dataset.theme, key.open];
      dispatchEvent(new Event("beforeprint"));
      const during = [document.documentElement.dataset.theme, key.open];
      dispatchEvent(new Event("afterprint"));
      return { before, during, after: document.documentElement.dataset.theme,
        boxes: boxes.map((each) => [getComputedStyle(each).display, getComputedStyle(each).overflowY]) };
    """
    with browser() as started, opened(started, toy / "index.html", scheme="dark") as seen:
        seen.page.emulate_media(media="print")
        found = seen.page.evaluate(f"() => {{ {script} }}")
    assert (found["before"], found["during"], found["after"]) == (["dark", False], ["light", True], "dark")
    assert all(box == ["block", "visible"] for box in found["boxes"]), found["boxes"]  # blocks alone break into pages


@needs_browser
def test_the_search_works_from_disk(site: Path) -> None:
    script = "return [...document.querySelectorAll('.search a')].map((each) => each.getAttribute('href'))"
    found = ask(site / "search.html", script, query="?q=bound")
    assert found["problems"] == []
    assert any("toy/1/bound" in each for each in found["found"])


def test_an_earlier_site_is_replaced_and_nothing_else(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sphinx(source: Path, out: Path, doctrees: Path) -> str:
        (out / ".buildinfo").write_text("")
        return ""

    monkeypatch.setattr(build, "_sphinx", sphinx)
    site = tmp_path / "site"
    assert build_site(site) == site / "index.html"
    (site / "stale.html").write_text("")
    build_site(site)
    assert not (site / "stale.html").exists()
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "thesis.tex").write_text("")
    with pytest.raises(UsageError, match="holds something else than a site"):
        build_site(tmp_path / "own")
    with pytest.raises(UsageError, match="does not exist; make it"):
        build_site(tmp_path / "no" / "site")


def test_a_build_that_fails_leaves_the_earlier_site(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / ".buildinfo").write_text("earlier")
    conf = checkout / "docs" / "conf.py"
    text = conf.read_text()
    try:
        conf.write_text("raise RuntimeError('no')\n")
        with pytest.raises(UsageError, match="Sphinx could not make the pages"):
            build_site(tmp_path / "site")
    finally:
        conf.write_text(text)
    assert [path.name for path in tmp_path.iterdir()] == ["site"]
    assert (tmp_path / "site" / ".buildinfo").read_text() == "earlier"


def test_what_is_missing_is_one_sentence(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "_PACKAGE", tmp_path / "installed" / "harness")
    with pytest.raises(UsageError, match="built from a checkout"):
        build_site(tmp_path / "site")
    monkeypatch.setattr(build, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=re.escape("pip install 'reliabench[site]'")):
        build_site(tmp_path / "site")


def test_the_site_of_the_repository(whole_site: Path) -> None:
    assert "WARNING" not in (whole_site / "said.txt").read_text()
    for path in (ROOT / "leaderboards").glob("*/*/board.json"):
        board, page = json.loads(path.read_text()), whole_site / "html" / path.parent.relative_to(ROOT)
        assert {row["method"] for row in board["rows"]} <= {each.name for each in page.iterdir()}
    assert broken(whole_site / "html") == []
    metrics = Page(whole_site / "html" / "reference" / "metrics-confidence.html").text
    assert "AUGRC" in metrics
    assert "In the repository" not in metrics
