"""What the gate says about one folder."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator

from harness.spec.base import Spec

Severity = Literal["refused", "flagged"]
"""refused: no board takes it. flagged: a human looks at it before it is merged."""

_LONGEST = 600


class Finding(Spec):
    """One thing that is wrong, in one line that says what to do."""

    rule: str
    severity: Severity
    sentence: str

    @field_validator("sentence")
    @classmethod
    def _short(cls, sentence: str) -> str:
        line = _printable(sentence)
        return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} …"


class Report(Spec):
    """All findings about one folder."""

    folder: str
    findings: tuple[Finding, ...]
    as_reported: tuple[str, ...] = ()
    """Metrics that only another run of the method can check; the rest was recomputed from the stored outputs."""

    @field_validator("folder")
    @classmethod
    def _shown(cls, folder: str) -> str:
        return _printable(folder)

    @property
    def accepted(self) -> bool:
        return all(finding.severity != "refused" for finding in self.findings)


def _printable(text: str) -> str:
    """One line: names in a stranger's files must not drive the terminal or the page on which they are shown."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
