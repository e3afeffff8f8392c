"""The gate: may a folder enter a board? The same rules for whoever submits and for continuous integration."""

from harness.boards.gate.bounded import validate_bounded, validate_changed
from harness.boards.gate.report import Finding, Report
from harness.boards.gate.revision import Revision
from harness.boards.gate.validate import validate, validate_all

__all__ = ["Finding", "Report", "Revision", "validate", "validate_all", "validate_bounded", "validate_changed"]
