"""Released benchmarks are never edited, and a deprecated one still builds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from harness.boards.build import build_board, write_board
from harness.boards.frozen import frozen_problems, lock_path, lock_version
from harness.boards.render import board_markdown
from harness.data.catalog import LoadedBenchmark, benchmark_files, load_protocol
from harness.execution.evaluate import Request, prepare
from harness.spec.errors import UsageError
from harness.storage import IntegrityError, file_id
from tests.boards.support import write_submission

ENDED = 'status = "deprecated"\nsuccessor = "toy@2"\n'
WITHDRAWN = 'status = "withdrawn"\nsuccessor = "toy@2"\nreason = "its numbers are not the paper\'s."\n'


def deprecate(protocol: LoadedBenchmark, lines: str = ENDED) -> None:
    text = protocol.path.read_text()
    protocol.path.write_text(text.replace('title = "Toy"\n', f'title = "Toy"\n{lines}'))


def write_successor(protocol: LoadedBenchmark) -> None:
    folder = protocol.path.parent.parent / "2"
    folder.mkdir()
    (folder / "benchmark.toml").write_text(protocol.path.read_text().replace("version = 1\nt", "version = 2\nt"))


def test_locking_writes_both_hashes_once(protocol: LoadedBenchmark) -> None:
    assert lock_version("toy@1")
    written = lock_path().read_bytes()
    assert json.loads(written) == {"toy@1": {"file": file_id(protocol.path), "hash": protocol.hash}}
    assert not lock_version("toy@1")
    assert lock_path().read_bytes() == written
    assert frozen_problems() == ()


def test_an_unreleased_version_needs_no_lock_and_a_released_one_does(protocol: LoadedBenchmark, tmp_path: Path) -> None:
    assert frozen_problems() == ()
    write_submission(tmp_path, protocol, "good", 2.0)
    sentence = "toy@1 is released (it has a board or submissions) and not locked; run: harness board lock toy@1"
    assert frozen_problems() == (sentence,)
    assert frozen_problems("toy@1") == (sentence,)


def test_numbers_of_papers_alone_release_nothing(protocol: LoadedBenchmark, tmp_path: Path) -> None:
    (protocol.path.parent / "published.csv").write_text("method,column,value,source\nold,iid,0.1,A paper 2020\n")
    write_board(build_board(protocol), protocol)
    assert frozen_problems() == ()
    folder = write_submission(tmp_path, protocol, "good", 2.0)
    write_board(build_board(protocol), protocol)
    shutil.rmtree(folder)
    assert len(frozen_problems()) == 1, "the board has a row"


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace("replicates = 200", "replicates = 201"),
        lambda text: text + "# a comment\n",
        lambda text: text.replace('title = "Toy"', 'title = "Toys"'),
    ],
)
def test_an_edit_of_a_locked_file_is_refused(protocol: LoadedBenchmark, edit) -> None:  # type: ignore[no-untyped-def]
    lock_version("toy@1")
    protocol.path.write_text(edit(protocol.path.read_text()))
    (sentence,) = frozen_problems()
    assert sentence == (
        f"{protocol.path} differs from what was released as toy@1; restore it, and make the change a new version, "
        "toy/2/benchmark.toml."
    )
    with pytest.raises(UsageError, match="differs from what was released"):
        lock_version("toy@1")


def test_a_locked_version_may_not_go_or_break(protocol: LoadedBenchmark) -> None:
    lock_version("toy@1")
    protocol.path.write_text("id = [")
    assert "is not valid TOML" in frozen_problems()[0]
    protocol.path.unlink()
    assert frozen_problems() == (
        "toy@1 is released and its benchmark.toml is gone; restore it, old boards must stay buildable.",
    )


@pytest.mark.parametrize("damage", ["{", "[]", '{"toy@1": {"file": "0"}}', '{"toy@1": 3}'])
def test_a_damaged_lock_is_said(protocol: LoadedBenchmark, damage: str) -> None:
    lock_path().write_text(damage)
    with pytest.raises(IntegrityError, match=r"versions\.lock"):
        frozen_problems()
    with pytest.raises(IntegrityError, match=r"versions\.lock"):
        lock_version("toy@1")
    assert lock_path().read_text() == damage


@pytest.mark.usefixtures("protocol")
def test_an_unknown_version_is_not_locked() -> None:
    with pytest.raises(UsageError, match="no benchmark is called 'toy@3'; did you mean toy@1"):
        lock_version("toy@3")


def test_a_deprecated_version_keeps_its_lock_its_board_and_names_its_successor(
    protocol: LoadedBenchmark, tmp_path: Path
) -> None:
    write_submission(tmp_path, protocol, "good", 2.0)
    lock_version("toy@1")
    before = build_board(protocol)
    write_successor(protocol)
    deprecate(protocol)
    ended = load_protocol(protocol.path)
    assert ended.hash == protocol.hash
    assert frozen_problems("toy@1") == ()
    assert build_board(ended) == before
    assert write_board(before, ended)
    page = board_markdown(before, ended.benchmark)
    assert "**toy@1 is deprecated; use toy@2 instead.** It takes no new submissions." in page


def test_a_withdrawn_version_keeps_its_lock_and_says_why(protocol: LoadedBenchmark, tmp_path: Path) -> None:
    write_submission(tmp_path, protocol, "good", 2.0)
    lock_version("toy@1")
    before = build_board(protocol)
    write_successor(protocol)
    deprecate(protocol, WITHDRAWN)
    ended = load_protocol(protocol.path)
    assert ended.hash == protocol.hash
    assert frozen_problems("toy@1") == ()
    assert build_board(ended) == before
    said = "toy@1 is withdrawn, because its numbers are not the paper's; use toy@2 instead"
    assert f"**{said}.** It takes no new submissions." in board_markdown(before, ended.benchmark)


def test_nothing_is_evaluated_by_a_withdrawn_version(protocol: LoadedBenchmark, tmp_path: Path) -> None:
    request = Request(method="msr", benchmark=str(protocol.path), out=tmp_path / "runs")
    write_successor(protocol)
    deprecate(protocol)
    assert prepare(request).plan.units  # deprecated only: old runs may go on
    deprecate(protocol, 'reason = "its numbers are not the paper\'s"\n')
    protocol.path.write_text(protocol.path.read_text().replace('"deprecated"', '"withdrawn"'))
    sentence = r"^toy@1 is withdrawn, because its numbers are not the paper's; use toy@2 instead\.$"
    with pytest.raises(UsageError, match=sentence):
        prepare(request)
    assert not (tmp_path / "runs").exists()


def test_deprecation_hides_no_other_edit(protocol: LoadedBenchmark) -> None:
    lock_version("toy@1")
    write_successor(protocol)
    deprecate(protocol)
    protocol.path.write_text(protocol.path.read_text() + "# more\n")
    assert "differs from what was released" in frozen_problems("toy@1")[0]


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ('status = "deprecated"\n', "it names none."),
        ('status = "deprecated"\nsuccessor = "toy@7"\n', "it names 'toy@7', which is none."),
        ('status = "deprecated"\nsuccessor = "toy@1"\n', "it names 'toy@1', which is none."),
        (
            'status = "withdrawn"\nreason = "it is wrong"\n',
            "is withdrawn and must name a bundled benchmark as its successor; it names none.",
        ),
        (
            'status = "withdrawn"\nsuccessor = "toy@2"\n',
            'must give a reason where status = "withdrawn", and only there.',
        ),
        ('reason = "it is wrong"\n', 'must give a reason where status = "withdrawn", and only there.'),
        ('successor = "toy@2"\n', 'set status = "deprecated" or take the successor out.'),
    ],
)
def test_an_end_without_a_successor_is_refused(protocol: LoadedBenchmark, lines: str, sentence: str) -> None:
    deprecate(protocol, lines)
    assert frozen_problems("toy@1")[0].endswith(sentence)


def test_released_versions_of_this_checkout_are_as_they_were() -> None:
    released = {"confidence-mnist@1", "confidence-mnist@2", "attribution-mnist@1", "attribution-latec@1"}
    released |= {"attribution-latec@2", "attribution-latec@3"}
    assert released <= set(json.loads(lock_path().read_text()))
    problems = [sentence for name in benchmark_files() if name in released for sentence in frozen_problems(name)]
    assert problems == []


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize("released_with", [False, True])
def test_from_which_tier_on_rows_have_ranks_may_be_said_later(
    protocol: LoadedBenchmark, ended: bool, released_with: bool
) -> None:
    def say() -> None:
        text = protocol.path.read_text()
        protocol.path.write_text(text.replace("version = 1\n", 'version = 1\nranks_from = "recomputed"\n', 1))

    if released_with:
        say()
    lock_version("toy@1")
    if not released_with:
        say()
    if ended:
        write_successor(protocol)
        deprecate(protocol)
    found = load_protocol(protocol.path)
    assert (found.hash, found.benchmark.ranks_from) == (protocol.hash, "recomputed")
    assert frozen_problems("toy@1") == ()
    protocol.path.write_text(protocol.path.read_text() + "# a comment\n")
    assert "differs from what was released" in frozen_problems("toy@1")[0]
