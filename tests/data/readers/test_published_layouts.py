"""Data sets as they are released, built small, against what the authors' public scripts select from them."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from harness.data.catalog import bundled_folder
from harness.data.forms import shaped
from harness.data.manifests import Manifest, find_dataset
from harness.data.parts import select
from harness.data.readers.base import Selection
from harness.data.readers.opening import open_listing, open_part
from harness.spec.errors import UsageError
from harness.storage import IntegrityError
from tests.data.readers.support import cifar_100, pixels, png, write

RNG = np.random.default_rng(12)


def parts(manifest: Manifest, folder: Path) -> dict[str, Selection]:
    listing = open_listing(manifest, folder)
    return {name: select(name, manifest.spec.parts, listing, [folder]) for name in manifest.spec.parts}


def drawn(groups: list[str], size: int, before: int = 0) -> set[str]:
    """Groups that a script draws with NumPy's global generator, seed 2, after a draw from `before` others."""
    state = np.random.get_state()
    try:
        np.random.seed(2)
        if before:
            np.random.choice(before, before // 5, replace=False)
        return {groups[number] for number in np.random.choice(len(groups), size, replace=False)}
    finally:
        np.random.set_state(state)


# ---- FD-Shifts


def test_camelyon_validates_on_a_permutation_of_id_val(tmp_path: Path) -> None:
    rows = [f"{n % 3},{n},{n},{[0, 3, 4][n % 3]},{n % 2},1,{n}" for n in range(1500)]
    write(
        tmp_path / "camelyon17_v1.0/metadata.csv", "patient,node,x_coord,center,tumor,split,y_coord\n" + "\n".join(rows)
    )
    manifest = find_dataset("camelyon17")
    listing = open_listing(manifest, tmp_path)
    rules = manifest.spec.parts
    order = np.random.default_rng(12345).permutation(np.arange(1500))
    assert select("val-tuning", rules, listing, []).rows.tolist() == order[:1000].tolist()
    assert select("iid", rules, listing, []).rows.tolist() == order[1000:].tolist()


def test_super_cifar_100_validates_on_the_test_file_first(tmp_path: Path) -> None:
    cifar_100(tmp_path, per_class=60)
    manifest = find_dataset("cifar-100")
    listing = open_listing(manifest, tmp_path)
    first = select("super-val-tuning", manifest.spec.parts, listing, [])
    shift = select("super-shift", manifest.spec.parts, listing, [])
    assert [name.split("/")[0] for name in first.ids] == ["test"] * 570 + ["train"] * 430
    assert [*first.ids, *select("super-iid", manifest.spec.parts, listing, []).ids] == list(shift.ids)


def test_the_classes_of_entity_13_come_along() -> None:
    path = bundled_folder("datasets") / "breeds-entity13/entity13.csv"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == (
        "9480a53902818ee29d7e0ca54c97455bceeeeab4be80a45f621c402575cd6b1f"
    )
    table = pd.read_csv(path)
    assert len(table) == table["class"].nunique() == 260
    assert table.groupby(["label", "domain"]).size().unique().tolist() == [10]
    assert sorted(table["label"].unique()) == list(range(13))


def test_breeds_needs_the_training_folder_only(tmp_path: Path) -> None:
    table = pd.read_csv(bundled_folder("datasets") / "breeds-entity13/entity13.csv")
    for name in table["class"]:
        write(tmp_path / f"train/{name}/{name}_1.JPEG", b"")
    manifest = find_dataset("breeds-entity13")
    assert [file.path for file in manifest.spec.files] == ["train"]
    listing = open_listing(manifest, tmp_path)
    target = select("ood-test", manifest.spec.parts, listing, [])
    wanted = table[table["domain"] == "target"].sort_values("class")
    assert [name.split("/")[1] for name in target.ids] == wanted["class"].tolist()
    assert target.labels.tolist() == wanted["label"].tolist()
    write(tmp_path / "entity13.csv", "class,label,domain\nn01514859,0,source\n")  # one's own goes first
    assert len(open_listing(manifest, tmp_path)) == 1


# ---- the study of silent failures

FINDINGS = ["No Finding", "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion", "Pneumonia", "Pneumothorax"]  # fmt: skip


def chest(folder: Path, patients: int = 60) -> pd.DataFrame:
    """The three collections, and (site, patient, path, label) of what the study takes, in its order."""
    taken = []

    def row(*found: str) -> str:
        return ",".join({True: "1.0", False: ""}[name in found] for name in FINDINGS)

    mimic, labels = ["dicom_id,study_id,subject_id,split"], [f"subject_id,study_id,{','.join(FINDINGS)}"]
    for n in range(patients):
        subject, study = 10_000_000 + n, 50_000_000 + n
        mimic += [f"d{n}-{view},{study},{subject},train" for view in ("lateral", "frontal")]
        labels.append(
            f"{subject},{study},{row('Edema')}" if n % 4 else f"{subject},{study},{row('Edema', 'Pneumonia')}"
        )
        path = f"MIMIC-CXR-JPG/files/p10/p{subject}/s{study}"
        taken += [("mimic", subject, f"{path}/d{n}-{view}.jpg", 2) for view in ("lateral", "frontal") if n % 4]
    write(folder / "MIMIC-CXR-JPG/mimic-cxr-2.0.0-split.csv", "\n".join(mimic))
    write(folder / "MIMIC-CXR-JPG/mimic-cxr-2.0.0-chexpert.csv", "\n".join(labels))
    nih = ["Image Index,Finding Labels,Patient ID"]
    for n in range(patients):
        cell, label = [("Atelectasis|Infiltration", 5), ("Effusion", 7), ("Mass", None), ("Edema|Effusion", None)][
            n % 4
        ]
        nih.append(f"{n:05}_000.png,{cell},{n}")
        write(folder / f"NIH14/images_{n % 12 + 1:03}/images/{n:05}_000.png", b"")
        if label is not None:
            taken.append(("nih14", n, f"NIH14/images_{n % 12 + 1:03}/images/{n:05}_000.png", label))
    write(folder / "NIH14/Data_Entry_2017.csv", "\n".join(nih))
    for part in ("train", "valid"):
        lines = [f"Path,Frontal/Lateral,{','.join(FINDINGS)}"]
        for n in range(patients):
            path = f"CheXpert-v1.0-small/{part}/patient{part == 'valid':d}{n:04}/study1/view1_lateral.jpg"
            found, label = [(("Pneumonia",), 4), ((), 0), (("Edema", "Cardiomegaly"), None)][n % 3]
            lines.append(f"{path},Lateral,{row(*found)}")
            if label is not None:
                taken.append(("chexpert", path.split("/")[2], path, label))
        write(folder / f"CheXpert-v1.0-small/{part}.csv", "\n".join(lines))
    return pd.DataFrame(taken, columns=["site", "patient", "path", "label"]).astype({"patient": str})


def test_chest_x_rays_take_the_rows_classes_and_patients_of_the_study(tmp_path: Path) -> None:
    table = chest(tmp_path)
    found = parts(find_dataset("chest-xray"), tmp_path)
    assert list(found["all"].ids) == table["path"].tolist()
    assert found["all"].labels.tolist() == table["label"].tolist()
    shares = {"all": 0.98, "chexpert": 0.95, "all-but-chexpert": 0.96, "nih14": 0.8, "all-but-nih14": 0.975}
    for name, share in {**shares, "mimic": 0.95, "all-but-mimic": 0.95}.items():
        site = name.rpartition("-")[2]
        part = table if name == "all" else table[(table["site"] == site) != name.startswith("all-but")]
        patients = part["patient"].unique().tolist()
        trains = part["patient"].isin(drawn(patients, int(len(patients) * share)))
        assert list(found[f"{name}-train"].ids) == part["path"][trains].tolist(), name
        assert list(found[f"{name}-test"].ids) == part["path"][~trains].tolist(), name


def test_nih_images_in_one_folder_serve_as_well(tmp_path: Path) -> None:
    chest(tmp_path, patients=8)
    for path in list((tmp_path / "NIH14").glob("images_*/images/*.png")):
        write(tmp_path / "NIH14/images" / path.name, png(pixels(5, 4)))
        path.unlink()
    samples = open_part(find_dataset("chest-xray"), "nih14", tmp_path)
    assert set(samples.ids) == {f"NIH14/images/{n:05}_000.png" for n in (0, 1, 4, 5)}
    assert samples.read([0])[0].shape == (5, 4, 3)
    write(tmp_path / "NIH14/images_003/images/00000_000.png", b"")
    with pytest.raises(IntegrityError, match=r"00000_000\.png fits .*; keep one of them"):
        open_part(find_dataset("chest-xray"), "nih14", tmp_path)


BARCELONA = "Department of Dermatology, Hospital Clínic de Barcelona"


def test_dermoscopy_is_split_by_patients_as_in_the_study(tmp_path: Path) -> None:
    rows, kinds = [], ["nv", "mel", "bkl", "akiec", "df"]
    ham = [(f"HAM_{n % 37}", f"ISIC_{(n * 7) % 80:04}", kinds[n % 5]) for n in range(80)]
    write(
        tmp_path / "HAM10000/HAM10000_metadata.csv",
        "lesion_id,image_id,dx\n" + "\n".join(map(",".join, ham)),
    )
    for number, (lesion, image, dx) in enumerate(sorted(ham, key=lambda each: each[1])):
        path = f"HAM10000/HAM10000_images_part_{1 + number // 40}/{image}.jpg"
        write(tmp_path / path, b"")
        rows.append((path, "ham10000", lesion, int(dx in ("mel", "akiec")), dx))
    write(
        tmp_path / "derm7pt/meta/meta.csv",
        "case_num,diagnosis,derm\n"
        + "\n".join(f"{n},{['clark nevus', 'melanoma'][n % 2]},N/{n}.jpg" for n in range(15)),
    )
    rows += [(f"derm7pt/images/N/{n}.jpg", "derm7pt", str(n), n % 2, "") for n in range(15)]
    write(tmp_path / "PH2/PH2_dataset.csv", "Image Name,Melanoma\nIMD003,\nIMD058,X\n")
    for name, label in (("IMD003", 0), ("IMD058", 1)):
        path = f"PH2/PH2 Dataset images/{name}/{name}_Dermoscopic_Image/{name}.bmp"
        write(tmp_path / path, b"")
        rows.append((path, "ph2", name, label, ""))
    isic = ["isic_id,attribution,benign_malignant,patient_id"]
    for n in range(60):
        site = [BARCELONA, "MSKCC", "Pascale Guitera"][n % 3]
        isic.append(f'I{n},"{site}",{["benign", "malignant"][n % 2]},IP_{n % 21}')
        rows.append((f"ISIC2020/train/I{n}.jpg", site, f"IP_{n % 21}", n % 2, ""))
    write(tmp_path / "ISIC2020/challenge-2020-training_metadata_2022-06-29.csv", "\n".join(isic))
    table = pd.DataFrame(rows, columns=["path", "site", "patient", "label", "dx"])
    found = parts(find_dataset("dermoscopy"), tmp_path)
    assert list(found["all"].ids) == table["path"].tolist()
    assert found["all"].labels.tolist() == table["label"].tolist()
    sites = {"barcelona": BARCELONA, "mskcc": "MSKCC", "ham10000": "ham10000"}
    chosen = {"all": table["site"] != ""}
    chosen |= {name: table["site"] == site for name, site in sites.items()}
    chosen |= {f"all-but-{name}": table["site"] != sites[name] for name in ("barcelona", "mskcc")}
    for name, rule in chosen.items():
        part = table[rule]
        patients = part["patient"].unique().tolist()
        trains = part["patient"].isin(drawn(patients, int(len(patients) * 0.8)))
        assert list(found[f"{name}-train"].ids) == part["path"][trains].tolist(), name
        assert list(found[f"{name}-test"].ids) == part["path"][~trains].tolist(), name
    of_ham = table[table["site"] == "ham10000"]
    numbers = {dx: number for number, dx in enumerate(of_ham["dx"].unique())}
    assert found["ham10000-multi"].labels.tolist() == of_ham["dx"].map(numbers).tolist()
    assert list(found["ham10000-multi-train"].ids) == list(found["ham10000-train"].ids)
    assert list(found["ham10000-small"].ids) == of_ham["path"][of_ham["dx"].isin(["bkl", "akiec"])].tolist()


def cells(folder: Path) -> pd.DataFrame:
    """RxRx1's table with all 51 experiments, few wells in each."""
    kinds = ["HEPG2"] * 11 + ["HUVEC"] * 24 + ["RPE"] * 11 + ["U2OS"] * 5
    rows = []
    for number, kind in enumerate(kinds):
        for well in range(3 + number % 3):
            name = f"{kind}-{number:02}"
            rows += [(f"{name}_1_B{well:02}_{site}", f"{name}_1_B{well:02}", kind, "train", name, 1, f"B{well:02}", site, 7) for site in (1, 2)]  # fmt: skip
    columns = ["site_id", "well_id", "cell_type", "dataset", "experiment", "plate", "well", "site", "sirna_id"]
    table = pd.DataFrame(rows, columns=columns)
    (folder / "rxrx1").mkdir()
    table.to_csv(folder / "rxrx1/metadata.csv", index=False)
    return table


def test_rxrx1_draws_wells_and_experiments_as_in_the_study(tmp_path: Path) -> None:
    table = cells(tmp_path)
    manifest = find_dataset("rxrx1")
    listing = open_listing(manifest, tmp_path)
    rules = dict(manifest.spec.parts)

    def sites(name: str) -> list[str]:
        return table["site_id"].iloc[select(name, rules, listing, []).rows].tolist()

    others = table[table["cell_type"] != "RPE"]
    wells = others["well_id"].unique().tolist()
    tests = others["well_id"].isin(drawn(wells, int(len(wells) * 0.2)))
    assert sites("all-but-rpe-test") == others["site_id"][tests].tolist()
    assert sites("all-but-rpe-train") == others["site_id"][~tests].tolist()
    names = table["experiment"].unique()
    np.random.seed(2)
    np.random.choice(len(wells), int(len(wells) * 0.2), replace=False)
    order = np.random.choice(51, 51, replace=False)
    for number, small in (("1", names[order[:11]]), ("2", names[order[11:21]])):
        large = table[~table["experiment"].isin(small)]
        assert sites(f"small-set{number}") == table["site_id"][table["experiment"].isin(small)].tolist()
        of_large = large["well_id"].unique().tolist()
        held = large["well_id"].isin(drawn(of_large, int(len(of_large) * 0.2)))
        assert sites(f"large-set{number}-test") == large["site_id"][held].tolist()
        assert sites(f"large-set{number}-train") == large["site_id"][~held].tolist()
    with pytest.raises(UsageError, match=r"no share can be held out"):
        select("all-test", rules, listing, [])  # 12,551 wells are of the whole release


def test_rxrx1_has_the_channels_of_the_study(tmp_path: Path) -> None:
    cells(tmp_path)
    planes = [pixels(8, 8) for _ in range(6)]
    for number, plane in enumerate(planes):
        write(tmp_path / f"rxrx1/images/HEPG2-00/Plate1/B00_s1_w{number + 1}.png", png(plane))
    image = open_part(find_dataset("rxrx1"), "all", tmp_path).read([0])[0]
    np.testing.assert_array_equal(image, np.stack([planes[n - 1] for n in (3, 2, 1, 4, 5, 6)], axis=-1))


def test_lidc_keeps_patients_apart_as_in_the_study(tmp_path: Path) -> None:
    rows = []
    for nodule in range(400):
        calcification = ["True", "False", "", "True", "True", "True", "True"][nodule % 7]
        rows += [(f"images2d/{nodule}_{slice_}.png", nodule % 2, f"LIDC-{nodule % 130:04}", calcification, "True" if nodule % 9 else "False", "False" if nodule % 11 == 3 else "True") for slice_ in "xy"]  # fmt: skip
    table = pd.DataFrame(rows, columns=["filepath", "target", "Patient ID", *(f"{each}_id" for each in ("calcification", "spiculation", "texture"))])  # fmt: skip
    (tmp_path / "lidc").mkdir()
    table.to_csv(tmp_path / "lidc/lidc_idri_binaryclass.csv", index=False)
    found = parts(find_dataset("lidc-idri"), tmp_path)
    patients = table["Patient ID"].unique().tolist()
    tests = table["Patient ID"].isin(drawn(patients, 90))
    assert list(found["all-test"].ids) == ("lidc/" + table["filepath"][tests]).tolist()
    assert list(found["all-train"].ids) == ("lidc/" + table["filepath"][~tests]).tolist()
    for feature, count in (("calcification", 48), ("spiculation", 49), ("texture", 49)):
        known = table[table[f"{feature}_id"] != ""]
        shift = known[known[f"{feature}_id"] == "False"]
        touched = known["Patient ID"].isin(shift["Patient ID"])
        pure = known[~touched]
        names = pure["Patient ID"].unique().tolist()
        assert len(names) > count
        held = pure["Patient ID"].isin(drawn(names, count))
        mixed = known[touched & (known[f"{feature}_id"] == "True")]
        assert list(found[f"{feature}-shift"].ids) == ("lidc/" + shift["filepath"]).tolist()
        assert list(found[f"{feature}-test"].ids) == ("lidc/" + pd.concat([mixed, pure[held]])["filepath"]).tolist()
        assert list(found[f"{feature}-train"].ids) == ("lidc/" + pure["filepath"][~held]).tolist()


# ---- LATEC


@pytest.mark.parametrize("name", ["modelnet40", "shapenet"])
def test_shapes_are_normalised_as_latec_does(tmp_path: Path, name: str) -> None:
    corners = [[20, 0, 0], [77, 0, 0], [20, 40, 0], [20, 0, -14]]
    if name == "shapenet":
        root = "shapenetcore_partanno_segmentation_benchmark_v0_normal"
        write(tmp_path / root / "02691156/a.txt", "\n".join(f"{x} {y} {z} 0 0 1 2" for x, y, z in corners))
        write(tmp_path / root / "train_test_split/shuffled_test_file_list.json", json.dumps(["shape_data/02691156/a"]))
    else:
        lines = ["OFF4 2 0", *(" ".join(map(str, each)) for each in corners), "3 0 1 2", "3 0 1 3"]
        write(tmp_path / "ModelNet40/chair/test/chair_1.off", "\n".join(lines))
    samples = open_part(find_dataset(name), "test", tmp_path)
    points = samples.read([0])[0]
    centred = np.array(corners, dtype=np.float64) - np.mean(corners, axis=0)
    extent = np.abs(centred).max()
    assert points.shape == (1024, 3)
    assert np.abs(points).max() <= 0.999999 + 1e-7
    if name == "shapenet":  # vertices, drawn with replacement
        expected = {tuple(np.round(row, 5)) for row in centred * 0.999999 / extent}
        assert {tuple(np.round(row.astype(np.float64), 5)) for row in points} == expected


def test_oct_is_squashed_then_cropped() -> None:
    """torchvision: Resize((256, 256)), CenterCrop(224), three equal channels, [0, 1]."""
    scan = pixels(496, 768)
    form = find_dataset("oct2017").spec.products[0].form
    squashed = np.asarray(Image.fromarray(scan).resize((256, 256), Image.Resampling.BILINEAR))
    expected = squashed[16:240, 16:240].astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(shaped(scan, form), np.stack([expected] * 3))  # type: ignore[arg-type]
    colour = np.repeat(scan[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(shaped(colour, form), np.stack([expected] * 3))  # type: ignore[arg-type]


def test_imagenet_is_resized_by_four_neighbours() -> None:
    """torchvision before 0.17 resized tensors without antialiasing: each value lies between four neighbours."""
    image = pixels(300, 451, 3)
    form = find_dataset("imagenet-val").spec.products[0].form
    found = shaped(image, form)  # type: ignore[arg-type]
    height, width = 256, int(256 * 451 / 300)
    top, left = round((height - 224) / 2), round((width - 224) / 2)
    ys = np.clip((np.arange(height) + 0.5) * 300 / height - 0.5, 0, None)[top : top + 224]
    xs = np.clip((np.arange(width) + 0.5) * 451 / width - 0.5, 0, None)[left : left + 224]
    y0, x0 = ys.astype(int), xs.astype(int)
    y1, x1 = np.minimum(y0 + 1, 299), np.minimum(x0 + 1, 450)
    wy, wx = (ys - y0)[:, None, None], (xs - x0)[None, :, None]
    pixel = image.astype(np.float64)
    expected = (pixel[y0][:, x0] * (1 - wx) + pixel[y0][:, x1] * wx) * (1 - wy)
    expected += (pixel[y1][:, x0] * (1 - wx) + pixel[y1][:, x1] * wx) * wy
    expected = (expected / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(found, np.moveaxis(expected, -1, 0), atol=2e-4)  # its places are float32


# ---- archives that replaced others


def test_svhn_in_its_authors_files(tmp_path: Path) -> None:
    from scipy.io import savemat

    images = {split: pixels(32, 32, 3, count) for split, count in (("train", 25), ("test", 12))}
    for split, array in images.items():
        labels = np.arange(1, array.shape[3] + 1, dtype=np.uint8)[:, None] % 10
        labels[labels == 0] = 10
        savemat(tmp_path / f"{split}_32x32.mat", {"X": array, "y": labels}, do_compression=True)
    samples = open_part(find_dataset("svhn"), "test", tmp_path)
    assert samples.labels.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2]
    for row, image in zip([9, 2, 9], samples.read([9, 2, 9]), strict=True):
        np.testing.assert_array_equal(image, images["test"][..., row])
    savemat(tmp_path / "test_32x32.mat", {"X": images["test"][..., :5], "y": np.ones((12, 1), np.uint8)})
    with pytest.raises(IntegrityError, match=r"X is uint8 \(32, 32, 3, 5\)"):
        open_part(find_dataset("svhn"), "test", tmp_path).read([0])
    savemat(tmp_path / "test_32x32.mat", {"X": images["test"]})
    with pytest.raises(UsageError, match=r"no variable in .* is called 'y'"):
        open_part(find_dataset("svhn"), "test", tmp_path)
    write(tmp_path / "test_32x32.mat", b"<html>gone</html>")
    with pytest.raises(IntegrityError, match=r"no readable MATLAB file"):
        open_part(find_dataset("svhn"), "test", tmp_path)


def grey_jpeg(side: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels(side, side)).save(stream, "JPEG")
    return stream.getvalue()


def test_tiny_imagenet_in_its_authors_archive(tmp_path: Path) -> None:
    root, lines = tmp_path / "tiny-imagenet-200", []
    for name in ("n01443537", "n01629819"):
        write(root / f"train/{name}/images/{name}_0.JPEG", png(pixels(64, 64, 3)))
        write(root / f"train/{name}/{name}_boxes.txt", "x")
    for number in range(3):
        lines.append(f"val_{number}.JPEG\t{['n01629819', 'n01443537'][number % 2]}\t0\t0\t63\t63")
        write(root / f"val/images/val_{number}.JPEG", grey_jpeg(64) if number else png(pixels(64, 64, 3)))
    write(root / "test/images/test_0.JPEG", b"")
    write(root / "val/val_annotations.txt", "\n".join(lines) + "\n")
    manifest = find_dataset("tiny-imagenet")
    valid = open_part(manifest, "valid", tmp_path)
    assert valid.labels.tolist() == [1, 0, 1]
    assert {image.shape for image in valid.read([0, 1, 2])} == {(64, 64, 3)}
    assert open_part(manifest, "train", tmp_path).labels.tolist() == [0, 1]
    write(root / "val/val_annotations.txt", "\n".join(lines[:2]))
    with pytest.raises(IntegrityError, match=r"does not say the class of .*val_2\.JPEG \(1 such\)"):
        open_part(manifest, "valid", tmp_path)


def test_resisc45_in_an_archive(tmp_path: Path) -> None:
    for name in ("airplane", "beach"):
        write(tmp_path / f"NWPU-RESISC45/{name}/{name}_001.jpg", grey_jpeg(16))
    assert open_part(find_dataset("resisc45"), "all", tmp_path).labels.tolist() == [0, 1]
