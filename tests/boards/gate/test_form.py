"""Rules about files, each by a submission that breaks just that one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.boards.gate import validate
from tests.boards.gate.support import COPY, change_about, change_method, claim, said
from tests.cli.support import MARGIN

ALLOWED = "submission.toml, method.py, run.json, outputs.npz, maps.npz, README.md"


def test_a_good_submission_has_no_findings(good: Path) -> None:
    report = validate(good)
    assert (report.findings, report.as_reported, report.accepted) == ((), (), True)


@pytest.mark.parametrize("name", ["oracle", "msr"])
def test_baselines_are_held_to_the_same_rules(good: Path, name: str) -> None:
    assert said(good.parent / name) == []


def linked(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("/etc/passwd")


def piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def write(path: Path) -> None:
    path.write_text("")


def executable(path: Path) -> None:
    path.chmod(0o755)


MISSING = "is missing; make the folder with: harness submit"
NO_PLACE = f"has no place in a submission, which may hold: {ALLOWED}."
LINK = "is a symbolic link; store the file itself."
RIGHT = "is executable; take that right away (chmod -x)."


@pytest.mark.parametrize(
    ("spoil", "name", "sentence"),
    [
        *((Path.unlink, name, MISSING) for name in ("submission.toml", "run.json", "outputs.npz")),
        *(
            (write, name, NO_PLACE)
            for name in ("weights.safetensors", ".hidden", "setup.py", "outputs.NPZ", "model.pkl")
        ),
        (linked, "README.md", LINK),
        (linked, "submission.toml", LINK),
        (Path.mkdir, "README.md", "is a folder; a submission has none."),
        (piped, "run.json", "is not a regular file."),
        (executable, "method.py", RIGHT),
        (executable, "run.json", RIGHT),
    ],
)
def test_plain_files_of_known_names(good: Path, spoil: Callable[[Path], object], name: str, sentence: str) -> None:
    spoil(good / name)
    assert said(good) == [f"refused files: {name} {sentence}"]


def test_the_folder_itself_is_no_link(good: Path) -> None:
    link = good.parent / "linked"
    link.symlink_to(good)
    assert said(link) == ["refused files: linked is not a folder; a submission is a folder of files."]


@pytest.mark.parametrize(
    ("sizes", "sentences"),
    [
        (
            {"submission.toml": 3_000_000_000},
            ["submission.toml has 3,000,000 kB, more than the 20 kB allowed."],
        ),
        ({"outputs.npz": 10_000_001}, ["outputs.npz has 10,000 kB, more than the 10,000 kB allowed."]),
        (
            {"method.py": 210_000, "run.json": 9_900_000, "README.md": 900_000},
            [
                "method.py has 210 kB, more than the 200 kB allowed.",
                "run.json has 9,900 kB, more than the 4,000 kB allowed.",
                "README.md has 900 kB, more than the 100 kB allowed.",
            ],
        ),
    ],
)
def test_sizes_are_bounded_before_anything_is_read(good: Path, sizes: dict[str, int], sentences: list[str]) -> None:
    for name, size in sizes.items():
        (good / name).touch()
        os.truncate(good / name, size)
    assert said(good) == [f"refused sizes: {each}" for each in sentences]


def test_an_unknown_field(good: Path) -> None:
    change_about(good, rank=1)
    assert said(good) == [
        "refused schema: submission.toml: rank: nothing is called so here; correct the name, or remove it."
    ]


def test_absurd_numbers(good: Path) -> None:
    change_about(good, cost={"seconds": float("inf")})
    assert said(good) == ["refused schema: submission.toml: cost.seconds: it must be a finite number, not inf."]


@pytest.mark.parametrize(
    "text", ["method = [", "a = " + "[" * 15_000, "a = " + "9" * 10_000, "\x00", "a = 1\na = 2", "[method]\nname = 3"]
)
def test_texts_that_are_no_document(good: Path, text: str) -> None:
    (good / "submission.toml").write_text(text)
    findings = said(good)
    assert len(findings) == 1
    assert findings[0].startswith("refused schema: ")


def test_bytes_that_are_no_text(good: Path) -> None:
    (good / "submission.toml").write_bytes(b"\xff\xfe\x00")
    (line,) = said(good)
    assert line.startswith("refused schema: submission.toml is not valid TOML: ")


@pytest.mark.parametrize("name", ["../evil", "/etc", "a/b", "", "A", "x\ny"])
def test_names_that_lead_elsewhere(good: Path, name: str) -> None:
    change_method(good, name=name)
    findings = said(good)
    assert len(findings) == 1
    assert findings[0].startswith("refused schema: submission.toml: method.name: it must be of lower-case letters")


def test_a_benchmark_is_never_a_path(good: Path) -> None:
    change_about(good, benchmark="../../leaderboards/toy/1/benchmark.toml")
    assert said(good) == [
        "refused path: submission.toml is for ../../leaderboards/toy/1/benchmark.toml, but the folder lies in toy@1.",
        "refused benchmark: there is no benchmark ../../leaderboards/toy/1/benchmark.toml; there are: toy@1.",
    ]


@pytest.mark.parametrize("content", [b"MZ\0\0", b"\xff\xfe"])
def test_a_readme_is_text(good: Path, content: bytes) -> None:
    (good / "README.md").write_bytes(b"# Margin\n")
    assert said(good) == []
    (good / "README.md").write_bytes(content)
    assert said(good) == ["refused schema: README.md is not UTF-8 text."]


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("toy@1/better", "about margin, but the folder is called better."),
        ("other@1/margin", "for toy@1, but the folder lies in other@1."),
    ],
)
def test_a_folder_lies_where_its_document_says(good: Path, place: str, sentence: str) -> None:
    moved = good.parent.parent / place
    moved.parent.mkdir(exist_ok=True)
    shutil.move(good, moved)
    assert said(moved) == [f"refused path: submission.toml is {sentence}"]


@pytest.mark.parametrize(
    ("field", "empty", "advice"),
    [
        ("authors", [" "], "name who made it"),
        ("licence", "", "give the SPDX identifier of method.py's licence, e.g. Apache-2.0"),
        ("licence", "ask me", "give the SPDX identifier of method.py's licence, e.g. Apache-2.0"),
        ("citation", "  ", "say what to cite, or why there is nothing"),
        ("training_data", "", "say what data it was made with, or none beyond the benchmark's"),
        ("hardware", "", "say what it ran on"),
        ("cost", None, "give the seconds it took"),
    ],
)
def test_disclosure(good: Path, field: str, empty: object, advice: str) -> None:
    change_about(good, **{field: empty})
    assert said(good) == [f"refused disclosure: submission.toml lacks {field}: {advice}."]


@pytest.mark.parametrize("licence", ["MIT", "GPL-3.0-or-later WITH Classpath-exception-2.0", "MIT OR Apache-2.0"])
def test_licences(good: Path, licence: str) -> None:
    change_about(good, licence=licence)
    assert said(good) == []


def test_another_source(good: Path) -> None:
    (good / "method.py").write_text(COPY)
    assert said(good) == ["refused method: method.py is not the file that submission.toml names: its sha256 differs."]


@pytest.mark.parametrize(
    ("source", "fields", "sentence"),
    [
        (MARGIN, {"version": "2.0"}, "submission.toml gives version '2.0', but method.py declares '1.0'."),
        ("x = 1\n", {}, "method.py declares no methods called margin; it must declare one."),
        ("def margin(:\n", {}, "method.py, line 1: invalid syntax; Python cannot read this file."),
        (
            MARGIN.replace('"1.0"', '"1.0", oracle=True, reference=True'),
            {"oracle": True, "reference": True, "origin": "baseline"},
            "it calls itself a baseline, but method.py is not that of a baseline that comes with the harness.",
        ),
    ],
)
def test_the_source_declares_what_is_claimed(good: Path, source: str, fields: dict[str, object], sentence: str) -> None:
    claim(good, source, **fields)
    assert said(good)[0] == f"refused method: {sentence}"


@pytest.mark.parametrize(
    "source", ["x = " + "-" * 190_000 + "1", "x = a" + ".a" * 95_000, "# coding: zlib\n", "# coding: none\n", ""]
)
def test_sources_that_break_parsers(good: Path, source: str) -> None:
    claim(good, source)
    assert said(good)[0].startswith("refused method: ")


def test_the_source_is_never_run(good: Path, tmp_path: Path) -> None:
    written = tmp_path / "written"
    source = (good / "method.py").read_text() + f"\nopen({str(written)!r}, 'w').write('x')\nraise SystemExit(0)\n"
    claim(good, source)
    said(good)
    assert not written.exists()


def test_nobody_makes_himself_a_reference_row(good: Path) -> None:
    source = (good / "method.py").read_text()
    claim(good, source, oracle=True, reference=True)
    assert said(good)[:2] == [
        "refused method: submission.toml gives oracle True, but method.py declares False.",
        "refused method: submission.toml gives reference True, but method.py declares False.",
    ]
    claim(good, source.replace('"1.0"', '"1.0", oracle=True'), oracle=True)
    assert said(good)[0].endswith("`oracle` and `reference` are for the harness's own rows; leave them out.")


def test_names_cannot_drive_a_terminal(good: Path) -> None:
    (good / "\x1b[2J\n::error::x").write_text("")
    (line,) = said(good)
    assert line.isprintable()
    assert "\\x1b[2J\\n::error::x" in line
