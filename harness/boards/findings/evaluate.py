"""Findings of papers on published numbers, on a board, or on runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.boards.build import JSON
from harness.boards.findings.evidence import Evidence
from harness.boards.findings.gather import board_evidence, published_evidence, run_evidence
from harness.boards.findings.judgement import Judged
from harness.boards.findings.papers import FINDINGS
from harness.boards.findings.statements import PaperFinding
from harness.boards.published import FILE
from harness.data.catalog import benchmark_files, find_protocol
from harness.spec.errors import UsageError


def claims(targets: Sequence[str] = (), own: Path | None = None) -> tuple[Judged, ...]:
    """What evidence says of the findings of the papers.

    Without targets: every finding on the published numbers of its own benchmark. One benchmark: the findings about its
    kind of methods, on its published numbers and on its board, as far as there are any. Folders of runs on one benchmark:
    the same findings on these runs; `own`: its file, as in `RunResult.protocol`.

    Raises UsageError for anything else, and where no finding is about such methods.
    """
    if not targets:
        return tuple(_on_own_benchmarks())
    if any(Path(target).exists() and not target.endswith(".toml") for target in targets):
        return _judged([run_evidence([Path(target) for target in targets], own)])
    if len(targets) > 1:
        known = ", ".join(targets)
        raise UsageError(f"name one benchmark, or folders of runs; {known} are not all folders.")
    return _judged(_of_benchmark(targets[0]))


def _on_own_benchmarks() -> Iterator[Judged]:
    found: dict[str, Evidence] = {}
    for finding in FINDINGS:
        if finding.benchmark not in found:
            found[finding.benchmark] = published_evidence(find_protocol(_with_numbers(finding.benchmark)))
        yield finding.judge(found[finding.benchmark])


def _with_numbers(name: str) -> str:
    """The newest version of a benchmark that has published numbers, else the newest."""
    versions = [key for key, path in benchmark_files().items() if key.split("@")[0] == name and _has(path, FILE)]
    return max(versions, key=lambda key: int(key.split("@")[1]), default=name)


def _of_benchmark(name: str) -> list[Evidence]:
    protocol = find_protocol(name)
    _about(protocol.benchmark.task)
    found = [published_evidence(protocol)] if _has(protocol.path, FILE) else []
    if _has(protocol.path, JSON):
        board = board_evidence(protocol)
        found += [board] if board.numbers else []
    if not found:
        raise UsageError(
            f"{protocol.benchmark.name} has neither published numbers nor rows on a board; name another benchmark, or the "
            "folders of runs."
        )
    return found


def _judged(evidence: Sequence[Evidence]) -> tuple[Judged, ...]:
    return tuple(finding.judge(each) for each in evidence for finding in _about(each.task))


def _about(task: str) -> list[PaperFinding]:
    """The findings about methods of a kind."""
    found = [finding for finding in FINDINGS if finding.task == task]
    if not found:
        raise UsageError(f"no finding is about methods of the kind {task}.")
    return found


def _has(path: Path, name: str) -> bool:
    return (path.parent / name).is_file()
