"""What the makers of a method say of it beside its numbers, and what of that can be found on this machine."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.spec.errors import UsageError

Ask = Callable[[str, str], str]
"""Puts a question to somebody and offers an answer, which may be empty."""

_BETWEEN_AUTHORS = ";"
_QUESTIONS = {
    "authors": ("--author", "Authors, separated by ;"),
    "licence": ("--licence", "Licence of the method's file (SPDX identifier, e.g. Apache-2.0)"),
    "citation": ("--citation", "What to cite, or why there is nothing to"),
    "training_data": ("--training-data", "Data the method was made with beyond the benchmark's own, or: none"),
    "hardware": ("--hardware", "What the run was made on"),
}
_TIMEOUT_SECONDS = 20.0


@dataclass(frozen=True)
class Disclosure:
    """What no run can know of itself. Fields as in `Submission`."""

    authors: tuple[str, ...]
    licence: str
    citation: str
    training_data: str
    hardware: str


def disclose(given: Mapping[str, str], found: Mapping[str, str], ask: Ask | None = None) -> Disclosure:
    """Fields as given; the others as somebody answers, or as found where there is nobody to ask.

    Several authors are one text, with `;` between them. Raises UsageError that names the options of what is missing.
    """
    said: dict[str, str] = {}
    for field, (_, question) in _QUESTIONS.items():
        said[field] = given.get(field, "").strip()
        if not said[field]:
            said[field] = (ask(question, found.get(field, "")) if ask else found.get(field, "")).strip()
    missing = [option for field, (option, _) in _QUESTIONS.items() if not said[field]]
    if missing:
        raise UsageError(f"a submission must say more about the method; add {', '.join(missing)}.")
    authors = tuple(filter(None, map(str.strip, said.pop("authors").split(_BETWEEN_AUTHORS))))
    return Disclosure(authors=authors, **said)


def found_facts(citation: str) -> dict[str, str]:
    """What `disclose` can offer: the author that git knows, the method's own citation, and this machine."""
    return {"authors": _output_of("git", "config", "user.name"), "citation": citation, "hardware": found_hardware()}


def found_hardware() -> str:
    """Processor, cores and graphics processors of this machine in one line."""
    parts = [_processor(), f"{os.cpu_count() or 1} cores"]
    parts.append(
        ", ".join(_output_of("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").splitlines()) or "no GPU"
    )
    return ", ".join(parts)


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(errors="replace").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(filter(None, names), platform.processor() or platform.machine())


def _output_of(*command: str) -> str:
    """What a program prints; nothing where it is missing or fails."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
