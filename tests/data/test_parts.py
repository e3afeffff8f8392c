"""Rules of parts, against plain loops over samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.data.parts import select
from harness.data.readers.base import Listing, Selection
from harness.data.readers.opening import part_id
from harness.spec.errors import UsageError
from harness.spec.manifest import DataSet
from harness.spec.parts import Part
from harness.storage import IntegrityError
from tests.data.readers.support import dataset

COUNT = 240
RNG = np.random.default_rng(3)
LABELS = RNG.integers(0, 4, COUNT)
PATIENT = RNG.integers(0, 20, COUNT)
SPLIT = np.where(np.arange(COUNT) % 3 == 0, "test", "train")


def listing() -> Listing:
    ids = [f"s{number}" for number in range(COUNT)]
    columns = {"split": SPLIT, "patient": np.char.add("p", PATIENT.astype(str)), "half": LABELS // 2}
    return Listing(ids, LABELS.astype(np.int64), columns, lambda rows: [np.array([row]) for row in rows])


def chosen(tmp: Path | None = None, **fields: Any) -> Selection:
    return select("x", {"x": Part.model_validate(fields)}, listing(), [tmp] if tmp else [])


def rows(*steps: dict[str, Any], tmp: Path | None = None) -> list[int]:
    return chosen(tmp, steps=steps).rows.tolist()


def test_all_and_a_split() -> None:
    assert rows() == list(range(COUNT))
    assert chosen(split="test").rows.tolist() == [n for n in range(COUNT) if n % 3 == 0]


def test_reading_follows_the_selection() -> None:
    part = chosen(steps=[{"do": "shuffle", "seed": 1}])
    assert [int(each[0]) for each in part.read([3, 0])] == [part.rows[3], part.rows[0]]
    assert [part.ids[3], part.ids[0]] == [f"s{part.rows[3]}", f"s{part.rows[0]}"]


def test_keep_and_drop() -> None:
    assert rows({"do": "keep", "column": "label", "values": [0, 2]}) == np.flatnonzero(LABELS % 2 == 0).tolist()
    kept = rows({"do": "drop", "column": "patient", "values": ["p3"]}, {"do": "keep", "column": "half", "values": [1]})
    assert kept == [n for n in range(COUNT) if PATIENT[n] != 3 and LABELS[n] >= 2]


def test_a_value_that_nobody_has_is_a_mistake() -> None:
    with pytest.raises(UsageError, match=r"the part x: no sample has label = '7'; there is 0, 1, 2, 3"):
        rows({"do": "drop", "column": "label", "values": [7]})


def test_rows_and_blocks() -> None:
    assert rows({"do": "rows", "start": 5, "stop": 9}) == [5, 6, 7, 8]
    assert rows({"do": "rows", "start": 235}) == [235, 236, 237, 238, 239]
    assert rows({"do": "every", "of": 50, "start": 10, "stop": 12}) == [10, 11, 60, 61, 110, 111, 160, 161, 210, 211]
    with pytest.raises(UsageError, match=r"rows 0 to 241 are asked for, but there are 240"):
        rows({"do": "rows", "stop": 241})


def test_blocks_within_groups() -> None:
    seen: dict[int, int] = {}
    expected = []
    for n in range(COUNT):
        place = seen.get(PATIENT[n], 0)
        seen[PATIENT[n]] = place + 1
        if place % 4 == 3:
            expected.append(n)
    assert rows({"do": "every", "of": 4, "start": 3, "stop": 4, "within": ["patient"]}) == expected


def test_a_shuffle_is_numpys() -> None:
    order = np.arange(COUNT)
    np.random.default_rng(12345).shuffle(order)
    assert rows({"do": "shuffle", "seed": 12345}) == order.tolist()


@pytest.mark.parametrize("seed", [0, 5, 42])
def test_a_shuffle_is_that_of_a_dataloader(seed: int) -> None:
    """Batches of 50, as LATEC loads them, and with the dataset in the loader: the first batch is what it explains."""
    import torch
    from torch.utils.data import DataLoader

    loader = DataLoader(
        list(range(COUNT)),  # type: ignore[arg-type]
        batch_size=50,
        shuffle=True,
        generator=torch.Generator().manual_seed(seed),
    )
    first = next(iter(loader)).tolist()
    assert rows({"do": "shuffle", "seed": seed, "like": "dataloader"}, {"do": "rows", "stop": 50}) == first
    plain = torch.randperm(COUNT, generator=torch.Generator().manual_seed(seed))[:50].tolist()
    assert first != plain, "a bare randperm would do, which it does not: the loader draws from the generator before"


@pytest.mark.parametrize("draw", ["permutation", "choice"])
def test_a_share_is_held_out(draw: str) -> None:
    rng = np.random.default_rng(12345)
    drawn = rng.permutation(COUNT)[:60] if draw == "permutation" else rng.choice(COUNT, 60, replace=False)
    step = {"do": "hold-out", "share": 0.25, "seed": 12345, "draw": draw}
    assert rows({**step, "keep": "held-out"}) == sorted(drawn.tolist())
    assert rows({**step, "keep": "rest"}) == sorted(set(range(COUNT)) - set(drawn.tolist()))


def test_patients_are_held_out_as_a_whole() -> None:
    """As the track for segmentation splits raw folders: sorted groups, the first quarter of a permutation."""
    names = sorted({f"p{each}" for each in PATIENT})
    drawn = np.random.default_rng(12345).permutation(len(names))[: len(names) // 4]
    held = {names[n] for n in drawn}
    step = {"do": "hold-out", "share": 0.25, "seed": 12345, "group": "patient"}
    found = rows({**step, "keep": "held-out"})
    assert found == [n for n in range(COUNT) if f"p{PATIENT[n]}" in held]
    assert not {PATIENT[n] for n in found} & {PATIENT[n] for n in rows({**step, "keep": "rest"})}


def test_patients_are_drawn_as_old_scripts_draw_them() -> None:
    """numpy.random.seed, then choice among pandas' unique values, which keep the order in which they appear."""
    names = list(dict.fromkeys(f"p{each}" for each in PATIENT))
    np.random.seed(2)
    drawn = [names[n] for n in np.random.choice(len(names), int(len(names) * 0.8), replace=False)]
    step = {"do": "hold-out", "seed": 2, "group": "patient", "draw": "legacy"}
    for facts, held in (({"share": 0.8}, drawn), ({"count": 2, "start": 1}, drawn[1:3])):
        found = rows({**step, **facts, "keep": "held-out"})
        assert found == [n for n in range(COUNT) if f"p{PATIENT[n]}" in held]
        assert rows({**step, **facts, "keep": "rest"}) == [n for n in range(COUNT) if n not in found]


def test_groups_are_kept_as_a_whole() -> None:
    first = {"do": "rows", "stop": 30}
    step = {"column": "label", "values": [0], "group": "patient"}
    fitting = {PATIENT[n] for n in range(30) if LABELS[n] == 0}
    assert 0 < len(fitting) < len(set(PATIENT[:30].tolist()))
    assert rows(first, {"do": "keep", **step}) == [n for n in range(30) if PATIENT[n] in fitting]
    assert rows(first, {"do": "drop", **step}) == [n for n in range(30) if PATIENT[n] not in fitting]


def test_labels_by_appearance() -> None:
    found = chosen(steps=[{"do": "relabel", "column": "patient", "by": "appearance"}])
    names = list(dict.fromkeys(f"p{each}" for each in PATIENT))
    assert found.labels.tolist() == [names.index(f"p{each}") for each in PATIENT]


def test_a_share_of_one_sample_leaves_nothing() -> None:
    with pytest.raises(UsageError, match=r"no share can be held out"):
        rows({"do": "rows", "stop": 1}, {"do": "hold-out", "share": 0.5, "seed": 0, "keep": "rest"})


def test_first_of_each_class_and_cell() -> None:
    expected = [n for label in range(4) for n in np.flatnonzero(label == LABELS)[:5]]
    assert rows({"do": "first-per-class", "count": 5}) == sorted(expected)
    cells = [(label, split) for label in range(4) for split in ("test", "train")]
    expected = [n for label, split in cells for n in np.flatnonzero((label == LABELS) & (split == SPLIT))[:3]]
    assert rows({"do": "first-per-class", "count": 3, "within": ["split"]}) == sorted(expected)
    with pytest.raises(UsageError, match=r"one class or cell has fewer"):
        rows({"do": "first-per-class", "count": 200})


def test_the_long_tail_of_cifar_10() -> None:
    """4500, 2913, 1886, 1221, 790, 512, 331, 214, 139, 90: 12,596 images."""
    labels = np.repeat(np.arange(10), 4600)
    many = Listing([str(n) for n in range(46_000)], labels, {}, lambda rows: [])
    step = {"do": "long-tail", "largest": 4500, "imbalance": 50.0, "seed": 12345}
    part = select("x", {"x": Part.model_validate({"steps": [step]})}, many, [])
    assert np.bincount(part.labels).tolist() == [4500, 2913, 1886, 1221, 790, 512, 331, 214, 139, 90]
    assert len(part) == 12_596
    assert (np.diff(part.rows) > 0).all()
    other = select("x", {"x": Part.model_validate({"steps": [{**step, "seed": 1}]})}, many, [])
    assert set(other.rows.tolist()) != set(part.rows.tolist())


def test_cifar_10_lt_as_its_manifest_says() -> None:
    from harness.data.manifests import find_dataset

    parts = find_dataset("cifar-10-lt").spec.parts
    labels = np.tile(np.arange(10), 6000)
    split = np.repeat(["train", "test"], [50_000, 10_000])
    full = Listing([str(n) for n in range(60_000)], labels, {"split": split}, lambda rows: [])
    train, validation = (select(name, parts, full, []) for name in ("train", "validation"))
    assert len(validation) == 5000
    assert not set(train.rows.tolist()) & set(validation.rows.tolist())
    counts = np.bincount(train.labels).tolist()
    assert counts[1:] == [2913, 1886, 1221, 790, 512, 331, 214, 139, 90]
    assert counts[0] == min(4500, 5000 - int((validation.labels == 0).sum()))
    assert len(select("test", parts, full, [])) == 10_000


def test_a_class_with_less_keeps_all() -> None:
    step = {"do": "long-tail", "largest": 10_000, "imbalance": 1.0, "seed": 0}
    assert rows(step) == list(range(COUNT))


def test_relabelled() -> None:
    part = chosen(steps=[{"do": "relabel", "column": "half"}, {"do": "keep", "column": "label", "values": [1]}])
    assert part.labels.tolist() == [1] * int((LABELS >= 2).sum())
    with pytest.raises(UsageError, match=r"the column patient holds texts"):
        chosen(steps=[{"do": "relabel", "column": "patient"}])


def test_parts_of_parts_in_order() -> None:
    parts = {
        "a": Part.model_validate({"split": "test", "steps": [{"do": "rows", "stop": 2}]}),
        "b": Part.model_validate({"split": "train", "steps": [{"do": "relabel", "column": "half"}]}),
        "c": Part.model_validate({"of": ["b", "a"]}),
        "d": Part.model_validate({"of": ["c"], "steps": [{"do": "rows", "start": 159}]}),
    }
    joined = select("d", parts, listing(), [])
    assert joined.rows.tolist() == [239, 0, 3]
    train = [n for n in range(COUNT) if n % 3]
    whole = select("c", parts, listing(), [])
    assert whole.rows.tolist() == [*train, 0, 3]
    assert whole.labels.tolist() == [*(LABELS[train] // 2).tolist(), LABELS[0], LABELS[3]]


def test_parts_that_share_samples_are_not_united() -> None:
    parts = {"a": Part(split="test"), "b": Part(), "c": Part(of=("a", "b"))}
    with pytest.raises(UsageError, match=r"the part c unites parts that share samples"):
        select("c", parts, listing(), [])


def test_parts_that_contain_themselves() -> None:
    parts = {"a": Part(of=("b",)), "b": Part(of=("a",))}
    with pytest.raises(UsageError, match=r"the part a contains itself \(a > b > a\)"):
        select("a", parts, listing(), [])


def test_unknown_parts_splits_and_columns() -> None:
    with pytest.raises(UsageError, match=r"no part is called 'tset'; did you mean test"):
        select("tset", {"test": Part()}, listing(), [])
    with pytest.raises(UsageError, match=r"asks for the split 'val', which the files do not have"):
        chosen(split="val")
    with pytest.raises(UsageError, match=r"no column is called 'patients'; did you mean patient"):
        rows({"do": "keep", "column": "patients", "values": ["p1"]})


def test_an_empty_part_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"the part x has no sample"):
        rows({"do": "drop", "column": "label", "values": [0, 1, 2, 3]})


@pytest.mark.parametrize(("name", "text"), [("l.txt", "b/7.x\n\n  b/3.x\n"), ("l.json", '["b/7.x", "b/3.x"]')])
def test_listed_samples_in_the_order_of_the_list(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    many = Listing([f"a/{n}.x.y" for n in range(9)], np.zeros(9, np.int64), {}, lambda rows: [])
    step = {"do": "list", "file": name, "strip": "b/", "prefix": "a/", "suffix": ".y"}
    part = Part.model_validate({"steps": [step]})
    assert select("x", {"x": part}, many, [tmp_path / "absent", tmp_path]).rows.tolist() == [7, 3]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('["s1", "s1"]', "lists 1 samples more than once"),
        ('["s1", "z9", "z8"]', r"lists z9 \(2 such\), which is not among"),
        ('{"a": 1}', "must be a JSON list of names"),
        ("[1]", "must be a JSON list of names"),
        ("[", "is no JSON"),
    ],
)
def test_lists_that_are_wrong(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "l.json").write_text(text)
    with pytest.raises(UsageError, match=sentence):
        rows({"do": "list", "file": "l.json"}, tmp=tmp_path)


def test_a_list_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"its list of samples gone\.txt is neither in"):
        rows({"do": "list", "file": "gone.txt"}, tmp=tmp_path)


def test_the_id_of_a_part_tells_ids_labels_and_order() -> None:
    base = part_id(chosen())
    assert part_id(chosen()) == base
    assert part_id(chosen(steps=[{"do": "shuffle", "seed": 0}])) != base
    assert part_id(chosen(steps=[{"do": "relabel", "column": "half"}])) != base
    assert part_id(chosen(steps=[{"do": "rows", "stop": 239}])) != base


@pytest.mark.parametrize(
    "part",
    [
        {"split": "a", "of": ["b"]},
        {"steps": [{"do": "rows", "start": 5, "stop": 5}]},
        {"steps": [{"do": "every", "of": 10, "stop": 11}]},
        {"steps": [{"do": "hold-out", "share": 1.0, "seed": 0, "keep": "rest"}]},
        {"steps": [{"do": "hold-out", "seed": 0, "keep": "rest"}]},
        {"steps": [{"do": "hold-out", "share": 0.5, "count": 2, "seed": 0, "keep": "rest"}]},
        {"steps": [{"do": "hold-out", "count": 2, "start": 1, "seed": 0, "keep": "rest"}]},
        {"steps": [{"do": "list", "file": "../l.txt"}]},
        {"steps": [{"do": "guess"}]},
    ],
)
def test_rules_that_make_no_sense_are_refused_with_the_manifest(part: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"validation error"):
        DataSet.model_validate(dataset({"kind": "medmnist", "file": "m.npz"}).canonical() | {"parts": {"x": part}})


def test_twice_the_same_id() -> None:
    from harness.data.readers.base import checked

    twice = Listing(["a", "b", "a"], np.zeros(3, np.int64), {}, lambda rows: [])
    with pytest.raises(IntegrityError, match=r"here has the sample a twice"):
        checked(twice, 1, "here")
