"""Does the harness do on a graphics processor what it does on a processor? By hand, once for each new card: `make gpu-check`.

Every kind of method on its embedded benchmark, on both; methods behind each fence; two processes with a card each; and
networks at the scale of the papers. Prints a report in Markdown, to be pasted into an issue, and writes it to `report.md`
of the folder of results. Exits with 1 where something does not hold, and with 2 where there is nothing to check.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.execution.environment import git_state
from harness.execution.evaluate import resolve_device
from harness.execution.fence import device_files, landlock_problem
from harness.execution.room import cards
from harness.execution.sandbox import sandbox_available
from harness.spec.errors import UsageError
from harness.storage import IntegrityError, StorageError, make_folder
from tests.performance.gpu.large import SIDE, write_images, write_volumes
from tests.performance.gpu.rows import Row, compared_rows, measured_rows
from tests.performance.gpu.units import Case, CaseRun, run_case

KINDS = (
    Case("confidence", "msr", "confidence-mnist@2", ("iid · plain-0", "corruption-5 · plain-0"), limit=500),
    Case("query, images", "predictive-entropy", "query-mnist@2", ("low · small-cnn-12345",), limit=2, trained=True),
    Case("query, volumes", "predictive-entropy", "query-mni152@2", ("low · nnunet-small-12345",), 2, trained=True),
    Case("attribution", "input-x-gradient", "attribution-mnist@1", ("image · cnn", "volume · vit3d"), limit=8),
    Case("attribution metric", "insertion", "meta-mnist@1", ("image · cnn", "image · vit")),
)
PROBE = '''
import os
import torch
from harness import confidence_score

@confidence_score(version="1")
def probe(outputs):
    """The largest logit, by way of a convolution and a product of matrices on the device."""
    logits = outputs.logits.float()
    kernel = torch.ones(1, 1, 1, device=logits.device)
    same = torch.nn.functional.conv1d(logits[:, None], kernel)[:, 0] @ torch.eye(logits.shape[1], device=logits.device)
    print("on", logits.device.type, "with", os.environ.get("CUDA_VISIBLE_DEVICES", "all"), flush=True)
    return same.amax(dim=1)
'''
_MEASURED = ("kind", "unit", "fence", "seconds", "memory of processes, GiB", "of cards, GiB", "verdict")
_COMPARED = ("kind", "runs", "output", "largest difference", "allowed", "verdict")


@dataclass(frozen=True)
class Section:
    """A part of the report: rows under a heading, and sentences below it."""

    title: str
    tables: Sequence[tuple[tuple[str, ...], Sequence[Row]]] = ()
    notes: Sequence[str] = ()

    @property
    def problems(self) -> list[str]:
        return [problem for _, rows in self.tables for row in rows for problem in row.problems]


@dataclass(frozen=True)
class Wanted:
    """What is to be checked, and where. only: kinds of methods, all where there are none."""

    device: str
    folder: Path
    side: int = SIDE
    only: tuple[str, ...] = ()


def main(arguments: Sequence[str] | None = None) -> int:
    wanted, names = _asked(arguments)
    try:
        resolve_device(wanted.device)
    except UsageError:
        print(_without_cuda())
        return 2
    shutil.rmtree(wanted.folder / "runs", ignore_errors=True)
    make_folder(wanted.folder)
    began = time.monotonic()
    sections = [_tried(name, wanted) for name in names]
    report = "\n\n".join([_head(wanted, sections, time.monotonic() - began), *map(_markdown, sections)]) + "\n"
    (wanted.folder / "report.md").write_text(report, encoding="utf-8")
    print(report)
    print(f"Written to {wanted.folder / 'report.md'}.", file=sys.stderr)
    return int(any(section.problems for section in sections))


def kinds(wanted: Wanted) -> Section:
    """Each case on the processor and on the device, and once more on the device: how a reproduction would find it."""
    costs, differences, notes = [], [], []
    for case in (each for each in KINDS if not wanted.only or each.kind in wanted.only):
        folder = wanted.folder / "runs" / case.kind.replace(", ", "-").replace(" ", "-")
        try:
            cpu = run_case(case, "cpu", folder / "cpu")
            device = run_case(case, wanted.device, folder / "device")
            again = run_case(case, wanted.device, folder / "again")
        except UsageError as error:
            notes.append(f"{case.kind}: left out, {error}")
            continue
        costs += measured_rows(case, cpu, device)
        other = case.trained and wanted.device != "cpu"
        differences += compared_rows(case, f"cpu, {wanted.device}", cpu, device, trained=other)
        differences += compared_rows(case, f"{wanted.device}, again", device, again, trained=False)
    return Section(
        "Every kind of method on its embedded benchmark",
        ((_MEASURED, costs), (_COMPARED, differences)),
        (
            f"Seconds and memory: cpu / {wanted.device}; the first unit's seconds include the start of its processes.",
            "Mixed precision: only nnU-Net's trainings have it, which use it on cards (query, volumes); everything else "
            "computes in single precision, convolutions that are compared without TF32.",
            *notes,
        ),
    )


def fences(wanted: Wanted) -> Section:
    """A method that computes on the device, behind each fence that can stand here."""
    case = _probe(wanted)
    problems = {"landlock": landlock_problem(), "bubblewrap": sandbox_available(), "none": None}
    rows, notes = [], [f"{name}: cannot stand here, {problem}" for name, problem in problems.items() if problem]
    for name in (name for name, problem in problems.items() if not problem):
        run = run_case(replace(case, fence=name), wanted.device, wanted.folder / "runs" / "fences" / name)
        rows += [_on_device(row, run, wanted.device) for row in measured_rows(case, run)]
    if any(row.problems for row in rows):
        notes.append(
            "What a fence refused is told by: strace -f -Z -e trace=file,network -o refused.txt make gpu-check "
            "(lines with EACCES in refused.txt)."
        )
    opened = device_files(wanted.device)
    notes.append(
        "Device files that Landlock leaves open: " + (", ".join(f"`{each}`" for each in opened) or "none") + "."
    )
    return Section("Methods behind their fences", ((_MEASURED, rows),), notes)


def slots(wanted: Wanted) -> Section:
    """Two processes side by side, each with a card of its own, beside one process."""
    title = "Two cards as two slots"
    own = cards()[:2] if wanted.device == "cuda" else ("0", "1")
    if len(own) < 2:
        return Section(title, notes=(f"Left out: this process may use {len(own)} card, and it takes two.",))
    case, folder = _probe(wanted), wanted.folder / "runs" / "slots"
    one = run_case(case, wanted.device, folder / "one", slots=own[:1])
    two = run_case(case, wanted.device, folder / "two", slots=own)
    unseen = [each for each in own if f"with {each}\n" not in two.printed + "\n"]
    problems = tuple(f"no method's process was given card {each}" for each in unseen)
    rows = [replace(row, problems=(*row.problems, *problems)) for row in measured_rows(case, one, two)]
    compared = [*compared_rows(case, "one slot, two", one, two, trained=False)]
    return Section(title, ((_MEASURED, rows), (_COMPARED, compared)), (f"Slots: {', '.join(own)}.",))


def large(wanted: Wanted) -> Section:
    """One unit each at the scale of the papers, with random weights."""
    folder, rows, notes = wanted.folder / "runs" / "large", [], []
    cases: dict[str, Callable[[], Case]] = {
        f"attribution, {wanted.side} px, 24 metrics": lambda: Case(
            "attribution", "input-x-gradient", str(write_images(folder / "images-benchmark", wanted.side))
        ),
        "nnU-Net, 3D patches": lambda: Case(
            "query", "predictive-entropy", str(write_volumes(folder / "volumes-benchmark", wanted.side)), trained=True
        ),
    }
    for name, made in cases.items():
        if wanted.only and name.partition(",")[0] not in wanted.only:
            continue
        try:
            case = replace(made(), kind=name)
            run = run_case(case, wanted.device, folder / name.partition(",")[0])
        except (UsageError, ImportError) as error:
            notes.append(f"{name}: left out, {error}")
            continue
        rows += measured_rows(case, run)
    return Section("At the scale of the papers, random weights", ((_MEASURED, rows),), notes)


SECTIONS: dict[str, Callable[[Wanted], Section]] = {"kinds": kinds, "fences": fences, "slots": slots, "large": large}


def _asked(arguments: Sequence[str] | None) -> tuple[Wanted, list[str]]:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: the same on no card at all")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu-check"), help="folder of results")
    parser.add_argument("--sections", nargs="+", choices=tuple(SECTIONS), default=list(SECTIONS))
    parser.add_argument("--only", nargs="+", default=[], help="kinds of methods, as the report names them")
    parser.add_argument("--side", type=int, default=SIDE, help="of images in the section `large`, in pixels")
    found = parser.parse_args(arguments)
    return Wanted(found.device, found.out, found.side, tuple(found.only)), found.sections


def _tried(name: str, wanted: Wanted) -> Section:
    print(f"==> {name}", file=sys.stderr, flush=True)
    try:
        return SECTIONS[name](wanted)
    except (UsageError, IntegrityError, StorageError) as error:
        row = Row((name, *["–"] * (len(_MEASURED) - 2)), (str(error),))
        return Section(f"{name}: not finished", ((_MEASURED, [row]),))


def _probe(wanted: Wanted) -> Case:
    path = make_folder(wanted.folder / "runs" / "methods") / "probe.py"
    path.write_text(PROBE, encoding="utf-8")
    return Case("confidence", str(path), "confidence-mnist@2", ("iid · plain-0", "iid · plain-1"), limit=200)


def _on_device(row: Row, run: CaseRun, device: str) -> Row:
    if f"on {device}" in run.printed:
        return row
    return replace(row, problems=(*row.problems, f"the method did not say that it computed on {device}"))


def _without_cuda() -> str:
    import torch

    built = f"is built for CUDA {torch.version.cuda}" if torch.version.cuda else "is built without CUDA"
    driver = "an NVIDIA driver is there" if Path("/dev/nvidiactl").exists() else "no NVIDIA driver is there"
    return (
        f"torch {torch.__version__} finds no usable graphics processor: it {built}, and {driver} (/dev/nvidiactl). Nothing "
        "was checked; with `--device cpu` the check runs on the processor alone, to see that it runs."
    )


def _head(wanted: Wanted, sections: Sequence[Section], seconds: float) -> str:
    commit, dirty = git_state()
    problems = [problem for section in sections for problem in section.problems]
    verdict = f"**{len(problems)} problems**" if problems else "**all of it holds**"
    facts = {
        "verdict": f"{verdict}, in {seconds / 60:.1f} minutes",
        "harness": f"commit {commit or 'unknown'}{', with changes' if dirty else ''}",
        "device": ", ".join(_devices(wanted.device)),
        "processor": f"{platform.machine()}, {os.cpu_count()} cores, {platform.platform()}",
        "Python, torch": f"{platform.python_version()}, {_torch()}",
    }
    return "\n".join([f"# GPU check: {wanted.device}", "", *(f"- {name}: {fact}" for name, fact in facts.items())])


def _devices(device: str) -> Iterator[str]:
    import torch

    if device == "cpu":
        yield "cpu, compared with itself: says nothing of graphics processors"
        return
    for number in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(number)
        yield f"{about.name}, {about.total_memory / 2**30:.0f} GiB, compute capability {about.major}.{about.minor}"
    if shutil.which("nvidia-smi"):
        asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split()
        yield f"driver {said[0] if said else 'unknown'}"


def _torch() -> str:
    import torch

    return f"{torch.__version__}, CUDA {torch.version.cuda or 'none'}, cuDNN {torch.backends.cudnn.version() or 'none'}"


def _markdown(section: Section) -> str:
    parts = [f"## {section.title}"]
    parts += [_table(head, rows) for head, rows in section.tables if rows]
    parts += ["\n".join(f"- {note}" for note in section.notes)] if section.notes else []
    return "\n\n".join(parts)


def _table(head: tuple[str, ...], rows: Sequence[Row]) -> str:
    lines = [head, tuple("---" for _ in head), *((*row.cells, row.verdict) for row in rows)]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines
    )


if __name__ == "__main__":
    sys.exit(main())
