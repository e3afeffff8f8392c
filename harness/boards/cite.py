"""What must be cited for a run, a submission or a benchmark, as BibTeX with keys that stay the same."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import harness
from harness.boards.bibliography import Work, find_work
from harness.boards.reproduce import find_submission
from harness.boards.submissions import ABOUT, read_submission, submissions_folder
from harness.data.catalog import LoadedBenchmark, find_protocol
from harness.execution.run_files import SEALED
from harness.execution.run_result import RunResult
from harness.metrics.facts import metric_facts
from harness.spec.board import Board
from harness.spec.errors import UsageError
from harness.spec.kinds import kind_of, load
from harness.storage import bytes_id

SOFTWARE = "The reliabench developers, reliabench: evaluating confidence scores, query strategies and XAI methods"
_YEAR = re.compile(r"\b(?:19|20)\d\d\b")
_NAME = re.compile(r"[^\W\d_]+")
_SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_SPECIAL |= {each: f"\\{each}" for each in "&%$#_"}
_SPECIAL |= {"{": r"\textbraceleft{}", "}": r"\textbraceright{}"}  # BibTeX counts braces, also those behind a backslash
_SPECIAL |= {"±": r"$\pm$", "×": r"$\times$"}


@dataclass(frozen=True)
class CitedWork:
    """One work, in the words of who names it, and what of ours rests on it."""

    text: str
    role: str


def cite(target: str) -> str:
    """BibTeX for the folder of a run or submission, `benchmark@version/method`, or a benchmark.

    Raises UsageError for what is none of these, IntegrityError for damaged files.
    """
    folder = Path(target)
    if (folder / ABOUT).is_file() or (submissions_folder(target) / ABOUT).is_file():
        about = read_submission(find_submission(target)).about
        method = CitedWork(about.citation or about.method.citation, f"method {about.name}")
        return bibtex([*references(find_protocol(about.benchmark)), method])
    if (folder / SEALED).is_file() or folder.name == SEALED:
        return bibtex(_of_run(RunResult.open(folder)))
    if folder.is_dir():
        raise UsageError(f"{target} holds neither a sealed run nor a submission; name one of these, or a benchmark.")
    return bibtex(references(find_protocol(target)))


def _of_run(run: RunResult) -> list[CitedWork]:
    """What rests behind a run, on a benchmark of a user's own too; a method without a source is named for its author to
    fill in."""
    method = run.document.spec.method
    try:
        found = references(run.protocol())
    except UsageError:  # the benchmark's file is not at hand any more
        found = [_software()]
    own = f"{method.name}, version {method.version}: add its authors, title and year"
    named = method.citation or (own if method.origin == "file" else "")
    return [*found, CitedWork(named, f"method {method.name}")]


def board_references(
    board: Board, protocol: LoadedBenchmark, citations: Mapping[str, str] | None = None
) -> list[CitedWork]:
    """What rests behind a board: its benchmark, and all methods that stand on it; `citations` of them by name, where they
    are no submissions."""
    found = references(protocol)
    for row in board.rows:
        if citations is None:
            about = read_submission(submissions_folder(board.benchmark) / row.method).about
            cited = about.citation or about.method.citation
        else:
            cited = citations[row.method]
        found.append(CitedWork(cited, f"method {row.method}"))
    return [*found, *(CitedWork(each.source, "published numbers") for each in board.published)]


def references(protocol: LoadedBenchmark) -> list[CitedWork]:
    """The harness, a benchmark, the works and data sets that it names, and its metrics."""
    benchmark = protocol.benchmark
    title = f"The reliabench developers, {benchmark.title}, benchmark {benchmark.name} (sha256 {protocol.hash[:12]})"
    named = [CitedWork(text, f"benchmark {benchmark.name}") for text in benchmark.citation]
    facts = metric_facts()
    metrics = [name for name in _metrics(protocol) if name in facts]
    # A metric of the harness's own says what it is in place of a source.
    sources = [CitedWork(facts[m].citation, f"metric {m}") for m in metrics if _YEAR.search(facts[m].citation)]
    return [_software(), CitedWork(title, f"benchmark {benchmark.name}"), *named, *sources]


def bibtex(found: Iterable[CitedWork]) -> str:
    """One entry per work, by key; a work that is named twice stands there once, with all that rests on it.

    Works of `references.bib` have a type, authors and a venue; any other is `@misc`, in the words of who names it.
    """
    roles: dict[str, list[str]] = {}
    for reference in found:
        for text in _works_in(" ".join(reference.text.split())):
            of = roles.setdefault(text, [])
            of += [] if reference.role in of else [reference.role]
    entries = {}
    for text, names in roles.items():
        work = find_work(text) or _free(text)
        entries[work.key] = _entry(work, names)
    return "\n".join(entries[key] for key in sorted(entries))


def bibtex_key(text: str) -> str:
    """First name, year and four digits of a hash of the text: the same whatever else is cited, `ribeiro2016-1f0e`."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = [word for word in _NAME.findall(plain) if word != "the"]
    return f"{words[0] if words else 'work'}{_year(text)}-{bytes_id(text.encode())[:4]}"


def latex(text: str) -> str:
    """Text with everything escaped that LaTeX would take for a command."""
    return "".join(_SPECIAL.get(character, character) for character in text)


def _works_in(text: str) -> list[str]:
    """The works that a text names: several, between semicolons, where at least one of them is known; keys for known ones."""
    if not text or text.lower().startswith("none"):
        return []
    parts = [part.strip() for part in text.split(";")]
    known = [find_work(part) for part in parts]
    if not any(known):
        return [text]
    return [part if work is None else work.key for part, work in zip(parts, known, strict=True) if part]


def _free(text: str) -> Work:
    """A work that is known by these words only."""
    return Work("misc", bibtex_key(text), {"title": f"{{{latex(text)}}}", "year": _year(text)})


def _entry(work: Work, roles: list[str]) -> str:
    fields = {**work.fields, "note": latex(f"for {', '.join(roles)}")}
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@{work.type}{{{work.key},", *lines, "}", ""])


def _software() -> CitedWork:
    return CitedWork(f"{SOFTWARE}, version {harness.__version__}", "the harness")


def _year(text: str) -> str:
    years = _YEAR.findall(text)
    return years[0] if years else ""


def _metrics(protocol: LoadedBenchmark) -> Iterator[str]:
    """Ids of a benchmark's metrics: those that it lists, else all that its kind has."""
    for metric in getattr(protocol.benchmark, "metrics", ()):
        yield metric if isinstance(metric, str) else metric.id
    own = kind_of(protocol.benchmark.task).metrics
    if not hasattr(protocol.benchmark, "metrics") and own:
        yield from (fact.id for fact in load(own) if fact.criterion != "frame")
