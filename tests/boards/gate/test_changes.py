"""What a pull request may touch, on a scratch repository."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.boards.gate import validate_all, validate_changed
from harness.spec.errors import UsageError
from harness.storage import write_json
from tests.boards.gate.support import changed, git, lines, place
from tests.boards.support import reproduced


def test_nothing_changed(repository: Path) -> None:
    assert changed(repository) == []


def test_a_good_pull_request(repository: Path) -> None:
    place(repository)
    (report,) = changed(repository)
    assert report.findings == ()
    assert report.folder == "submissions/toy@1/margin"


def test_files_that_are_not_yet_known_to_git(repository: Path) -> None:
    place(repository)
    (report,) = validate_changed(repository, "main")
    assert report.findings == ()


def test_what_others_merged_meanwhile_is_no_change_of_ours(repository: Path) -> None:
    place(repository)
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "request")
    git(repository, "checkout", "-q", "main")
    shutil.rmtree(repository / "submissions" / "toy@1" / "msr")
    git(repository, "commit", "-q", "-a", "-m", "withdrawn")
    git(repository, "checkout", "-q", "request")
    assert lines(list(validate_changed(repository, "main"))) == []


@pytest.mark.parametrize(
    "path",
    [
        "submissions/toy@1/msr/README.md",
        "submissions/toy@1/sources/0.py",
        "submissions/toy@1/stray.txt",
        "submissions/leaderboards/toy/1/board.json",
        "leaderboards/toy/2/benchmark.toml",
        "leaderboards/toy/1/evil.py",
        "leaderboards/toy/1/CHANGES.md",
        "leaderboards/toy/1/board.json",
        "leaderboards/toy/1/reproductions/margin.json",
        "datasets/toy/labels.npz",
        ".github/workflows/submission.yml",
        "harness/boards/gate/rules.py",
        "conftest.py",
    ],
)
def test_nothing_else_is_added(repository: Path, path: str) -> None:
    folder = place(repository)
    (repository / path).parent.mkdir(parents=True, exist_ok=True)
    (repository / path).write_text("x")
    findings = lines(changed(repository))
    sentence = f"the same change adds {path}; a submission touches its own folder and nothing else."
    assert f"{folder.name}: refused changes: {sentence}" in findings


def test_no_other_submission_is_changed_or_removed(repository: Path) -> None:
    place(repository)
    shutil.rmtree(repository / "submissions" / "toy@1" / "oracle")
    (repository / "submissions" / "toy@1" / "msr" / "run.json").write_text("")
    findings = [each for each in lines(changed(repository)) if each.startswith("margin: ")]
    rest = "a submission touches its own folder and nothing else."
    assert findings == [
        f"margin: refused changes: the same change changes submissions/toy@1/msr/run.json; {rest}",
        *(
            f"margin: refused changes: the same change removes submissions/toy@1/oracle/{name}; {rest}"
            for name in ("method.py", "outputs.npz", "run.json", "submission.toml")
        ),
    ]


def test_a_removal_alone_is_refused(repository: Path) -> None:
    shutil.rmtree(repository / "submissions" / "toy@1" / "oracle")
    assert lines(changed(repository)) == [
        "oracle: refused files: oracle was removed; to withdraw a submission, ask a maintainer in an issue."
    ]


def test_the_protocol_is_not_changed(repository: Path) -> None:
    place(repository)
    with (repository / "leaderboards" / "toy" / "1" / "benchmark.toml").open("a") as stream:
        stream.write("# easier\n")
    assert lines(changed(repository)) == [
        "margin: refused changes: the same change changes leaderboards/toy/1/benchmark.toml; "
        "a submission touches its own folder and nothing else."
    ]


def test_no_code_is_changed(repository: Path) -> None:
    place(repository)
    (repository / "harness" / "code.py").write_text("x = 2\n")
    assert lines(changed(repository)) == [
        "margin: refused changes: the same change changes harness/code.py; "
        "a submission touches its own folder and nothing else."
    ]


def test_a_change_without_a_submission_is_not_the_gates_to_judge(repository: Path) -> None:
    (repository / "harness" / "code.py").write_text("x = 2\n")
    assert changed(repository) == []


def test_many_submissions_are_refused_unread(repository: Path) -> None:
    folder = place(repository)
    for number in range(12):
        shutil.copytree(folder, folder.with_name(f"margin-{number}"))
    reports = {Path(each.folder).name: each.findings for each in changed(repository)}
    assert len(reports) == 13
    unread = [name for name, findings in reports.items() if [each.rule for each in findings] == ["changes"]]
    assert len(unread) == 3
    assert reports[unread[0]][0].sentence == "the same change touches 13 folders; a submission is one."


def test_a_new_version_of_ones_own_is_for_a_human(repository: Path) -> None:
    place(repository)
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "merged")
    git(repository, "branch", "-f", "main")
    (repository / "submissions" / "toy@1" / "margin" / "README.md").write_text("new")
    about = repository / "submissions" / "toy@1" / "margin" / "submission.toml"
    about.write_text(about.read_text().replace("2 cores", "3 cores"))
    assert lines(changed(repository)) == [
        "margin: flagged replaced: submission.toml replaces an earlier state; see that its authors want this."
    ]


def test_nobody_gives_himself_a_tier(repository: Path) -> None:
    folder = place(repository)
    write_json(folder / "reproduction.json", reproduced(folder).canonical())
    assert lines(changed(repository)) == [
        "margin: refused files: reproduction.json is for maintainers to add, beside the board; remove it."
    ]


@pytest.mark.parametrize("name", ["gone", "--output=/tmp/x", "main:harness", ""])
def test_a_revision_that_does_not_exist(repository: Path, name: str) -> None:
    place(repository)
    with pytest.raises(UsageError, match="holds no history"):
        list(validate_changed(repository, name))


def test_a_folder_that_is_no_checkout(good: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no history"):
        list(validate_changed(tmp_path, "main"))


def test_all_that_are_there(good: Path) -> None:
    reports = list(validate_all())
    assert [Path(each.folder).name for each in reports] == ["margin", "msr", "oracle", "sources"]
    assert all(each.findings == () for each in reports)
