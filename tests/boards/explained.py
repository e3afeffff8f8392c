"""A checkout in miniature whose one benchmark is about explanations and pins its files, and runs in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.execution import environment
from harness.execution.evaluate import Request, prepare, run
from harness.execution.run_result import RunResult
from harness.storage import file_id
from tests.tracks.attribution.support import BENCHMARK, GRADIENT, write_benchmark

FROM_MAPS = ("faithfulness_estimate", "sparseness", "relevance_mass")
FROM_THE_METHOD = ("local_lipschitz",)
MAPS = "small--test--maps"


def write_explained(root: Path) -> RunResult:
    """`leaderboards/my-images/1`, empty `submissions` and `datasets`, and a run of the method `mine`."""
    folder = root / "leaderboards" / "my-images" / "1"
    folder.mkdir(parents=True)
    for name in ("submissions", "datasets"):
        (root / name).mkdir()
    path = write_benchmark(folder)
    text = BENCHMARK
    for name in ("factory.py", "weights.safetensors", "images.npz"):
        text = text.replace(f'path = "{name}"', f'path = "{name}", sha256 = "{file_id(folder / name)}"')
    path.write_text(text)
    (root / "mine.py").write_text("from harness import explainer\n" + GRADIENT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(environment, "git_state", lambda: ("0" * 40, False))
        request = Request(str(root / "mine.py"), str(path), out=root / "runs", device="cpu", workers=1)
        result = run(prepare(request))
    assert result.complete, result.failed
    return result
