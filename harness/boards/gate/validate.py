"""`validate`: all rules over one folder, or over all that is there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from harness.boards.gate.candidate import Candidate
from harness.boards.gate.report import Finding, Report
from harness.boards.gate.revision import FileChange
from harness.boards.gate.rules import RULES, RULES_FOR_SOURCES, Rule
from harness.boards.maps import Fetch
from harness.boards.submissions import SOURCES, SUBMISSIONS
from harness.data.catalog import bundled_folder
from harness.spec.errors import UsageError
from harness.storage import IntegrityError

_UNREADABLE = (UsageError, IntegrityError, OSError, ValueError, LookupError, RecursionError)
"""The last four: what hostile text and unknown encodings do to parsers."""

MOST_SENTENCES = 5
"""Of one rule about one folder; further ones are counted."""


def validate(
    folder: Path, *, changes: Sequence[FileChange] = (), standing: bool = False, fetch: Fetch | None = None
) -> Report:
    """Whether a folder may enter the board of its benchmark, or may be its folder of sources. Its code is never run.

    changes: also look at what else was changed. standing: the submission is on a board already, so rules for new ones
    are left out. fetch: bring maps that lie on the Hub, and recompute what follows from them. Strangers' folders are
    judged by `validate_bounded`.
    """
    candidate = Candidate(folder, changes, fetch)
    findings: list[Finding] = []
    passed: set[str] = set()
    for rule in RULES_FOR_SOURCES if candidate.folder.absolute().name == SOURCES else RULES:
        if not passed.issuperset(rule.needs) or (standing and rule.entry_only):
            continue
        sentences = _sentences(rule, candidate)
        findings += [Finding(rule=rule.name, severity=rule.severity, sentence=each) for each in sentences]
        if not sentences or rule.severity == "flagged":
            passed.add(rule.name)
    answers = candidate.answers.items() if "samples" in passed else ()
    as_reported = dict.fromkeys(
        name for unit, outputs in answers for name in candidate.track.as_reported(unit, outputs)
    )
    return Report(folder=str(folder), findings=tuple(findings), as_reported=tuple(as_reported))


def validate_all(fetch: Fetch | None = None) -> Iterator[Report]:
    """Every submission, and every folder of sources, of the checkout that the harness runs from."""
    for folder in sorted(bundled_folder(SUBMISSIONS).glob("*/*")):
        yield validate(folder, standing=True, fetch=fetch)


def _sentences(rule: Rule, candidate: Candidate) -> list[str]:
    found = _guarded(rule, candidate)
    first = list(islice(found, MOST_SENTENCES))
    more = sum(1 for _ in found)
    return [*first, f"and {more} more of this kind."] if more else first


def _guarded(rule: Rule, candidate: Candidate) -> Iterator[str]:
    """What cannot be read is refused with the reader's sentence; files are called by their names alone."""
    try:
        yield from rule.check(candidate)
    except _UNREADABLE as error:
        reason = str(error) or f"it cannot be read ({type(error).__name__})."
        yield reason.replace(f"{candidate.folder}{os.sep}", "")
