"""Numbers from papers beside a board, and the tables behind it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tomli_w

from harness.boards.build import build_board, read_board, write_board
from harness.boards.published import read_published
from harness.data import catalog
from harness.data.catalog import LoadedBenchmark, find_protocol, load_protocol
from harness.spec.board import Board
from harness.spec.errors import UsageError
from harness.spec.submission import Submission
from harness.storage import file_id, write_arrays
from tests.boards.support import write_submission
from tests.tracks.query.outcomes import benchmark, method, random_counts, study, volumes

HEADER = "method,column,value,low,high,std,source,note\n"


@pytest.fixture
def volumetric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedBenchmark:
    """A segmentation benchmark with three submissions, one of them a reference."""
    monkeypatch.setattr(catalog, "_PACKAGE", tmp_path / "harness")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "leaderboards" / "toy" / "1"
    (folder / "Dataset001_Volumes").mkdir(parents=True)
    (folder / "Dataset001_Volumes" / "dataset.json").write_text("{}")
    spec = benchmark([study("low", full_performance=0.99), study("high")])
    (folder / "benchmark.toml").write_text(tomli_w.dumps(spec.model_dump(mode="json", exclude_none=True)))
    protocol = load_protocol(folder / "benchmark.toml")
    for name, quality in {"poor": 0.3, "good": 0.5, "bound": 0.6}.items():
        submit(tmp_path, protocol, name, quality)
    return protocol


def submit(root: Path, protocol: LoadedBenchmark, name: str, quality: float) -> None:
    folder = root / "submissions" / "toy@1" / name
    folder.mkdir(parents=True)
    arrays = {}
    for s in ("low", "high"):
        for seed in (1, 2, 3):
            outputs = volumes(random_counts(np.random.default_rng([seed]), quality))
            arrays |= {f"net-{seed}--{s}--{key}": array for key, array in outputs.items()}
    write_arrays(folder / "outputs.npz", arrays)
    about = Submission(
        benchmark="toy@1",
        benchmark_hash=protocol.hash,
        method=method(name, reference=name == "bound"),
        run="0" * 64,
        outputs={"outputs.npz": file_id(folder / "outputs.npz")},
    )
    (folder / "submission.toml").write_text(tomli_w.dumps(about.model_dump(mode="json", exclude_none=True)))


def publish(protocol: LoadedBenchmark, rows: str, header: str = HEADER) -> None:
    (protocol.path.parent / "published.csv").write_text(header + rows)


def test_tables_stand_behind_the_ranking_and_bytes_stay(volumetric: LoadedBenchmark, tmp_path: Path) -> None:
    def built() -> list[bytes]:
        return [Path(path).read_bytes() for path in write_board(build_board(volumetric), volumetric)]

    first = built()
    page = first[2].decode()
    assert "| 1 | *bound* | – |" in page, "penalties hold references, best first"
    assert page.index("Who beats whom") < page.index("Foreground efficiency") < page.index("Annotated foreground")
    assert built() == first, "from the cache"
    shutil.rmtree(tmp_path / "cache" / "entries")
    assert built() == first, "without the cache"
    board = read_board(volumetric)
    assert board == build_board(volumetric)
    assert [row.method for row in board.rows if not row.reference] == ["good", "poor"]


def test_published_numbers_are_shown_in_the_scale_of_the_board(volumetric: LoadedBenchmark) -> None:
    before = build_board(volumetric)
    publish(volumetric, 'theirs,low,0.8125,,,0.0125,"Somebody 2020, Title",\ntheirs,mean,0.5,0.4,0.6,,Else,of 3 runs\n')
    board = build_board(volumetric)
    low, mean = board.published
    assert (low.value, low.std, low.low, low.source) == (81.25, 1.25, None, "Somebody 2020, Title")
    assert (mean.value, mean.low, mean.high, mean.note) == (50.0, 40.0, 60.0, "of 3 runs")
    assert board.model_copy(update={"published": ()}) == before, "nobody's rank depends on them"
    page = Path(write_board(board, volumetric)[2]).read_text()
    section = page[page.index("## As published") :]
    for text in ("| low | 81.2 ±1.2 |", "| mean | 50.0 [40.0–60.0] |", "Source: Somebody 2020, Title", "of 3 runs"):
        assert text in section


def test_numbers_of_another_metric_have_a_table_and_a_scale_of_their_own(volumetric: LoadedBenchmark) -> None:
    publish(
        volumetric,
        "theirs,low,,0.5,3,S\ntheirs,low,aurc,0.25,5,S\n",
        header="method,column,metric,value,runs,source\n",
    )
    board = build_board(volumetric)
    own, other = board.published
    assert (own.metric, own.value, own.runs) == ("", 50.0, 3)
    assert (other.metric, other.value, other.runs) == ("aurc", 250.0, 5)
    assert read_board_again(board, volumetric) == board
    page = (volumetric.path.parent / "board.md").read_text()
    assert page.index("AUBC × 100 from papers") < page.index("| low | 50.0 |")
    assert page.index("aurc × 1000 from papers") < page.index("| low | 250.0 |")


def read_board_again(board: Board, protocol: LoadedBenchmark) -> Board:
    write_board(board, protocol)
    return read_board(protocol)


def test_an_unknown_metric_is_named(volumetric: LoadedBenchmark) -> None:
    publish(volumetric, "theirs,low,aurk,0.5,S\n", header="method,column,metric,value,source\n")
    with pytest.raises(UsageError, match="line 2, is called 'aurk'"):
        read_published(volumetric, ("low", "high", "mean"))


def test_boards_without_them_do_not_mention_them(protocol: LoadedBenchmark, tmp_path: Path) -> None:
    write_submission(tmp_path, protocol, "msr", 2.0)
    paths = write_board(build_board(protocol), protocol)
    assert not {"tables", "published"} & set(json.loads(Path(paths[0]).read_text()))
    assert "published" not in Path(paths[2]).read_text()


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ("theirs,nowhere,0.5,,,,S,\n", "line 2, is called 'nowhere'"),
        ("theirs,low,nan,,,,S,\n", "line 2: value: it must be a finite number, not"),
        ("theirs,low,high,,,,S,\n", "line 2: value: it must be a number, not 'high'"),
        ("theirs,low,,,,,S,\n", "line 2: value: it is missing; add it"),
        ("theirs,low,0.5,,,,,\n", "line 2: source: it is missing; add it"),
        (",low,0.5,,,,S,\n", "line 2: method: it is missing; add it"),
        ("theirs,low,0.5,,,-1,S,\n", "line 2: std"),
        ("theirs,low,0.5,,,,S,\ntheirs,low,0.6,,,,S,\n", "line 3: theirs has a number for low already"),
        ("theirs,low,0.5,,,,S,note,more\n", "line 2"),
    ],
)
def test_a_bad_line_is_named(volumetric: LoadedBenchmark, rows: str, sentence: str) -> None:
    publish(volumetric, rows)
    with pytest.raises(UsageError, match=sentence):
        read_published(volumetric, ("low", "high", "mean"))


def test_missing_columns_are_named(volumetric: LoadedBenchmark) -> None:
    publish(volumetric, "theirs,low,0.5\n", header="method,column,value\n")
    with pytest.raises(UsageError, match="lacks source"):
        read_published(volumetric, ("low",))


def test_realistic_al_has_the_numbers_of_its_authors() -> None:
    """Three of the released means, and what was never run."""
    protocol = find_protocol("query-realistic-al@2")
    board: Board = build_board(protocol)
    numbers = {(each.method, each.column): (each.value, each.std) for each in board.published}
    assert numbers["badge", "cifar10-low-self-sl"] == (82.82, 0.16)
    assert numbers["random", "cifar100-medium-semi-sl"] == (63.07, 0.16)
    assert numbers["kcentergreedy", "cifar10-lt-low-semi-sl"] == (68.25, 1.03)
    assert numbers["entropy", "cifar10-lt-high-st"] == (74.31, None)
    assert not [column for _, column in numbers if column.endswith("-high-semi-sl")]
    assert len(numbers) == 174
    assert not board.rows


def test_fdshifts_has_the_numbers_of_its_authors() -> None:
    """Cells of the authors' printed tables: AURC × 1000 to two decimals."""
    published = build_board(find_protocol("confidence-fdshifts@3")).published
    numbers = {(each.method, each.column): each.value for each in published}
    printed = {
        ("confidnet", "animals-iid"): 141.88,
        ("msr", "svhn-open-set"): 149.16,
        ("mahalanobis", "svhn-open-set-vit"): 370.57,
        ("mcd-pe", "cifar100-corrupted-3"): 257.44,
    }
    for key, value in printed.items():
        assert numbers[key] == pytest.approx(value, abs=0.0051)
    assert {each.metric for each in published} == {"aurc"}


def test_nnactive_has_what_all_labels_reach() -> None:
    """As the studies' own full performance says, which was entered by hand from the same files."""
    protocol = find_protocol("query-nnactive@1")
    published = {(each.method, each.column): each.value for each in build_board(protocol).published}
    for each in protocol.benchmark.studies:
        column = each.id if each.group == "roll-out" else each.group
        names = ("all labels, nnUNetTrainer_200epochs", "all labels, nnUNetTrainer")  # of the hippocampus, the latter
        found = [published[name, column] for name in names if (name, column) in published]
        assert found[0] == pytest.approx(100 * each.full_performance, rel=1e-5)


def test_the_stored_page_of_realistic_al_is_what_is_built() -> None:
    protocol = find_protocol("query-realistic-al@2")
    assert read_board(protocol) == build_board(protocol)
