"""What `harness cite` prints is BibTeX, read here by a parser of its own, with proper types where a work is known."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import harness
from harness.boards import bibliography
from harness.boards.cite import CitedWork, bibtex, cite
from harness.data.catalog import benchmark_files, find_protocol
from harness.methods.discovery import baseline_names, find_method
from harness.metrics.facts import metric_facts
from tests.cli.support import write_toy

REQUIRED = {
    "article": {"author", "title", "journal", "year"},
    "inproceedings": {"author", "title", "booktitle", "year"},
    "techreport": {"author", "title", "institution", "year"},
    "misc": {"title"},
}
SOURCE = Path(bibliography.__file__).with_name("references.bib").read_text(encoding="utf-8")


def parsed(text: str) -> dict[str, tuple[str, dict[str, str]]]:
    """Key -> type and fields, character by character as BibTeX reads: values in balanced braces, comments skipped."""
    found: dict[str, tuple[str, dict[str, str]]] = {}
    text = re.sub(r"^%.*$", "", text, flags=re.MULTILINE)
    at = 0
    while (at := text.find("@", at)) >= 0:
        head = re.compile(r"@(\w+)\{([^\s,{}\"#%'()=\\~]+),").match(text, at)
        assert head, f"no entry begins at {text[at : at + 40]!r}"
        at, fields = head.end(), {}
        while field := re.compile(r"\s*(\w+)\s*=\s*\{").match(text, at):
            depth, end = 1, field.end()
            while depth:
                depth += {"{": 1, "}": -1}.get(text[end], 0) if text[end - 1] != "\\" else 0
                end += 1
            assert field[1] not in fields, f"{head[2]} has {field[1]} twice"
            fields[field[1]] = text[field.end() : end - 1]
            at = end + 1
            assert text[end] == ",", f"{head[2]}: no comma behind {field[1]}"
        assert text[at:].lstrip().startswith("}"), f"{head[2]} does not end"
        assert head[2] not in found, f"{head[2]} is there twice"
        found[head[2]] = (head[1], fields)
    return found


def named() -> set[str]:
    """Every way in which benchmarks, metrics and methods name works."""
    texts = [each.citation for each in metric_facts().values()]
    texts += [text for path in benchmark_files() for text in find_protocol(path).benchmark.citation]
    for task in ("confidence", "query", "attribution"):
        texts += [find_method(name).spec.citation for name in baseline_names(task)]
    return {part.strip().casefold() for text in texts for part in (text, *text.split(";"))}


def test_the_file_is_read_whole_and_every_entry_has_what_its_type_needs() -> None:
    entries = parsed(SOURCE)
    works = {work.key: work for work in bibliography._works().values()}
    assert set(works) == set(entries)
    assert list(entries) == sorted(entries)
    for key, (kind, fields) in entries.items():
        assert REQUIRED[kind] <= set(fields), key
        assert re.fullmatch(r"\d{4}", fields["year"]), key
        assert key.startswith(re.sub(r"[^a-z]", "", key)[:3]), key
        assert fields["year"] in key, key
        assert works[key].fields == {name: value for name, value in fields.items() if name != "cited"}


def test_no_two_entries_claim_the_same_words_and_all_of_them_are_in_use() -> None:
    claimed = [each.strip().casefold() for _, fields in parsed(SOURCE).values() for each in fields["cited"].split("|")]
    assert len(set(claimed)) == len(claimed)
    assert set(claimed) <= named(), "words that nobody uses"


@pytest.mark.parametrize("name", [*benchmark_files(), "query-mnist@2/bald", "attribution-mnist@1/lrp"])
def test_whatever_is_printed_is_bibtex(name: str) -> None:
    entries = parsed(cite(name))
    assert all(REQUIRED[kind] <= set(fields) for kind, fields in entries.values())
    assert all("cited" not in fields for _, fields in entries.values())
    assert all(fields["note"].startswith("for ") for _, fields in entries.values())
    assert list(entries) == sorted(entries)
    assert {"article", "inproceedings"} & {kind for kind, _ in entries.values()}


def test_known_works_have_their_venue_and_gather_what_rests_on_them() -> None:
    text = bibtex(
        [
            CitedWork("Guo et al., ICML 2017", "method temperature-mls"),
            CitedWork("Guo et al. 2017,  On Calibration of Modern Neural Networks", "metric ece"),
            CitedWork("guo2017", "benchmark mine@1"),
        ]
    )
    ((key, (kind, fields)),) = parsed(text).items()
    assert (key, kind, fields["year"]) == ("guo2017", "inproceedings", "2017")
    assert fields["booktitle"] == "International Conference on Machine Learning (ICML)"
    assert fields["note"] == "for method temperature-mls, metric ece, benchmark mine@1"


def test_several_works_in_one_text_are_several_entries() -> None:
    entries = parsed(bibtex([CitedWork("Houlsby et al. 2011; Gal et al., ICML 2017; Nobody 2020", "method bald")]))
    assert {key: kind for key, (kind, _) in entries.items() if kind != "misc"} == {
        "gal2017": "inproceedings",
        "houlsby2011": "article",
    }
    (other,) = (fields for kind, fields in entries.values() if kind == "misc")
    assert other["title"] == "{Nobody 2020}"
    (whole,) = parsed(bibtex([CitedWork("Somebody 2019; 2nd edition", "method x")])).values()
    assert whole[1]["title"] == "{Somebody 2019; 2nd edition}", "words that nobody knows stay together"


@pytest.mark.parametrize("text", ["50 % } of {{ it \\ 2020", "{", "}", "a_b & c # $ ~ ^ 1999", "@article{x, y = {"])
def test_hostile_words_stay_words(text: str) -> None:
    ((_, (kind, fields)),) = parsed(bibtex([CitedWork(text, "method }{ x")])).items()
    assert kind == "misc"
    assert set(fields) <= {"title", "year", "note"}


def test_all_authors_are_named() -> None:
    assert "others" not in SOURCE
    assert all("et al" not in fields.get("author", "") for _, fields in parsed(SOURCE).values())


OWN = """
from harness import confidence_score


@confidence_score(version="1.2"{citation})
def mine(outputs):
    return outputs.probabilities.amax(dim=1)
"""


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(
    ("citation", "named"),
    [
        ("", "mine, version 1.2: add its authors, title and year"),
        (', citation="Doe 2026, Mine"', "Doe 2026, Mine"),
    ],
)
def test_a_users_own_method_is_named(citation: str, named: str, tmp_path: Path) -> None:
    toy = write_toy(tmp_path)
    (tmp_path / "mine.py").write_text(OWN.format(citation=citation))
    run = harness.evaluate(tmp_path / "mine.py", benchmark=str(toy), out=tmp_path / "runs", workers=1)
    titles = {fields["title"]: fields["note"] for _, fields in parsed(cite(str(run.folder))).values()}
    assert titles[f"{{{named}}}"] == "for method mine"
    assert any("Overcoming Common Flaws" in title for title in titles), "the metrics of a benchmark of one's own"
