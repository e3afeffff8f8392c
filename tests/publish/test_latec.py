"""Sets built from files in LATEC's released form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from harness.data.importers.latec import LatecSet
from harness.data.meta_evaluation import decode_map
from harness.metrics.attribution.registry import ORDERS
from harness.publish.latec_source import open_latec
from harness.publish.meta_evaluation import build
from harness.spec.errors import UsageError
from harness.storage import IntegrityError
from harness.tracks.importers import latec_orders

PLACE = LatecSet("coma", "point-cloud")
OBSERVATIONS = 4


def write_release(folder: Path, *, maps: bool = True, scores: bool = True) -> dict[str, np.ndarray]:
    """Maps (observations, methods, 3, points) and scores (methods, 20, observations) within each metric's range."""
    rng = np.random.default_rng(0)
    (folder / "point_cloud").mkdir(parents=True, exist_ok=True)
    shown, scored = {}, {}
    for network in range(3):
        methods = len(PLACE.methods(network))
        shown[f"arr_{network}"] = rng.random((OBSERVATIONS, methods, 3, 16), dtype=np.float32)
        values = np.empty((methods, 20, OBSERVATIONS))
        for position, metric in enumerate(latec_orders()["published"]):
            low, high = (max(metric.range[0], 0.0), min(metric.range[1], 1.0))
            values[:, position] = rng.uniform(low, high, size=(methods, OBSERVATIONS))
        scored[f"arr_{network}"] = values
    shown["arr_1"][2, 3, 0, 0] = np.nan
    scored["arr_2"][0, 5, 1] = np.nan
    if maps:
        np.savez(folder / "point_cloud" / "coma.npz", **shown)
    if scores:
        np.savez(folder / "point_cloud" / "eval_scores_coma.npz", **scored)
    return {**{f"maps/{name}": array for name, array in shown.items()}, **scored}


def test_every_map_and_score_has_its_row(tmp_path: Path) -> None:
    released = write_release(tmp_path / "release")
    built = build([open_latec(tmp_path / "release", "published")], tmp_path / "out")
    count = sum(len(PLACE.methods(network)) for network in range(3)) * OBSERVATIONS
    assert built.rows == {"maps-point-cloud-coma": count, "scores": 20 * count}
    maps = pq.read_table(tmp_path / "out/data/maps/point-cloud/coma/00000.parquet").to_pylist()
    missing = []
    for row in maps:
        network = [f"coma-{name}" for name in PLACE.networks].index(row["model"])
        method = PLACE.methods(network).index(row["method"])
        truth = released[f"maps/arr_{network}"][int(row["observation"]), method]
        assert (row["protocol"], row["target"], row["prediction"]) == ("latec", None, None)
        map = decode_map(row)
        if map is None:
            missing.append((row["model"], row["method"], row["observation"]))
        else:
            np.testing.assert_allclose(map, truth, rtol=2**-11, atol=1e-9)
    assert missing == [("coma-dgcnn", PLACE.methods(1)[3], "2")]
    for row in pq.read_table(tmp_path / "out/data/scores/00000.parquet").to_pylist():
        network = [f"coma-{name}" for name in PLACE.networks].index(row["model"])
        at = (PLACE.methods(network).index(row["method"]), ORDERS["published"].index(row["metric"]))
        value = released[f"arr_{network}"][(*at, int(row["observation"]))]
        assert row["value"] == (None if np.isnan(value) else value)
        assert row["metric_version"] == "latec"


def test_scores_need_their_order(tmp_path: Path) -> None:
    write_release(tmp_path)
    with pytest.raises(UsageError, match="--order published"):
        open_latec(tmp_path, None)


def test_maps_alone_need_none(tmp_path: Path) -> None:
    write_release(tmp_path / "release", scores=False)
    assert build([open_latec(tmp_path / "release", None)], tmp_path / "out").rows.keys() == {"maps-point-cloud-coma"}


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    (tmp_path / "release").mkdir()
    np.savez(tmp_path / "release" / "coma.npz", arr_0=np.array([{}], dtype=object), arr_1=[1.0], arr_2=[1.0])
    with pytest.raises((IntegrityError, UsageError)):
        build([open_latec(tmp_path / "release", None)], tmp_path / "out")


def test_two_files_of_one_set_are_refused(tmp_path: Path) -> None:
    write_release(tmp_path / "release", scores=False)
    (tmp_path / "release" / "maps_coma.npz").write_bytes((tmp_path / "release/point_cloud/coma.npz").read_bytes())
    with pytest.raises(UsageError, match="both hold maps of coma"):
        build([open_latec(tmp_path / "release", None)], tmp_path / "out")


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no \.npz file"):
        open_latec(tmp_path, "published")
