"""All rules of the gate, in order: those for submissions, and those for the sources that they share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from harness.boards.gate import claims, conduct, form, sources
from harness.boards.gate.candidate import Candidate
from harness.boards.gate.report import Severity


@dataclass(frozen=True)
class Rule:
    """`check` yields a sentence for everything that is wrong. It runs only where the rules that it needs passed."""

    name: str
    check: Callable[[Candidate], Iterator[str]]
    needs: tuple[str, ...] = ()
    severity: Severity = "refused"
    entry_only: bool = False
    """Asked of new submissions, not of those that were there before."""


RULES = (
    Rule("files", form.allowed_files),
    Rule("sizes", form.sizes, ("files",)),
    Rule("changes", form.own_changes),
    Rule("replaced", form.replaced, severity="flagged"),
    Rule("schema", form.schema, ("sizes",)),
    Rule("text", form.plain_text, ("schema",)),
    Rule("name", form.name_of_its_own, ("schema",), entry_only=True),
    Rule("path", form.path_is_content, ("schema",)),
    Rule("disclosure", form.disclosure, ("schema",)),
    Rule("method", form.method_source, ("schema",)),
    Rule("benchmark", claims.benchmark, ("schema",)),
    Rule("open", claims.benchmark_open, ("benchmark",), entry_only=True),
    Rule("run", claims.sealed_run, ("benchmark",)),
    Rule("provenance", claims.provenance, ("run",), severity="flagged"),
    Rule("units", claims.every_unit, ("run",)),
    Rule("outputs", claims.stored_outputs, ("units",)),
    Rule("maps", claims.maps, ("outputs",), entry_only=True),
    Rule("samples", claims.samples, ("outputs",)),
    Rule("metrics", claims.metrics, ("samples",)),
    Rule("summary", claims.summary, ("samples",)),
    Rule("constant", conduct.constant, ("samples", "method")),
    Rule("duplicate", conduct.duplicate, ("samples",)),
    Rule("near-copy", conduct.near_copy, ("duplicate",), severity="flagged"),
    Rule("label-like", conduct.label_like, ("samples", "method"), severity="flagged"),
    Rule("told-names", conduct.told_names, ("method",), severity="flagged"),
    Rule("far-ahead", conduct.far_ahead, ("samples", "method"), severity="flagged", entry_only=True),
)

RULES_FOR_SOURCES = (
    Rule("files", sources.allowed_files),
    Rule("changes", sources.unchanged),
    Rule("sources", sources.named, ("files",)),
)
