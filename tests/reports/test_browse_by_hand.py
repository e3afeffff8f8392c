"""The failure browser by a real mouse and real keys: what is pointed at, pinned, taken by a lasso, saved, is what numpy says."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from PIL import Image

from tests.reports.browser import browser, needs_browser, opened
from tests.reports.test_browse import browse, read

pytestmark = [pytest.mark.usefixtures("in_this_process"), needs_browser]
COUNT, SIDE = 300, 28
RNG = np.random.default_rng(2)
LABELS = RNG.integers(4, size=COUNT)
LOGITS = RNG.normal(size=(COUNT, 4)) + 1.5 * np.eye(4)[LABELS]
ODDS = np.exp(LOGITS - LOGITS.max(axis=1, keepdims=True))
MSR = (ODDS / ODDS.sum(axis=1, keepdims=True)).max(axis=1)
FAILURE = LOGITS.argmax(axis=1) != LABELS


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """The page of a table; the image of a sample is as bright as its number says."""
    from harness.tracks.confidence.stored import TableOutputs

    folder = tmp_path_factory.mktemp("by-hand")
    np.savez(folder / "mine.npz", labels=LABELS, logits=LOGITS)
    images = np.broadcast_to((np.arange(COUNT) / COUNT)[:, None, None, None], (COUNT, 1, SIDE, SIDE))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TableOutputs, "inputs", lambda self, name: images.astype(np.float32))
        return browse("mine.npz", "--scores", "msr,mls", "--embedding", "pca", folder=folder)


@pytest.fixture(scope="module")
def started():
    with browser(graphics=True) as found:
        yield found


@pytest.fixture
def hand(started, path):
    with opened(started, path) as seen:
        seen.page.wait_for_function("Browse.stage.works && document.getElementById('drawn').textContent")
        seen.page.wait_for_timeout(500)
        yield seen
        assert seen.problems == []


def places(page, path, solid=False):
    """(n, 2): where the samples are on the screen, by the page's layout and its first view."""
    box, layout = page.locator("#stage").bounding_box(), read(path)["layouts"][0]
    width, height = box["width"], box["height"]
    if solid:
        x, y, z = layout["solid"].reshape(-1, 3).T
        (cy, sy), (cp, sp) = ((np.cos(angle), np.sin(angle)) for angle in (0.6, 0.4))  # turned around y, then around x
        x, z = cy * x + sy * z, cy * z - sy * x
        y, z = cp * y - sp * z, sp * y + cp * z
        x, y = (2.6 * each / (3.2 - z) * min(width, height) / height for each in (x, y))
    else:
        x, y = layout["flat"].reshape(-1, 2).T.astype(float)
    return np.stack([box["x"] + (width + height * x) / 2, box["y"] + height * (1 - y) / 2], axis=1)


def lonely(found):
    """The sample that is farthest from all others."""
    gaps = np.linalg.norm(found[:, None] - found, axis=2) + 1e9 * np.eye(len(found))
    return int(gaps.min(axis=1).argmax())


def dimensions(page, solid):
    if solid:
        page.get_by_role("radio", name="3").check()
        page.wait_for_timeout(300)


def facts(page, part):
    terms, texts = (page.locator(f"{part} {each}").all_inner_texts() for each in ("dt", "dd"))
    return dict(zip(terms, texts, strict=True))


def brightness(locator):
    return np.asarray(Image.open(io.BytesIO(locator.screenshot())).convert("L"))[20:-20, 20:-20].mean()


@pytest.mark.parametrize("solid", [False, True])
def test_a_sample_is_seen_below_the_mouse_and_pinned_by_a_click(hand, path, solid):
    page = hand.page
    dimensions(page, solid)
    at = places(page, path, solid)
    sample = lonely(at)
    page.mouse.move(*at[sample])
    page.locator("#hover .name").wait_for()
    assert page.locator("#hover .name").inner_text() == f"all {sample}"
    said = facts(page, "#hover")
    assert (said["label"], said["prediction"]) == (str(LABELS[sample]), str(LOGITS[sample].argmax()))
    assert float(said["confidence"]) == pytest.approx(MSR[sample], rel=1e-4)
    assert page.locator("#pinned .name").count() == 0
    page.mouse.click(*at[sample])
    page.locator("#pinned .name").wait_for()
    assert page.locator("#pinned .name").inner_text() == f"all {sample}"
    assert brightness(page.locator("#pinned .sprite")) == pytest.approx(255 * sample / (COUNT - 1), abs=8)
    page.get_by_role("button", name=f"unpin all {sample}").click()
    assert page.locator("#pinned .name").count() == 0


@pytest.mark.parametrize("solid", [False, True])
@pytest.mark.parametrize("by", ["button", "shift"])
def test_a_lasso_takes_what_lies_inside(hand, path, solid, by):
    page = hand.page
    dimensions(page, solid)
    at = places(page, path, solid)
    low, high = np.quantile(at, 0.3, axis=0), np.quantile(at, 0.7, axis=0)
    edge = np.minimum(np.abs(at - low), np.abs(at - high)).min(axis=1)
    inside, unsure = ((at > low) & (at < high)).all(axis=1), edge < 3
    if by == "button":
        page.get_by_role("button", name="lasso", exact=True).click()
    else:
        page.keyboard.down("Shift")
    page.mouse.move(*low)
    page.mouse.down()
    for x, y in ((high[0], low[1]), high, (low[0], high[1]), low):
        page.mouse.move(x, y, steps=12)
    page.mouse.up()
    if by == "shift":
        page.keyboard.up("Shift")
    page.wait_for_function("document.querySelector('#panel dl')")
    picked = np.array(page.evaluate("Browse.state.picked"))
    taken = np.isin(np.arange(COUNT), picked)
    assert (taken | unsure)[inside].all()
    assert not (taken & ~unsure)[~inside].any()
    said = facts(page, "#panel")
    assert said["points"] == str(len(picked)) != "0"
    assert said["failures"] == f"{FAILURE[picked].sum()} of {len(picked)} judged"
    with page.expect_download() as download:
        page.get_by_role("button", name="export CSV").click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text("utf-8"), newline="")))
    assert sorted(int(row["sample"]) for row in rows) == sorted(picked.tolist())
    page.get_by_role("button", name="clear").click()
    assert page.evaluate("Browse.state.picked") == []


def test_arrow_keys_move_the_threshold_and_the_file_has_what_it_does(hand, path):
    page = hand.page
    page.locator("#threshold").focus()
    page.keyboard.press("Home")
    for _ in range(40):
        page.keyboard.press("ArrowRight")
    threshold = read(path)["studies"][0]["curves"]["msr"]["threshold"][40]
    kept = threshold - 1e-7 <= MSR
    said = facts(page, ".figures")
    assert float(said["coverage"]) == pytest.approx(kept.mean(), rel=1e-3)
    assert float(said["selective risk"]) == pytest.approx(FAILURE[kept].mean(), rel=1e-3)
    assert float(said["generalized risk"]) == pytest.approx((FAILURE & kept).mean(), rel=1e-3)
    with page.expect_download() as download:
        page.get_by_role("button", name="export CSV").click()
    rows = {int(row["sample"]): row for row in csv.DictReader(io.StringIO(download.value.path().read_text("utf-8")))}
    assert len(rows) == COUNT
    names = {
        (True, True): "silent failure",
        (True, False): "caught failure",
        (False, True): "correct",
        (False, False): "false alarm",
    }
    for sample, row in rows.items():
        assert row["threshold"] == names[bool(FAILURE[sample]), bool(kept[sample])]
        assert float(row["confidence msr"]) == pytest.approx(MSR[sample], rel=1e-5)


def test_choices_and_tabs_by_keys_and_the_address_keeps_the_view(hand, path):
    page = hand.page
    page.locator("#score").select_option("mls")
    page.locator("#colour").select_option("class")
    page.locator("#symbols").select_option("class")
    page.get_by_role("radio", name="3").check()
    order = np.argsort(-np.where(FAILURE, LOGITS.max(axis=1), -np.inf))
    first = page.locator("#panel .card").first
    assert first.get_attribute("title") == f"all {order[0]}"
    page.get_by_role("tab", name="failures and successes").focus()
    for name in ("groups of failures", "prototypes", "lasso", "failures and successes"):
        page.keyboard.press("ArrowRight")
        assert page.get_by_role("tab", name=name, exact=True).get_attribute("aria-selected") == "true"
    page.reload()
    page.wait_for_function("Browse.symbolsDrawn")
    assert page.evaluate(
        "[Browse.state.score.name, Browse.state.colour, Browse.state.symbols, Browse.state.solid]"
    ) == ["mls", "class", "class", True]
    assert page.locator("#score").locator("option:checked").inner_text() == "mls"
    assert page.get_by_role("radio", name="3").is_checked()


def test_the_wheel_zooms_and_points_are_found_where_they_went(hand, path):
    page = hand.page
    sample = lonely(places(page, path))
    x, y = places(page, path)[sample]
    page.mouse.move(x, y)
    page.wait_for_timeout(300)
    before = page.locator("#stage").screenshot()
    page.mouse.wheel(0, -240)
    page.wait_for_timeout(500)
    assert page.locator("#stage").screenshot() != before
    page.mouse.move(x + 150, y + 150)
    page.mouse.move(x, y, steps=3)
    page.wait_for_function(f"document.querySelector('#hover .name')?.textContent === 'all {sample}'")
