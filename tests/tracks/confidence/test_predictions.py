"""Released predictions in the layout of MedMNIST's authors: fetched, read, checked against labels, scored."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

import harness
from harness.data.catalog import bundled_folder, find_protocol, load_protocol
from harness.data.fetch import FetchOptions, fetch
from harness.data.manifests import find_dataset, load_manifest
from harness.data.predictions import check_against, read_labels, read_probabilities
from harness.execution.evaluate import Request, prepare
from harness.execution.needs import needs_of
from harness.spec.errors import UsageError
from harness.storage import IntegrityError
from tests.data.server import FileServer
from tests.data.server import server as server
from tests.tracks.test_user_sources import areas

pytestmark = pytest.mark.usefixtures("in_this_process")

CLASSES = {"bloodmnist": 8, "breastmnist": 2, "organmnist3d": 11}
SIZES = {"train": 50, "val": 20, "test": 60}
RUNS = {
    "bloodmnist": [*(f"resnet{d}_{s}_{r}" for d in (18, 50) for s in (28, 224) for r in (1, 2, 3)), "google automl"],
    "breastmnist": [f"resnet18_28_{r}" for r in (1, 2, 3)],
    "organmnist3d": [f"resnet18_{how}_{r}" for how in ("2.5D", "3D", "ACS") for r in (1, 2, 3)],
}
GRIDS = """
[source]
kind = "predictions"
dataset = "data/source.toml"

[[source.grids]]
sets = ["bloodmnist"]
kinds = { resnet18-28 = "resnet18_28_{run}", resnet50-224 = "resnet50_224_{run}" }
runs = [1, 2, 3]

[[source.grids]]
sets = ["breastmnist"]
kinds = { resnet18-28 = "resnet18_28_{run}" }
runs = [1, 2, 3]

[[source.grids]]
sets = ["organmnist3d"]
runs = [1, 2, 3]
"""
KINDS_3D = [
    line
    for line in find_protocol("confidence-medmnist@1").path.read_text().splitlines()
    if line.startswith("resnet18-")
][2:]


def header() -> str:
    studies = [f'{{ id = "{name}", kind = "iid", samples = "{name}-test", group = "{name}" }}' for name in CLASSES]
    return (
        'id = "some-predictions"\nversion = 1\ntitle = "Some"\ntask = "confidence"\nmetrics = ["augrc", "aurc", '
        f'"failure_auroc"]\nbootstrap = {{ replicates = 20 }}\nstudies = [{", ".join(studies)}]\n'
    )


class Release:
    """What the authors' archives look like: labels in `.npz` files beside images, predictions in one zip."""

    def __init__(self) -> None:
        rng = np.random.default_rng(7)
        self.labels = {
            (name, split): rng.integers(0, classes, (size, 1)).astype(np.uint8)
            for name, classes in CLASSES.items()
            for split, size in SIZES.items()
        }
        self.predictions: dict[tuple[str, str, str], np.ndarray] = {}
        self.files: dict[str, bytes] = {}
        for name, classes in CLASSES.items():
            for run in RUNS[name]:
                for split, size in SIZES.items():
                    true = np.eye(classes)[self.labels[name, split][:, 0]]
                    logits = rng.normal(size=(size, classes)) + 2.5 * true
                    values = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
                    self.add(name, split, run, values.astype(np.float32))

    def add(self, name: str, split: str, run: str, values: np.ndarray) -> None:
        """As medmnist.Evaluator writes it: float32 numbers in full, an index before them, no header."""
        accuracy = (values.argmax(1) == self.labels[name, split][:, 0]).mean()
        lines = [",".join([str(row), *map(str, numbers)]) for row, numbers in enumerate(values)]
        file = f"{name}_{split}_[AUC]0.900_[ACC]{accuracy:.3f}@{run}.csv"
        self.files[file] = ("\n".join(lines) + "\n").encode()
        text = [line.split(",")[1:] for line in lines]
        self.predictions[name, split, run] = np.array(text, dtype=np.float64)

    def put(self, server: FileServer, folder: Path) -> Path:
        """Serve it, and write a manifest and a benchmark of one's own; returns the path of the benchmark."""
        files = []
        zipped = server.put("/predictions.zip", archive(self.files))
        for name in CLASSES:
            splits = SIZES
            arrays = {f"{split}_images": np.zeros((SIZES[split], 28, 28), np.uint8) for split in splits}
            arrays |= {f"{split}_labels": self.labels[name, split] for split in splits}
            stream = io.BytesIO()
            np.savez_compressed(stream, **arrays)
            npz = server.put(f"/{name}.npz", stream.getvalue())
            files += [
                f'[[files]]\npath = "predictions/{name}"\norigin = {{ kind = "url", url = "{zipped}" }}\nunpack = "zip"\n'
                f'into = "predictions"\nmembers = ["{name}_val_*.csv", "{name}_test_*.csv"]\n',
                f'[[files]]\npath = "{name}.npz"\norigin = {{ kind = "url", url = "{npz}" }}\nunpack = "zip"\n'
                f'into = "labels/{name}"\nmembers = ["val_labels.npy", "test_labels.npy"]\n',
            ]
        (folder / "data").mkdir()
        (folder / "data/source.toml").write_text(
            'id = "some"\ntitle = "Some"\nlicence = "none"\ncitation = ["me"]\n' + "\n".join(files)
        )
        kinds = "\n[source.grids.kinds]\n" + "\n".join(KINDS_3D) + "\n"
        (folder / "benchmark.toml").write_text(header() + GRIDS + kinds)
        return folder / "benchmark.toml"


def archive(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as opened:
        for name in sorted(files):
            opened.writestr(name, files[name])
    return stream.getvalue()


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Release:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return Release()


@pytest.fixture
def path(release: Release, server: FileServer, tmp_path: Path) -> Path:
    return release.put(server, tmp_path)


def test_each_study_is_the_mean_over_kinds_and_runs(path: Path, release: Release, tmp_path: Path) -> None:
    folder = fetch(load_manifest(path.parent / "data/source.toml"))
    assert not list(folder.rglob("*train*")), "only what is used is fetched"
    result = harness.evaluate("msr", benchmark=str(path), out=tmp_path / "runs", workers=1)
    assert {unit.status for unit in result.document.units} == {"ok"}
    rows = {(row.study, row.metric): row for row in result.document.summary}
    runs = {
        "bloodmnist": [f"resnet{kind}_{run}" for kind in ("18_28", "50_224") for run in (1, 2, 3)],
        "breastmnist": [f"resnet18_28_{run}" for run in (1, 2, 3)],
        "organmnist3d": [f"resnet18_{how}_{run}" for how in ("2.5D", "3D", "ACS") for run in (1, 2, 3)],
    }
    for name, chosen in runs.items():
        expected = []
        for run in chosen:
            values, labels = release.predictions[name, "test", run], release.labels[name, "test"][:, 0]
            expected.append(areas(values.max(1), (values.argmax(1) != labels).astype(float))["augrc"])
        assert rows[name, "augrc"].value == pytest.approx(np.mean(expected), abs=1e-9)
        assert len([unit for unit in result.document.units if unit.study == name]) == len(chosen)


def test_methods_learn_from_the_validation_split(path: Path, tmp_path: Path) -> None:
    fetch(load_manifest(path.parent / "data/source.toml"))
    method = tmp_path / "learns.py"
    method.write_text(
        "from harness import confidence_score\n\n\n@confidence_score(version='1.0')\nclass Learns:\n"
        "    def fit(self, reference):\n"
        "        self.scale = 1 + float(reference.validation.labels.double().mean())\n\n"
        "    def score(self, outputs):\n        return self.scale * outputs.probabilities.amax(dim=1)\n"
    )
    result = harness.evaluate(str(method), benchmark=str(path), out=tmp_path / "runs", workers=1)
    assert {unit.status for unit in result.document.units} == {"ok"}


@pytest.mark.parametrize(("method", "lacking"), [("energy", "logits"), ("mahalanobis", "train outputs")])
def test_methods_of_anything_but_probabilities_do_not_apply(
    path: Path, tmp_path: Path, method: str, lacking: str
) -> None:
    fetch(load_manifest(path.parent / "data/source.toml"))
    with pytest.raises(UsageError, match=f"cannot be applied in any of .*{lacking}"):
        harness.evaluate(method, benchmark=str(path), out=tmp_path / "runs", workers=1)
    assert not (tmp_path / "runs").exists()


def test_no_classifier_has_members(path: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no network of .* was trained with dropout"):
        harness.evaluate("mcd-pe", benchmark=str(path), out=tmp_path / "runs", workers=1)


def test_what_is_missing_is_planned_and_fetched_set_by_set(path: Path, tmp_path: Path) -> None:
    prepared = prepare(Request("msr", str(path), out=tmp_path / "runs"))
    absent = prepared.track.workload(list(prepared.plan.units.values())).absent
    assert absent == tuple(f"data/source.toml: predictions or labels of {name}" for name in CLASSES)
    (need,) = needs_of(prepared.protocol).data
    assert (need.files, need.files_here) == (6, 0)
    fetch(load_manifest(path.parent / "data/source.toml"), FetchOptions(pattern="*breastmnist*"))
    absent = prepare(Request("msr", str(path), out=tmp_path / "runs")).track.workload([]).absent
    assert absent == tuple(
        f"data/source.toml: predictions or labels of {name}" for name in ("bloodmnist", "organmnist3d")
    )


def test_two_files_for_one_run_are_not_chosen_between(
    path: Path, release: Release, server: FileServer, tmp_path: Path
) -> None:
    release.files["breastmnist_test_[AUC]0.100_[ACC]0.500@resnet18_28_1.csv"] = b"0,0.5,0.5\n"
    server.put("/predictions.zip", archive(release.files))
    fetch(load_manifest(path.parent / "data/source.toml"))
    prepared = prepare(Request("msr", str(path), out=tmp_path / "runs"))
    with pytest.raises(
        UsageError, match=r"several files for breastmnist-resnet18-28-run1, .*by `kinds` of benchmark.toml"
    ):
        prepared.track.source.samples(prepared.track.model("breastmnist-resnet18-28-run1"), "breastmnist-test")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("0;0.5;0.5\n1;0.2;0.8\n", "is no file of predictions: every line is"),
        ("0\t0.5\t0.5\n", "is no file of predictions"),
        (",0,1\n0,0.5,0.5\n", "without a header"),
        ("<!DOCTYPE html><title>Log in</title>", "is no file of predictions"),
        ("\0\1\2", "is no file of predictions"),
        ("", "is empty; fetch it again"),
        ("0,0.5,0.5\n1,0.2\n", "is no file of predictions"),
        ("0,0.5\n1,0.2\n", "has 2 columns"),
        ("0,0.5,0.5\n2,0.2,0.8\n", "not 0 to 1 in order"),
        ("1,0.5,0.5\n0,0.2,0.8\n", "not 0 to 1 in order"),
        ("0,2.5,-1.5\n", "negative"),
        ("0,0.5,0.4\n", "sum to 1"),
        ("0,nan,0.4\n", "not finite"),
    ],
)
def test_what_is_no_file_of_predictions(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(IntegrityError, match=sentence):
        read_probabilities(tmp_path / "a.csv")


def test_labels_of_another_release_are_noticed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 300)
    values = np.eye(4)[np.where(rng.random(300) < 0.9, labels, (labels + 1) % 4)]
    stated = f"[ACC]{(values.argmax(1) == labels).mean():.3f}"
    check_against(labels, values, tmp_path / f"a_{stated}@b.csv")
    check_against(np.roll(labels, 1), values, tmp_path / "a@b.csv")  # where nothing is stated, nothing shows
    with pytest.raises(IntegrityError, match="in another order, or of another release"):
        check_against(np.roll(labels, 1), values, tmp_path / f"a_{stated}@b.csv")
    with pytest.raises(IntegrityError, match="has 300 rows for 299 labels"):
        check_against(labels[:-1], values, tmp_path / "a.csv")


def test_labels_are_whole_numbers_one_a_sample(tmp_path: Path) -> None:
    for name, array in (("many", np.zeros((5, 14), np.uint8)), ("real", np.zeros(5))):
        np.save(tmp_path / f"{name}.npy", array)
        with pytest.raises(IntegrityError, match="one whole number a sample"):
            read_labels(tmp_path / f"{name}.npy")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    for name, data in (("objects", None), ("page", b"<html>")):
        if data:
            (tmp_path / f"{name}.npy").write_bytes(data)
        with pytest.raises(IntegrityError, match="is no plain array"):
            read_labels(tmp_path / f"{name}.npy")


def test_the_protocol_names_what_the_authors_released() -> None:
    benchmark = find_protocol("confidence-medmnist@1").benchmark
    sets = [each.id for each in benchmark.source.experiments]
    assert len(sets) == 17
    assert sum(name.endswith("3d") for name in sets) == 6
    assert "chestmnist" not in sets, "several labels a sample"
    assert len(benchmark.source.models) == 11 * 5 * 3 + 6 * 7 * 3
    assert {study.samples for study in benchmark.studies} == {f"{name}-test" for name in sets}
    spec = find_dataset("medmnist-predictions").spec
    for name in sets:
        assert {f"predictions/{name}", f"{name}.npz"} <= {file.path for file in spec.files}


def test_kinds_in_three_dimensions_are_told_apart_however_words_are_divided() -> None:
    from fnmatch import fnmatchcase

    source = find_protocol("confidence-medmnist@1").benchmark.source
    models = {model.id: model.files.lower() for model in source.models if model.experiment == "nodulemnist3d"}
    for depth in ("18", "50"):
        for how, kind in (("2.5d", "25d"), ("25d", "25d"), ("3d", "3d"), ("acs", "acs")):
            for name in (f"resnet{depth}_{how}_2", f"resnet{depth}_28_{how}_2", f"resnet{depth}+{how}_2"):
                if kind == "3d" and "+" in name:
                    continue  # not asked for: `_3d` is what public copies of the weights are called
                fits = [model for model, files in models.items() if fnmatchcase(name, files)]
                assert fits == [f"nodulemnist3d-resnet{depth}-{kind}-run2"], name


def test_the_labels_in_the_real_archives_are_those_that_are_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    real = (
        Path(os.environ.get("HARNESS_SHARED", bundled_folder("datasets").parent.parent / "shared"))
        / "data"
        / "medmnist"
    )
    if not (real / "breastmnist.npz").is_file():
        pytest.skip("the files of MedMNIST are not on this machine")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    manifest = find_dataset("medmnist-predictions")
    for name, counts in (("breastmnist", (42, 114)), ("pneumoniamnist", (234, 390))):
        folder = fetch(manifest, FetchOptions(pattern=f"{name}.npz", source=real))
        labels = read_labels(folder / f"labels/{name}/test_labels.npy")
        assert tuple(np.bincount(labels)) == counts
        file = next(file for file in manifest.spec.files if file.path == f"{name}.npz")
        assert manifest.pin(file).sha256 is not None


def test_an_imitation_of_the_three_locked_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their digests are public; so an imitation can have their names, but not take their place."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    manifest = find_dataset("medmnist-predictions")
    file = next(file for file in manifest.spec.files if file.path == "predictions/breastmnist")
    assert len(file.member_digests) == 3
    names = [*file.member_digests, "breastmnist_val_[AUC]0.9_[ACC]0.9@resnet18_28_1.csv"]
    (tmp_path / "predictions.zip").write_bytes(archive(dict.fromkeys(names, b"0,0.5,0.5\n")))
    with pytest.raises(
        IntegrityError, match=r"resnet18_28_\d.csv in predictions.zip .* is not the file that was recorded"
    ):
        fetch(manifest, FetchOptions(pattern="predictions/breastmnist", source=tmp_path))


def test_a_benchmark_with_one_split_for_both_is_refused(path: Path) -> None:
    path.write_text(
        path.read_text().replace('dataset = "data/source.toml"', 'dataset = "data/source.toml"\nvalidation = "test"')
    )
    with pytest.raises(UsageError, match="`validation` and `test` are two splits"):
        load_protocol(path)


@pytest.mark.parametrize(("field", "text"), [("files", "{set}_{what}.csv"), ("labels", "{set}/{split.npy")])
def test_names_of_files_use_what_there_is(path: Path, field: str, text: str) -> None:
    path.write_text(path.read_text().replace('kind = "predictions"', f'kind = "predictions"\n{field} = "{text}"'))
    with pytest.raises(UsageError, match=r"may use \{set\}, \{split\}"):
        load_protocol(path)
