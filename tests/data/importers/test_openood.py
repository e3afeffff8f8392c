"""OpenOOD's leaderboards: `88.03 ± 0.25`."""

import re

import numpy as np
import pytest

from harness.spec.errors import UsageError
from harness.storage import IntegrityError
from harness.tracks.importers import import_results

HEADER = "Training,Postprocessor,Near-OOD_AUROC,Far-OOD_AUROC,ID_Accuracy,Outlier_Data,Arch,Additional_Description\n"
ROWS = (
    "CrossEntropy,MSP,88.03 ± 0.25,90.73 ± 0.43,95.06 ± 0.30,No,ResNet18,100 epochs\n"
    "CIDER,KNN,90.71 ± 0.16,94.71 ± 0.36,/,No,ResNet18,100 epochs\n"
    "CrossEntropy,MSP,76.02,85.23,76.18,No,ResNet50,torchvision ckpt\n"
)


def write(folder, text, name="cifar10.csv"):
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def read(path):
    return import_results("openood", path)


def test_cells_become_values_and_deviations(tmp_path):
    table = read(write(tmp_path, HEADER + ROWS)).frame
    assert len(table) == 9
    assert set(table["board"]) == {"cifar10"}
    cells = table.set_index(["training", "method", "network", "column"])
    assert cells.loc[("CrossEntropy", "MSP", "ResNet18", "Near-OOD_AUROC"), ["value", "std"]].tolist() == [88.03, 0.25]
    assert cells.loc[("CrossEntropy", "MSP", "ResNet50", "ID_Accuracy"), "value"] == 76.18
    assert np.isnan(cells.loc[("CrossEntropy", "MSP", "ResNet50", "ID_Accuracy"), "std"])
    none = cells.loc[("CIDER", "KNN", "ResNet18", "ID_Accuracy")]
    assert (none["status"], np.isnan(none["value"])) == ("missing", True)


def test_columns_of_false_positives_are_better_when_lower(tmp_path):
    text = "Training,Postprocessor,Near-OOD_FPR95\nCrossEntropy,MSP,48.17 ± 3.92\n"
    assert read(write(tmp_path, text)).frame["direction"].tolist() == ["lower"]


def test_a_byte_order_mark_and_windows_line_ends(tmp_path):
    path = tmp_path / "imagenet1k_ood.csv"
    path.write_bytes(("\ufeff" + HEADER + ROWS).replace("\n", "\r\n").encode())
    assert len(read(path).frame) == 9


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (HEADER + ROWS.replace("88.03", "188.03"), "line 2, column Near-OOD_AUROC: 188.03 is no Near-OOD_AUROC"),
        (HEADER + ROWS.replace("85.23", "n. a."), "line 4, column Far-OOD_AUROC: 'n. a.' is no value"),
        (HEADER + ROWS.replace("88.03 ± 0.25", "88.03 ± -0.25"), "is no value, such as 88.03 ± 0.25"),
        (HEADER + ROWS + ROWS, "holds two rows of one id: board cifar10, training CrossEntropy, method MSP"),
        (ROWS, "has no column 'Training'; its first line must be the header"),
        ("Training,Postprocessor,Arch\na,b,c\n", "has no column of a metric"),
    ],
)
def test_hostile_and_damaged_tables(tmp_path, text, sentence):
    with pytest.raises(IntegrityError, match=re.escape(sentence)):
        read(write(tmp_path, text))


def test_a_header_alone(tmp_path):
    with pytest.raises(UsageError, match="holds no rows of OpenOOD leaderboard"):
        read(write(tmp_path, HEADER))
