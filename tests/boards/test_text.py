"""Text from strangers, and names that are taken for one another."""

from __future__ import annotations

import unicodedata
from collections import Counter

import pytest

from harness.boards.submissions import submission_folders, submissions_folder
from harness.boards.text import hidden_characters, markdown_text, skeleton, spreadsheet_text, texts_in
from harness.data.catalog import benchmark_files
from harness.methods.discovery import baseline_names


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("msr", "m5r"),
        ("msr", "rnsr"),
        ("msr", "m-s.r"),
        ("mls", "m1s"),
        ("mls", "mis"),
        ("vim", "vlm"),
        ("knn", "K N N".replace(" ", "_")),
        ("power-bald", "p0wer_bald"),
        ("gradcam", "grad-carn"),
        ("msr", "ｍｓｒ"),
    ],
)
def test_names_that_look_alike(one: str, other: str) -> None:
    assert skeleton(one) == skeleton(other)


@pytest.mark.parametrize(
    ("one", "other"), [("msr", "mls"), ("bald", "batch-bald"), ("mcd-msr", "mcd-mls"), ("pe", "ee")]
)
def test_names_that_do_not(one: str, other: str) -> None:
    assert skeleton(one) != skeleton(other)


def test_no_two_methods_of_a_board_look_alike() -> None:
    for benchmark in benchmark_files():
        names = {*baseline_names(), *(folder.name for folder in submission_folders(submissions_folder(benchmark)))}
        assert [each for each, count in Counter(map(skeleton, names)).items() if count > 1] == []


def test_what_a_reader_cannot_see() -> None:
    marks = [chr(code) for code in range(0x110000) if unicodedata.bidirectional(chr(code)) in _DIRECTIONS]
    assert len(marks) == 9
    assert all(list(hidden_characters(f"a{mark}b")) == [f"U+{ord(mark):04X}"] for mark in marks)
    assert list(hidden_characters("a\x00b\x1b[0m\u200b\u200b\ufeff")) == ["U+0000", "U+001B", "U+200B", "U+FEFF"]
    assert list(hidden_characters("line\r\n", "\r\n")) == []
    assert list(hidden_characters("Müller & Ångström, 北京 – “so”")) == []


_DIRECTIONS = ("LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI")


def test_texts_have_their_place() -> None:
    found = dict.fromkeys(texts_in({"a": {"b": "x"}, "c": [{"d": "y"}, 3]}))
    assert ("a.b", "x") in found
    assert ("c.d", "y") in found


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert spreadsheet_text(text) == f"'{text}"
    assert spreadsheet_text("1.0 = one") == "1.0 = one"
    assert spreadsheet_text(-1.0) == -1.0


def test_markdown_stands_as_it_is() -> None:
    shown = markdown_text("a|b [x](https://e.org) <script>alert('&')</script> `c` *d* _e_\n# f www.e.org")
    assert shown == (
        r"a\|b \[x\](https\://e.org) \<script\>alert('&amp;')\</script\> \`c\` \*d\* \_e\_ \# f www\.e.org"
    )
