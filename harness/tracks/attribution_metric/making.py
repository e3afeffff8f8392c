"""Make the maps and the further networks of the embedded benchmark `meta-mnist`; not needed to run it.

    python -m harness.tracks.attribution_metric.making make --out datasets/meta-mnist --scores submissions/attribution-mnist@1

It trains the networks that `attribution-mnist` does not have, asks the methods of its reference pool for their maps of
every network, and keeps beside them what the metrics of `attribution-mnist` say of these maps, as its submissions
store it. The same bytes each time on the same machine and torch version. About ten minutes on an idle core.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.data.catalog import bundled_folder
from harness.methods.discovery import find_method, load_baseline
from harness.methods.outputs import NotOfferedError
from harness.spec.method import AttributionMethod
from harness.storage import array_id, read_arrays, seed_of, write_arrays
from harness.tracks.attribution.host import AttributionHost
from harness.tracks.attribution.models import weights_of
from harness.tracks.attribution_metric.maps import packed
from harness.tracks.torch_state import compute_same_bytes

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from harness.data.digits import DigitSamples

METHODS = (
    *("occlusion", "lime", "kernel-shap", "saliency", "input-x-gradient", "guided-backprop", "grad-cam", "score-cam"),
    *("grad-cam-plus-plus", "integrated-gradients", "expected-gradients", "deep-lift", "deep-lift-shap", "lrp"),
    *("raw-attention", "attention-rollout", "attention-lrp"),
)
SANITY = ("random-map", "constant-map")
RANDOMISED_SEED = 0
_SAMPLES_SEED = 0
_SEPARATOR = "--"


@dataclass(frozen=True)
class ExplainedNetwork:
    """A network, how many digits its maps are kept of, whether of the randomised network, too, and its training."""

    id: str
    family: str
    study: str
    count: int = 30
    randomised: bool = False
    seed: int = 0


NETWORKS = (
    ExplainedNetwork("cnn", "cnn", "image", randomised=True),
    ExplainedNetwork("cnn-1", "cnn", "image", seed=1),
    ExplainedNetwork("cnn-2", "cnn", "image", seed=2),
    ExplainedNetwork("vit", "vit", "image", randomised=True),
    ExplainedNetwork("cnn3d", "cnn3d", "volume", count=16, randomised=True),
    ExplainedNetwork("pointnet", "pointnet", "point-cloud", randomised=True),
    ExplainedNetwork("pointnet-1", "pointnet", "point-cloud", seed=1),
    ExplainedNetwork("pointnet-2", "pointnet", "point-cloud", seed=2),
)

app = typer.Typer(add_completion=False)


@app.callback()
def _main() -> None:
    """Keeps `make` a word of the command line."""


@app.command()
def make(
    out: Annotated[Path, typer.Option("--out", help="The folder of the data set.")],
    scores: Annotated[Path, typer.Option(help="Submissions to attribution-mnist@1.")],
    only: Annotated[list[str] | None, typer.Option(help="Only these networks.")] = None,
) -> None:
    """Train what is missing, explain, and write one file of maps a network."""
    compute_same_bytes()
    source = bundled_folder("datasets") / "attribution-mnist"
    splits = json.loads((source / "splits.json").read_text(encoding="utf-8"))
    for each in NETWORKS:
        if only and each.id not in only:
            continue
        network = _trained(each, splits, source, out)
        _write_maps(each, network, splits, out / "maps" / f"{each.id}.npz", scores)
        typer.echo(f"{each.id}: {(out / 'maps' / f'{each.id}.npz').stat().st_size} bytes of maps")


def _trained(each: ExplainedNetwork, splits: dict[str, list[int]], source: Path, out: Path) -> nn.Module:
    """The network of `attribution-mnist`, or the same family trained with another seed, written to `out`."""
    from harness.tracks.attribution.networks import load_network
    from harness.tracks.attribution.training import write_network

    if each.seed == 0:
        return load_network(source / "models" / f"{each.family}.safetensors", each.family)
    path = out / "models" / f"{each.id}.safetensors"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_network(each.family, splits, path, each.seed)
    return load_network(path, each.family)


def _write_maps(
    each: ExplainedNetwork, network: nn.Module, splits: dict[str, list[int]], path: Path, scores: Path
) -> None:
    import numpy as np

    from harness.data.digits import digits
    from harness.tracks.attribution.networks import FAMILIES

    modality = FAMILIES[each.family].modality
    samples = digits(modality, "plain", np.array(splits["observations"])[:30], _SAMPLES_SEED)
    background = digits(modality, "plain", np.array(splits["background"]), _SAMPLES_SEED).inputs
    maps = dict(_maps((*METHODS, *SANITY), each, network, samples, background))
    randomised = {}
    if each.randomised:
        real = [name for name in METHODS if name in maps]
        randomised = dict(_maps(real, each, _randomised(network, samples), samples, background))
    reference = _reference(each, tuple(maps), scores) if each.seed == 0 else {}
    first = slice(0, each.count)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_arrays(
        path,
        packed(
            {name: array[first] for name, array in maps.items()},
            {name: array[first] for name, array in randomised.items()},
            {name: array[:, first] for name, array in reference.items()},
        ),
    )


def _maps(
    names: list[str] | tuple[str, ...],
    each: ExplainedNetwork,
    network: nn.Module,
    samples: DigitSamples,
    background: np.ndarray,
) -> Iterator[tuple[str, np.ndarray]]:
    """Maps (n, 1 or c, *spatial) of every method that applies, with the seeds of a run of `attribution-mnist`."""
    from harness.tracks.attribution.networks import FAMILIES

    family = FAMILIES[each.family]
    arrays = {f"network/{name}": array for name, array in weights_of(network).items()} | {"background": background}
    given: dict[str, np.ndarray] = {"inputs": samples.inputs, "targets": samples.targets}
    asked = [array_id(array) for array in given.values()]
    seed = seed_of([0, each.id, "explain", *asked])
    for name in names:
        spec = find_method(name).spec
        assert isinstance(spec, AttributionMethod)
        if family.modality not in spec.modalities or family.architecture not in spec.architectures:
            continue
        host = AttributionHost(load_baseline(spec), "cpu")
        host.fit({"network": {"family": each.family, "classes": 10}}, arrays)
        _seed(seed)
        try:
            yield name, host.explain({"seed": seed}, dict(given))["maps"]
        except NotOfferedError:
            continue


def _randomised(network: nn.Module, samples: DigitSamples) -> nn.Module:
    """The network with all of its parameters drawn anew, as the metric of parameter randomisation does it."""
    import torch

    from harness.metrics.attribution.randomisation import cascade

    *_, last = cascade(network, torch.from_numpy(samples.inputs[:1]), 1, RANDOMISED_SEED)
    return last


def _reference(each: ExplainedNetwork, methods: tuple[str, ...], scores: Path) -> dict[str, np.ndarray]:
    """Scores (methods, 30) of every metric, from the submissions of the methods; localisation beside a distractor."""
    import numpy as np

    found: dict[str, list[Any]] = {}
    for method in methods:
        for member, array in read_arrays(scores / method / "outputs.npz").items():
            model, study, name = member.split(_SEPARATOR)
            if model == each.family and study in (each.study, f"{each.study}-distractor"):
                found.setdefault(name.removeprefix("score."), []).append(array)
    return {metric: np.stack(found[metric]).astype(np.float32) for metric in sorted(found)}


def _seed(seed: int) -> None:
    """As a method's process does before every call."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


if __name__ == "__main__":
    app()
