"""`harness doctor`: is this machine ready?"""

from __future__ import annotations

import re
import stat
from pathlib import Path

import typer

from harness.cli import options
from harness.cli.output import FAILED, PASSED, SKIPPED, say, say_json

_DISTRIBUTION = "reliabench"


def doctor(json: options.AsJson = False) -> None:
    """Show versions, device, cache, disk and offline state, try a method in its process and a file in the cache, and say
    what is missing. Exit code 1 if it is needed; extras of the package that are not installed are only named.

    Example: harness doctor
    """
    (facts, problems), notes = _examine(), _extras()
    if json:
        say_json({"facts": facts, "notes": notes, "problems": problems})
    else:
        width = max(map(len, facts))
        for name, value in facts.items():
            say(f"{name:<{width}}  {value}")
        for note in notes:
            say(note, sign=SKIPPED)
        for problem in problems:
            say(problem, sign=FAILED)
        if not problems:
            say("ready: harness evaluate msr", sign=PASSED)
    raise typer.Exit(1 if problems else 0)


def _examine() -> tuple[dict[str, str], list[str]]:
    import os
    import platform
    import shutil

    import harness
    from harness.data.catalog import benchmark_files, cache_folder
    from harness.execution.environment import PACKAGES, git_state, installed_version
    from harness.execution.evaluate import resolve_device

    optional = {name for names in _optional().values() for name in names}
    versions = {name: installed_version(name) for name in PACKAGES}
    problems = [
        f"{name} is not installed: pip install {name}"
        for name, found in versions.items()
        if not found and name not in optional
    ]
    cache = cache_folder()
    existing = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(existing).free / 2**30
    size = _size_of(cache)
    if trouble := _try_to_write(cache):
        problems.append(f"the cache folder {cache} cannot be written ({trouble}): set HARNESS_CACHE to one that can")
    if free < 1:
        problems.append(f"only {free:.1f} GiB are free where the cache lies: make room, or set HARNESS_CACHE")
    if not benchmark_files():
        problems.append("no benchmarks are bundled: reinstall, or run from a complete checkout")
    trouble = "" if problems else _try_a_method()
    if trouble:
        problems.append(f"a method cannot be run: {trouble}")
    commit, dirty = git_state()
    changed = " (changed)" if dirty else ""
    facts = {
        "harness": harness.__version__ + (f" at {commit[:12]}{changed}" if commit else ""),
        "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        **{name: found or ("not installed" if name in optional else "missing") for name, found in versions.items()},
        "device": resolve_device("auto"),
        "fence": _fence(),
        "cores": str(os.cpu_count()),
        "cache": f"{cache} ({size / 2**20:.0f} MiB)",
        "free disk": f"{free:.0f} GiB",
        "offline": "yes" if os.environ.get("HF_HUB_OFFLINE") == "1" else "no",
        "benchmarks": ", ".join(benchmark_files()) or "none",
    }
    return facts, problems


def _optional() -> dict[str, list[str]]:
    """Extra of the package -> distributions that it brings; none for those who develop the harness."""
    from importlib import metadata

    try:
        required = metadata.requires(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:  # run from a folder, without being installed
        required = ["nnunetv2; extra == 'query'"]
    found: dict[str, list[str]] = {}
    for each in required:
        if extra := re.search(r"extra == ['\"](\w+)['\"]", each):
            found.setdefault(extra[1], []).append(re.split(r"[^\w.-]", each)[0])
    return {name: found[name] for name in found if name not in ("dev", "site")}


def _extras() -> list[str]:
    """A sentence for each extra of which anything is not installed."""
    from harness.execution.environment import installed_version

    absent = {extra: [name for name in names if not installed_version(name)] for extra, names in _optional().items()}
    return [
        f"optional, not installed: {', '.join(names)}; for benchmarks and pages that need them: "
        f"pip install '{_DISTRIBUTION}[{extra}]'"
        for extra, names in absent.items()
        if names
    ]


def _try_to_write(cache: Path) -> str:
    """Why no file can be made in the cache; nothing of the trial stays."""
    from tempfile import TemporaryFile

    try:
        cache.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=cache) as file:
            file.write(b"0" * 4096)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _try_a_method() -> str:
    """What keeps a baseline from passing its check in a process of its own, behind the fence that is used by default."""
    from harness.execution.evaluate import check_method, resolve_device
    from harness.execution.fence import choose
    from harness.execution.method_process import Limits
    from harness.methods.discovery import find_method
    from harness.storage import StorageError

    limits = Limits(60.0, 8.0, device=resolve_device("auto"), fence=choose("auto"))
    try:
        return next((each.problem for each in check_method(find_method("msr"), limits) if not each.passed), "")
    except StorageError as error:
        return str(error)


def _fence() -> str:
    """What stands around a method's process by default, and what does not."""
    from harness.execution.fence import choose, described, landlock_problem
    from harness.execution.sandbox import sandbox_available

    missing = [
        f"{name}: {reason}"
        for name, reason in (("landlock", landlock_problem()), ("bubblewrap", sandbox_available()))
        if reason
    ]
    return "; ".join((described(choose("auto")), *missing))


def _size_of(cache: Path) -> int:
    """Bytes below a folder: a file with several names counts once, what links lead to elsewhere does not."""
    facts = (path.lstat() for path in cache.rglob("*"))
    return sum({fact.st_ino: fact.st_size for fact in facts if stat.S_ISREG(fact.st_mode)}.values())
