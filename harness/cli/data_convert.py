"""`harness data convert`: released weights in a form that cannot run anything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options
from harness.cli.output import say, say_json


def convert(
    checkpoint: Annotated[Path, typer.Argument(help="a state dict (.pt, .pth), a Lightning checkpoint or safetensors")],
    out: Annotated[Path, typer.Argument(help="the file to write, which ends in .safetensors")],
    force: Annotated[bool, typer.Option("--force", help="replace the file if there is one")] = False,
    json: options.AsJson = False,
) -> None:
    """Write the weights of a checkpoint as safetensors. Nothing in the checkpoint is run: one that wants to is refused.

    Example: harness data convert last.ckpt weights.safetensors
    """
    from math import prod

    from harness.data.checkpoints import convert as write
    from harness.spec.errors import UsageError
    from harness.storage import file_id

    if out.suffix != ".safetensors":
        raise UsageError(f"{out} must end in .safetensors, which is what is written.")
    if not out.parent.is_dir():
        raise UsageError(f"the folder {out.parent} does not exist; make it first.")
    if out.exists() and not force:
        raise UsageError(f"{out} exists; name another file, or replace it with --force.")
    shapes = write(checkpoint, out)
    numbers, digest = sum(map(prod, shapes.values())), file_id(out)
    if json:
        say_json({"path": str(out), "sha256": digest, "tensors": {name: list(each) for name, each in shapes.items()}})
        return
    say(f"{out}: {len(shapes)} tensors, {numbers:,} numbers, {out.stat().st_size:,} bytes")
    say(f"sha256 {digest}")
