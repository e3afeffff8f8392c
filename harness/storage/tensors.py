"""Named tensors in one `.safetensors` file, which holds nothing that could run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from harness.storage.atomic import replacing

if TYPE_CHECKING:
    from torch import Tensor


def write_tensors(path: str | os.PathLike[str], tensors: Mapping[str, Tensor]) -> None:
    """Write `tensors` to `path`; guarantees and errors as `write_bytes`.

    Equal tensors give equal bytes, whatever their order and memory layout. Tensors that share memory are written
    each by itself.
    """
    from safetensors.torch import save

    plain = {name: tensors[name].detach().cpu().clone().contiguous() for name in sorted(tensors)}
    content = save(plain)
    with replacing(path) as stream:
        stream.write(content)
