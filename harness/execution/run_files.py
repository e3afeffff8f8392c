"""Names of what lies in a run's folder."""

from __future__ import annotations

METHOD = "method.py"
JOURNAL = "journal.log"
SEALED = "run.json"
PROTOCOL = "protocol.json"
"""Where the benchmark's file lay when the run was made; no part of what is sealed."""
