"""LATEC's saliency maps: streamed by observation, refused where they are not three networks' maps."""

import subprocess
import sys
import zipfile

import numpy as np
import pytest

from harness.data.importers.latec_maps import describe_latec_maps, read_latec_maps
from harness.spec.errors import UsageError
from harness.storage import IntegrityError
from tests.data.importers.latec_files import METHODS, map_arrays


def stored(folder, arrays, name="oct.npz", compressed=True):
    (np.savez_compressed if compressed else np.savez)(folder / name, *arrays)
    return folder / name


@pytest.mark.parametrize(
    ("name", "dataset", "modality"),
    [("maps_oct", "oct", "image"), ("organmnist3d", "organ", "volume"), ("shapenet", "shapenet", "point-cloud")],
)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("compressed", [True, False])
def test_every_map_in_its_own_precision(tmp_path, name, dataset, modality, dtype, compressed):
    arrays = map_arrays(modality, dtype=dtype)
    records = list(read_latec_maps(stored(tmp_path, arrays, f"{name}.npz", compressed)))
    assert len(records) == 3 * sum(METHODS[modality])
    assert {(record.modality, record.dataset) for record in records} == {(modality, dataset)}
    assert {(record.target, record.prediction) for record in records} == {(None, None)}
    assert len({(record.model, record.method, record.observation) for record in records}) == len(records)
    expected = [one for array in arrays for maps in array for one in maps]
    for record, one in zip(records, expected, strict=True):
        assert record.map.dtype == dtype
        np.testing.assert_array_equal(record.map, one)


def test_the_data_set_may_be_named(tmp_path):
    path = stored(tmp_path, map_arrays("volume"), "maps.npz")
    with pytest.raises(UsageError, match="give --dataset"):
        next(read_latec_maps(path))
    assert next(read_latec_maps(path, "vessel")).model == "vessel-r3d-18"


def test_maps_without_numbers_are_handed_out_or_refused(tmp_path):
    arrays = map_arrays()
    arrays[0][1, 2, 0, 0, 0] = np.nan
    arrays[2][2, 16, 1, 1, 1] = np.inf
    path = stored(tmp_path, arrays)
    with pytest.raises(IntegrityError, match=r"map of kernel-shap for observation 1 of oct-resnet50 holds NaN"):
        list(read_latec_maps(path))
    odd = []
    assert len(list(read_latec_maps(path, left_out=odd.append))) == 3 * sum(METHODS["image"]) - 2
    assert [(record.method, record.observation) for record in odd] == [("kernel-shap", "1"), ("attention-lrp", "2")]
    table = describe_latec_maps(path, {}).frame
    assert (table["status"] != "ok").sum() == 2
    assert table.loc[table["status"] != "ok", ["low", "high", "zeros"]].isna().all(axis=None)


def test_what_maps_look_like(tmp_path):
    arrays = map_arrays()
    table = describe_latec_maps(stored(tmp_path, arrays), {}).frame
    first = table.iloc[0]
    assert (first["shape"], first["low"]) == ("3x6x6", 0)
    assert first["high"] == arrays[0][0, 0].max()
    assert first["zeros"] == (arrays[0][0, 0] == 0).mean()


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a[:2],
        lambda a: [a[2], a[0], a[1]],
        lambda a: [a[0][:, :, 0], *a[1:]],
        lambda a: [a[0][:, :, :1], *a[1:]],
        lambda a: [a[0][:0], *a[1:]],
        lambda a: [a[0].astype(np.int64), *a[1:]],
        lambda a: [np.asfortranarray(a[0]), *a[1:]],
        lambda a: map_arrays("volume"),
    ],
)
def test_other_arrays_are_refused(tmp_path, change):
    with pytest.raises(IntegrityError):
        list(read_latec_maps(stored(tmp_path, change(map_arrays()))))


def test_pickles_are_refused(tmp_path):
    objects = np.empty(1, dtype=object)
    np.savez(tmp_path / "oct.npz", objects, *map_arrays()[1:])
    with pytest.raises(UsageError, match="a pickle, which can run any code"):
        list(read_latec_maps(tmp_path / "oct.npz"))


def test_damage_inside_of_an_array_is_found_while_it_streams(tmp_path):
    path = stored(tmp_path, map_arrays(observations=40), compressed=False)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match="is damaged in row"):
        list(read_latec_maps(path))


def test_a_header_that_promises_more_than_there_is(tmp_path):
    """Else a small file could ask for any amount of memory."""
    path = stored(tmp_path, map_arrays(), compressed=False)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["arr_0.npy"] = members["arr_0.npy"].replace(b"(3, 14,", b"(9, 14,")
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(IntegrityError, match="not as long as its header says"):
        list(read_latec_maps(path))


def test_a_large_file_is_read_in_little_memory(tmp_path):
    """400 MB of maps, in a process that may grow by 100 MB over what its imports need."""
    observations, shape = 100, (3, 80, 80)
    path = tmp_path / "oct.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for number, methods in enumerate(METHODS["image"]):
            with archive.open(f"arr_{number}.npy", "w", force_zip64=True) as member:
                header = {"descr": "<f4", "fortran_order": False, "shape": (observations, methods, *shape)}
                np.lib.format.write_array_header_1_0(member, header)
                for row in range(observations):
                    member.write(np.full((methods, *shape), row, np.float32).tobytes())
    assert path.stat().st_size > 340_000_000
    code = (
        "import resource, sys, numpy\n"
        "from pathlib import Path\n"
        "from harness.data.importers.latec_maps import read_latec_maps\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "before = peak()\n"
        "count = sum(1 for record in read_latec_maps(Path(sys.argv[1])) if record.map[0, 0, 0] == int(record.observation))\n"
        "print(count, peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    count, grown = map(int, done.stdout.split())
    assert count == observations * sum(METHODS["image"])
    assert grown < 100
