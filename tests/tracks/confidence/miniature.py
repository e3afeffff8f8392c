"""A study in miniature, in the formats of FD-Shifts and of the data sets that it rests on, fetched like the real ones."""

from __future__ import annotations

import io
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image

CORRUPTIONS = [
    "brightness",
    "contrast",
    "defocus_blur",
    "elastic_transform",
    "fog",
    "frost",
    "gaussian_noise",
    "glass_blur",
    "impulse_noise",
    "jpeg_compression",
    "motion_blur",
    "pixelate",
    "shot_noise",
    "snow",
    "zoom_blur",
]
TEST, UNKNOWN, PER_CELL, TRAIN = 36, 8, 2, 12
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
OWN_MEAN, OWN_STD = (0.4377, 0.4438, 0.4728), (0.198, 0.201, 0.197)
WIDTHS = ((64, 64), (128, 128), (256, 256), (512, 512), (512, 512))
RUNS, DROPOUTS = (1, 2), (0, 1)

BENCHMARK = f"""
id = "mini-fdshifts"
version = 1
title = "A study in miniature"
task = "confidence"
default_family = "confidnet"
metrics = ["augrc", "aurc"]
bootstrap = {{ replicates = 20 }}
studies = [
    {{ id = "choice", kind = "selection", samples = "validation", group = "choice" }},
    {{ id = "iid", kind = "iid", samples = "test", group = "iid" }},
    {{ id = "corrupted-1", kind = "covariate-shift", samples = "corrupted-1", group = "corrupted" }},
    {{ id = "corrupted-5", kind = "covariate-shift", samples = "corrupted-5", group = "corrupted" }},
    {{ id = "unknown", kind = "new-class", samples = "test", unknown = "svhn", group = "unknown" }},
]

[source]
kind = "released"
members = 2
members_seed = 0
precision = "float16"

[[source.experiments]]
id = "cifar10"
classes = 10
network = "vgg13"
weights = "weights/source.toml"
checkpoint = "cifar-10/**/cifar10_paper_sweep/{{family}}_bbvgg13_do{{dropout}}_run{{run}}_rew{{reward}}/version_*/last.ckpt"
images = {{ mean = {list(MEAN)}, std = {list(STD)} }}
reference = {{ train = "train", validation = "validation" }}
grids = [{{ family = "confidnet", head = "confidnet", rewards = [2.2], runs = {list(RUNS)} }}]
sets = [
    {{ id = "train", dataset = "cifar/source.toml", part = "train", shuffle = 0, rows = [0, 8], count = 8 }},
    {{ id = "validation", dataset = "cifar/source.toml", part = "test", rows = [0, 12], count = 12 }},
    {{ id = "test", dataset = "cifar/source.toml", part = "test", rows = [12] }},
    {{ id = "corrupted-1", dataset = "cifar-c/source.toml", part = "thinned", severity = 1, count = 15 }},
    {{ id = "corrupted-5", dataset = "cifar-c/source.toml", part = "thinned", severity = 5, count = 15 }},
    {{ id = "svhn", dataset = "svhn/source.toml", part = "test", images = {{ resize = [32, 32], mean = {list(OWN_MEAN)}, std = {list(OWN_STD)} }} }},
]
"""

MANIFEST = """
id = "{id}"
title = "Miniature of {id}"
licence = "made up"
citation = ["nobody"]
access = "form"
terms = "ask the test"
"""
OWN = 'origin = {{ kind = "own", page = "https://example.org/{path}" }}\n'


def write(root: Path) -> dict[str, np.ndarray]:
    """Benchmark, manifests and the files that a user would have; returns the images by set name."""
    rng = np.random.default_rng(0)
    (root / "benchmark.toml").write_text(BENCHMARK)
    images = {name: _images(rng, count) for name, count in (("train", TRAIN), ("all", TEST), ("svhn", UNKNOWN))}
    labels = {name: rng.integers(10, size=len(each)) for name, each in images.items()}
    _cifar(root, images, labels)
    cells = _corrupted(root, rng)
    _svhn(root, images["svhn"], labels["svhn"])
    return {
        **images,
        "validation": images["all"][:12],
        "test": images["all"][12:],
        "corrupted-1": cells[:, 0].reshape(-1, 32, 32, 3),
        "corrupted-5": cells[:, 4].reshape(-1, 32, 32, 3),
        "labels": labels["all"],
    }


CONFIGURATION = "model:\n  network: {name: confidnet_and_enc}\n"


def write_weights(
    root: Path, configuration: Callable[[int], str] = lambda run: CONFIGURATION
) -> dict[tuple[int, int], dict[str, torch.Tensor]]:
    """The archive of checkpoints; (dropout, run) -> the state dict in one of them."""
    folder = root / "own"
    folder.mkdir(exist_ok=True)
    states = {}
    with zipfile.ZipFile(folder / "cifar-10.zip", "w") as archive:
        for dropout in DROPOUTS:
            for run in RUNS:
                states[dropout, run] = _state(bool(dropout), 10 * dropout + run)
                name = f"fd-shifts/cifar10_paper_sweep/confidnet_bbvgg13_do{dropout}_run{run}_rew2.2"
                archive.writestr(f"{name}/hydra/config.yaml", configuration(run))
                for version in (9, 10) if (dropout, run) == (0, 1) else (0,):
                    content = io.BytesIO()
                    state = states[dropout, run] if version != 9 else _state(False, 99)
                    torch.save({"state_dict": OrderedDict(state), "epoch": 3, "global_step": 7}, content)
                    archive.writestr(f"{name}/version_{version}/last.ckpt", content.getvalue())
    _manifest(root, "weights", '[[files]]\npath = "cifar-10.zip"\nunpack = "zip"\ninto = "cifar-10"\n' + _own("w"))
    return states


def forward(state: dict[str, torch.Tensor], images: np.ndarray, mean=MEAN, std=STD) -> tuple[np.ndarray, np.ndarray]:
    """Logits (n, 10) and features (n, 512) of VGG-13 without dropout, layer by layer, in double precision."""
    part = {name.removeprefix("backbone._encoder.features."): value.double() for name, value in state.items()}
    x = torch.from_numpy((images / 255.0 - np.array(mean)) / np.array(std)).permute(0, 3, 1, 2)
    place = 0
    for pair in WIDTHS:
        for _ in pair:
            x = torch.nn.functional.conv2d(x, part[f"{place}.weight"], part[f"{place}.bias"], padding=1)
            norm = [part[f"{place + 1}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
            x = torch.nn.functional.batch_norm(x, *norm).relu()
            place += 3
        x = torch.nn.functional.max_pool2d(x, 2)
        place += 1
    features = x.flatten(1)
    weight, bias = (state[f"backbone._classifier.fc.{name}"].double() for name in ("weight", "bias"))
    return (features @ weight.T + bias).numpy(), features.numpy()


def _images(rng, count):
    """Smooth colours, so that a random network does not see grey alone."""
    small = rng.integers(256, size=(count, 4, 4, 3), dtype=np.uint8)
    return np.stack([np.asarray(Image.fromarray(each).resize((32, 32))) for each in small])


def _cifar(root, images, labels):
    folder = root / "own" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for file, name in (("data_batch_1.bin", "train"), ("test_batch.bin", "all")):
        pixels = images[name].transpose(0, 3, 1, 2).reshape(len(images[name]), -1)
        (folder / file).write_bytes(np.column_stack([labels[name].astype(np.uint8), pixels]).tobytes())
    files = "".join(
        f'[[files]]\npath = "cifar-10-batches-bin/{name}"\n{_own(name)}'
        for name in ("data_batch_1.bin", "test_batch.bin")
    )
    reader = """
[reader]
kind = "cifar-binary"
classes = 10
files = { train = ["cifar-10-batches-bin/data_batch_1.bin"], test = ["cifar-10-batches-bin/test_batch.bin"] }
[parts]
train = { split = "train" }
test = { split = "test" }
"""
    _manifest(root, "cifar", files + reader)


def _corrupted(root, rng):
    """15 files of 5 levels x 4 images, of which every part takes the first of each two; returns (15, 5, 2, 32, 32, 3)."""
    folder = root / "own" / "CIFAR-10-C"
    folder.mkdir()
    every = np.stack([_images(rng, 5 * 2 * PER_CELL) for _ in CORRUPTIONS])
    for name, images in zip(CORRUPTIONS, every, strict=True):
        np.save(folder / f"{name}.npy", images)
    np.save(folder / "labels.npy", np.tile(rng.integers(10, size=2 * PER_CELL), 5))
    names = [f"CIFAR-10-C/{name}.npy" for name in (*CORRUPTIONS, "labels")]
    files = "".join(f'[[files]]\npath = "{name}"\n{_own("c")}' for name in names)
    listed = ", ".join(f'{name} = "CIFAR-10-C/{name}.npy"' for name in CORRUPTIONS)
    reader = f"""
[reader]
kind = "arrays"
files = {{ {listed} }}
labels = "CIFAR-10-C/labels.npy"
levels = 5
classes = 10
[parts]
thinned = {{ steps = [{{ do = "every", of = 4, stop = 1 }}] }}
"""
    _manifest(root, "cifar-c", files + reader)
    return every.reshape(15, 5, 4, 32, 32, 3)[:, :, :1]


def _svhn(root, images, labels):
    """Parquet with encoded images of 48 pixels, as on the Hub."""
    import pyarrow
    from pyarrow import parquet

    large = [Image.fromarray(each).resize((48, 48), Image.Resampling.NEAREST) for each in images]
    encoded = []
    for each in large:
        content = io.BytesIO()
        each.save(content, "png")
        encoded.append({"bytes": content.getvalue(), "path": None})
    folder = root / "own" / "cropped_digits"
    folder.mkdir()
    parquet.write_table(pyarrow.table({"image": encoded, "label": labels}), folder / "test-00000-of-00001.parquet")
    name = "cropped_digits/test-00000-of-00001.parquet"
    reader = f"""
[reader]
kind = "hub-images"
classes = 10
files = {{ test = ["{name}"] }}
[parts]
test = {{ split = "test" }}
"""
    _manifest(root, "svhn", f'[[files]]\npath = "{name}"\n{_own("s")}' + reader)


def _state(dropout: bool, seed: int) -> dict[str, torch.Tensor]:
    """A Lightning module's state dict of ConfidNet on VGG-13, under FD-Shifts' names."""
    torch.manual_seed(seed)
    state: dict[str, torch.Tensor] = {}
    for prefix in ("backbone._encoder.features.", "network._encoder.features."):
        place, before = 0, 3
        for pair in WIDTHS:
            for position, width in enumerate(pair):
                state[f"{prefix}{place}.weight"] = torch.randn(width, before, 3, 3) * (2 / (9 * before)) ** 0.5
                state[f"{prefix}{place}.bias"] = 0.1 * torch.randn(width)
                state |= {f"{prefix}{place + 1}.{name}": value for name, value in _norm(width).items()}
                before = width
                place += 3 + (dropout and position == 0)
            place += 1
        if dropout:
            state[f"{prefix}{place + 2}.weight"] = torch.randn(512, 512) * (2 / 512) ** 0.5
            state[f"{prefix}{place + 2}.bias"] = 0.1 * torch.randn(512)
    for part in ("backbone", "network"):
        state[f"{part}._classifier.fc.weight"] = 0.3 * torch.randn(10, 512)
        state[f"{part}._classifier.fc.bias"] = 0.1 * torch.randn(10)
    widths = (512, 400, 400, 400, 400, 1)
    for number, (first, last) in enumerate(pairwise(widths), start=1):
        state[f"network.confid_net.uncertainty{number}.weight"] = 0.1 * torch.randn(last, first)
        state[f"network.confid_net.uncertainty{number}.bias"] = torch.zeros(last)
    return state


def _norm(width):
    return {
        "weight": 1 + 0.1 * torch.rand(width),
        "bias": 0.1 * torch.randn(width),
        "running_mean": 0.1 * torch.randn(width),
        "running_var": 1 + 0.1 * torch.rand(width),
        "num_batches_tracked": torch.tensor(7),
    }


def _own(path):
    return OWN.format(path=path)


def _manifest(root, name, text):
    (root / name).mkdir()
    (root / name / "source.toml").write_text(MANIFEST.format(id=name) + text)
