"""`harness data pack`: what a benchmark's models said, as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options

if TYPE_CHECKING:
    from harness.data.catalog import LoadedBenchmark
    from harness.spec.pack import Pack


def pack(
    target: Annotated[
        str, typer.Argument(help="id@version, path.toml of your own, or the folder of a run; with --check, of a pack")
    ],
    out: Annotated[Path | None, typer.Option(help="folder of the pack; default: packs/<id>-<version>")] = None,
    models: Annotated[list[str] | None, typer.Option("--model", help="only this model; may be repeated")] = None,
    inputs: Annotated[bool, typer.Option("--inputs", help="the images and the networks' weights, too")] = False,
    device: options.Device = "cpu",
    check: Annotated[bool, typer.Option("--check", help="read every file of the pack TARGET instead")] = False,
) -> None:
    """Write outputs, features and labels of a confidence benchmark's models, to score without images or networks.

    Of a run, the models that it was run on. The folder holds a benchmark file that names the pack as its source; scores
    on it are those of the original to the last bit. Interrupted, the same command begins anew.

    Example: harness data pack confidence-mnist@2 --out packs/confidence-mnist
    """
    from rich.console import Console
    from rich.progress import Progress

    from harness.tracks.confidence.packing import BENCHMARK, PackRequest, write_pack

    if check:
        _check(Path(target))
        return
    protocol, used = _protocol(target)
    folder = out or Path("packs") / f"{protocol.benchmark.id}-{protocol.benchmark.version}"
    request = PackRequest(folder, tuple(models or used), inputs, device)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("packing", total=1.0)
        packed = write_pack(
            protocol, request, lambda what, share: progress.update(task, description=what, completed=share)
        )
    typer.echo(_size(packed))
    typer.echo(f"Pack: {folder}")
    typer.echo(f"Next: harness evaluate my_method.py --benchmark {folder / BENCHMARK}")


def _check(folder: Path) -> None:
    from harness.data.packs import open_pack

    pack = open_pack(folder)
    pack.verify()
    typer.echo(f"{pack.document.benchmark}: {_size(pack.document)}, all as pack.json lists them.")


def _size(pack: Pack) -> str:
    size = sum(file.bytes for file in pack.files.values())
    samples = sum(sum(sets.values()) for sets in pack.samples.values())
    return f"{len(pack.models)} models, outputs of {samples} samples, {len(pack.files)} files, {size / 1e6:.1f} MB"


def _protocol(target: str) -> tuple[LoadedBenchmark, tuple[str, ...]]:
    """The benchmark, and the models of the run if a run was named."""
    from harness.data.catalog import find_protocol
    from harness.execution.run_result import RunResult
    from harness.spec.errors import UsageError

    if not Path(target).is_dir():
        return find_protocol(target), ()
    run = RunResult.open(target)
    document = run.document
    protocol = run.protocol()
    if protocol.hash != document.spec.benchmark_hash:
        raise UsageError(
            f"{target} was run on another content of {document.spec.benchmark}; name the benchmark's file instead."
        )
    return protocol, tuple(dict.fromkeys(unit.model for unit in document.units))
