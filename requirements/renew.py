"""Writes constraints.txt anew: `make pins`. Arguments: the oldest interpreter that is supported, and the next one.

Each resolves what `make` installs from the plain ranges, in an environment of its own, without installing it. Where the
oldest cannot have what the others have, two lines say so. torch stays as it is pinned: change its line by hand.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
PINS = HERE / "constraints.txt"
HEAD = """\
# Every package that `make` installs, given to pip by it; pyproject.toml keeps plain ranges. Written by `make pins`.
# What torch needs for graphics cards is pinned by torch itself.
"""
OF_TORCH = re.compile(r"nvidia-|cuda-|triton")


def main(oldest: str, next_one: str) -> None:
    torch = re.search(r"^torch==.*$", PINS.read_text(), re.MULTILINE)
    assert torch is not None, f"{PINS} must pin torch"
    (_, old), (since, new) = (resolved(interpreter, torch[0]) for interpreter in (oldest, next_one))
    PINS.write_text(HEAD + "".join(f"{line}\n" for line in lines(old, new, since)))


def resolved(interpreter: str, torch: str) -> tuple[str, dict[str, str]]:
    """The interpreter's version, and package -> version."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([interpreter, "-m", "venv", folder], check=True)
        pip = [f"{folder}/bin/python", "-m", "pip", "--quiet"]
        subprocess.run([*pip, "install", "--upgrade", "pip"], check=True)
        pins, report = Path(folder) / "torch.txt", Path(folder) / "report.json"
        pins.write_text(torch)
        wanted = ["--requirement", str(HERE / "query-needs.txt"), f"{HERE.parent}[dev]"]
        options = ["--dry-run", "--ignore-installed", "--constraint", str(pins), "--report", str(report)]
        subprocess.run([*pip, "install", *options, *wanted], check=True)
        said = json.loads(report.read_text())
    versions = {name(each["metadata"]["name"]): each["metadata"]["version"] for each in said["install"]}
    alone = re.findall(r"^([\w-]+)==(\S+)", (HERE / "query-alone.txt").read_text(), re.MULTILINE)
    versions |= {name(each): version for each, version in alone}
    del versions["reliabench"]
    return said["environment"]["python_version"], {k: v for k, v in versions.items() if not OF_TORCH.match(k)}


def lines(old: dict[str, str], new: dict[str, str], since: str) -> list[str]:
    """One line a package, or two where the older interpreter has another version than those since the newer one."""
    result = []
    for package in sorted({*old, *new}):
        pins = [versions[package].partition("+")[0] for versions in (old, new) if package in versions]
        if len(set(pins)) == 1:
            result.append(f"{package}=={pins[0]}")
        else:
            result += [f"{package}=={pins[0]}; python_version < '{since}'"]
            result += [f"{package}=={pins[1]}; python_version >= '{since}'"]
    return result


def name(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


if __name__ == "__main__":
    main(*sys.argv[1:])
