"""A submission has one source: its own `method.py`, or one that the harness's own methods share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.boards.gate import form, validate
from harness.boards.sources import share_source, shared_source
from harness.boards.submissions import read_about
from harness.methods.discovery import FoundMethod, find_method
from tests.boards.gate.support import changed, claim, lines, place, said


@pytest.fixture
def msr(good: Path) -> Path:
    """A submission whose source is shared."""
    return good.parent / "msr"


@pytest.fixture
def shared(msr: Path) -> Path:
    return shared_source(msr, read_about(msr).method.source_sha256)


def test_own_and_shared_sources_are_accepted(msr: Path, shared: Path, good: Path) -> None:
    assert not (msr / "method.py").exists()
    assert said(msr) == said(shared.parent) == []
    source = (good / "method.py").read_bytes()
    share_source(good)
    assert shared_source(good, read_about(good).method.source_sha256).read_bytes() == source
    assert said(good) == said(shared.parent) == []
    assert validate(shared.parent, standing=True).accepted


def test_a_source_is_there_once(msr: Path, shared: Path) -> None:
    shutil.copyfile(shared, msr / "method.py")
    assert said(msr) == [
        f"refused method: its source is there twice, as method.py and as sources/{shared.name}; remove method.py."
    ]


@pytest.mark.parametrize("kind", ["missing", "link", "folder", "large"])
def test_a_source_must_be_there(msr: Path, shared: Path, kind: str) -> None:
    content = shared.read_bytes()
    shared.unlink()
    if kind == "link":
        (shared.parent / "other").write_bytes(content)
        shared.symlink_to(shared.parent / "other")
    elif kind == "folder":
        shared.mkdir()
    elif kind == "large":
        shared.write_bytes(content + b"#" * 200_000)
    assert said(msr) == [
        f"refused method: method.py is missing, and sources/{shared.name} is not there in its place; "
        "make the folder with: harness submit"
    ]


def test_a_shared_source_holds_what_its_name_says(msr: Path, shared: Path) -> None:
    shared.write_bytes(shared.read_bytes() + b"\n")
    assert said(msr) == [
        f"refused method: sources/{shared.name} is not the file that submission.toml names: its sha256 differs."
    ]
    assert said(shared.parent) == [
        f"refused sources: {shared.name} is not the file that its name says: its sha256 differs."
    ]


def test_a_source_that_no_submission_has(msr: Path, shared: Path) -> None:
    shutil.rmtree(msr)
    assert said(shared.parent) == [f"refused sources: {shared.name} is the source of no submission; remove it."]


def test_only_sources_lie_among_them(shared: Path) -> None:
    folder = shared.parent
    (folder / "submission.toml").write_text("")
    (folder / "old").mkdir()
    (folder / ("0" * 64 + ".py")).symlink_to(shared)
    (folder / ("1" * 64 + ".py")).write_bytes(b"#" * 200_001)
    shared.chmod(0o755)
    assert sorted(said(folder)) == sorted(
        [
            f"refused files: {'0' * 64}.py is a symbolic link; store the file itself.",
            f"refused files: {'1' * 64}.py has 200 kB, more than the 200 kB allowed.",
            f"refused files: {shared.name} is executable; take that right away (chmod -x).",
            "refused files: old is a folder; sources has none.",
            "refused files: submission.toml has no place in sources, which may hold: <sha256>.py.",
        ]
    )
    shutil.rmtree(folder)
    folder.write_text("")
    assert said(folder) == ["refused files: sources is not a folder."]


def test_sources_are_for_maintainers(repository: Path) -> None:
    folder = place(repository)
    share_source(folder)
    (name,) = {path.name for path in (folder.parent / "sources").iterdir()} - {
        f"{read_about(folder.parent / 'msr').method.source_sha256}.py"
    }
    path = f"submissions/toy@1/sources/{name}"
    assert lines(changed(repository)) == [
        f"margin: refused changes: the same change adds {path}; a submission touches its own folder and nothing else.",
        f"sources: refused changes: the change adds {path}, which is for maintainers; store the source as method.py.",
    ]


def newer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A harness whose `msr` was written anew since it was submitted."""

    def find(name: str) -> FoundMethod:
        found = find_method(name)
        return FoundMethod(found.spec, found.source + b"# newer\n", found.path, found.module)

    monkeypatch.setattr(form, "find_method", find)


def test_a_baseline_may_be_written_anew_without_its_submission(
    msr: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer(monkeypatch)
    assert said(msr) == []
    shutil.move(shared, msr / "method.py")
    assert said(msr) == [
        "refused method: it calls itself a baseline, but method.py is not that of a baseline that comes with the harness."
    ]


def test_only_the_harness_itself_says_what_its_baselines_were(msr: Path, tmp_path: Path) -> None:
    """Sources beside a folder that somebody made elsewhere make no baseline of it."""
    made = tmp_path / "made" / "toy@1" / "msr"
    shutil.copytree(msr, made)
    claim(made, find_method("msr").source.decode() + "# mine\n")
    share_source(made)
    assert said(made)[0].startswith("refused method: it calls itself a baseline, but sources/")
