"""Card and Croissant description, read by the tools that others read them with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from harness.publish.meta_evaluation import build
from harness.publish.shards import ShardLimits
from tests.publish.test_build import MadeUp

mlcroissant = pytest.importorskip("mlcroissant")


def croissant(folder: Path) -> tuple[list[str], list[str]]:
    """Errors and warnings."""
    dataset = mlcroissant.Dataset(str(folder / "croissant.json"))
    issues = dataset.metadata.ctx.issues
    return sorted(map(str, issues.errors)), sorted(map(str, issues.warnings))


def test_the_description_is_valid(tmp_path: Path) -> None:
    build([MadeUp()], tmp_path, licence="cc-by-4.0")
    errors, warnings = croissant(tmp_path)
    assert errors == []
    assert all("datePublished" in warning for warning in warnings)  # left out: it would differ from build to build


def test_a_description_with_an_unknown_type_is_not(tmp_path: Path) -> None:
    build([MadeUp()], tmp_path)
    path = tmp_path / "croissant.json"
    facts = json.loads(path.read_text())
    facts["recordSet"][0]["field"][0]["dataType"] = "cr:NoSuchType"
    path.write_text(json.dumps(facts))
    with pytest.raises(Exception, match="NoSuchType"):
        croissant(tmp_path)


def test_the_description_leads_to_the_rows(tmp_path: Path) -> None:
    build([MadeUp()], tmp_path)
    dataset = mlcroissant.Dataset(str(tmp_path / "croissant.json"))
    scores = list(dataset.records("scores"))
    assert len(scores) == 40
    assert [row["scores/observation"] for row in scores[:2]] == [b"0", b"1"]
    assert np.isclose(scores[2]["scores/value"], 2 / 7)
    first = next(iter(dataset.records("maps-image-made-up")))
    assert len(first["maps-image-made-up/map"]) == 2 * 60
    assert list(first["maps-image-made-up/shape"]) == [1, 2, 30]


def test_the_head_of_the_card_names_every_configuration(tmp_path: Path) -> None:
    build([MadeUp()], tmp_path, licence="cc-by-4.0")
    head = yaml.safe_load((tmp_path / "README.md").read_text().split("---\n")[1])
    assert head["license"] == "cc-by-4.0"
    assert {each["config_name"]: each["data_files"][0]["path"] for each in head["configs"]} == {
        "maps-image-made-up": "data/maps/image/made-up/*.parquet",
        "scores": "data/scores/*.parquet",
    }
    assert [each["config_name"] for each in head["configs"] if each.get("default")] == ["scores"]
    assert {each["config_name"]: each["splits"][0]["num_examples"] for each in head["dataset_info"]} == {
        "maps-image-made-up": 40,
        "scores": 40,
    }


def test_the_sizes_of_the_card_are_those_of_the_files(tmp_path: Path) -> None:
    build([MadeUp()], tmp_path, limits=ShardLimits(file=2500, batch=1000))
    head = yaml.safe_load((tmp_path / "README.md").read_text().split("---\n")[1])
    for each in head["dataset_info"]:
        folder = "data/scores" if each["config_name"] == "scores" else "data/maps/image/made-up"
        files = list((tmp_path / folder).glob("*.parquet"))
        assert each["download_size"] == sum(path.stat().st_size for path in files)
        rows = sum(
            sum(len(value) for value in column if isinstance(value, bytes))
            for path in files
            for column in _columns(path)
        )
        assert each["splits"][0]["num_bytes"] >= rows
        assert each["dataset_size"] == each["splits"][0]["num_bytes"]


def _columns(path: Path) -> list[list[object]]:
    return list(pq.read_table(path).to_pydict().values())


def test_the_card_says_terms_and_citations(tmp_path: Path) -> None:
    build([MadeUp()], tmp_path)
    text = (tmp_path / "README.md").read_text()
    head = yaml.safe_load(text.split("---\n")[1])
    assert (head["license"], head["license_name"]) == ("other", "see-card")
    for line in ("- made-up@1: CC0", "- A, 2024", "- B, 2025", "| `maps-image-made-up` | 40 |"):
        assert line in text


def test_the_reading_lines_of_the_card_work(tmp_path: Path) -> None:
    build([MadeUp()], tmp_path)
    code = (tmp_path / "README.md").read_text().split("```python\n")[1].split("```")[0]
    scope: dict[str, object] = {}
    exec(code.replace("ORG/NAME", str(tmp_path)), scope)
    expected = MadeUp().map(0)
    np.testing.assert_allclose(scope["values"], expected, rtol=2**-11, atol=1e-9)
