"""FD-Shifts: what a network said of each sample, and the tables of its analysis.

Jaeger et al. 2023, "A Call to Reflect on Evaluation Practices for Failure Detection in Image Classification"; Traub et
al. 2024, "Overcoming Common Flaws in the Evaluation of Selective Classification Systems".
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.data.fdshifts import read_fdshifts
from harness.data.importers.base import Imported, Measured, TableColumn, long_table, refuse_pickle
from harness.data.importers.fdshifts_metrics import ANALYSIS, read_analysis
from harness.spec.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_SAMPLE = (
    TableColumn("dataset_idx", "number of the set of samples, 0 for validation", "integer"),
    TableColumn("sample", "position among the samples of that set", "integer"),
    TableColumn("label", "true class; below 0 where it is none of the network's", "integer"),
    TableColumn("prediction", "class of the highest logit or probability", "integer"),
)


def read_fdshifts_results(path: Path, measures: Mapping[str, Measured], options: Mapping[str, str]) -> Imported:
    """A folder of inference results, sample by sample; or analysis tables: `analysis_metrics_*.csv`, those of one data set
    in one file, such as `svhn.csv`, or a folder of either.

    measures: the harness's metrics by id. options: `logits` ("yes") adds the logits or probabilities of each class.
    Raises UsageError for what is neither, IntegrityError for damaged files and values that a metric cannot have.
    """
    refuse_pickle(path)
    if path.suffix == ".csv":
        return read_analysis([path], path, measures)
    if not path.is_dir():
        raise UsageError(f"{path} is neither a folder of FD-Shifts nor a file {ANALYSIS}.")
    tables = sorted(path.glob(ANALYSIS))
    roots = (path, path / "test_results")
    if any((root / name).is_file() for root in roots for name in ("raw_logits.npz", "raw_output.npz")):
        note = [f"{len(tables)} analysis tables lie beside the outputs; name them to import them"] if tables else []
        return _samples(path, options.get("logits") == "yes", note)
    tables = tables or sorted(path.glob("*.csv"))
    if not tables:
        raise UsageError(f"{path} holds neither raw_logits.npz nor raw_output.npz nor a table, such as {ANALYSIS}.")
    return read_analysis(tables, path, measures)


def _samples(path: Path, logits: bool, notes: list[str]) -> Imported:
    import pandas as pd

    folder = read_fdshifts(path)
    tables = [_set_table(index, folder.sets[index], folder.labels[index], logits) for index in sorted(folder.sets)]
    rows = pd.concat(tables, ignore_index=True)
    added = [TableColumn(name, _meaning(name), "real") for name in rows.columns[4:]]
    return long_table("FD-Shifts outputs", (*_SAMPLE, *added), ("dataset_idx", "sample"), rows, path, notes)


def _set_table(index: int, arrays: Mapping[str, np.ndarray], labels: np.ndarray, logits: bool) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    kind = "logits" if "logits" in arrays else "probabilities"
    columns: dict[str, Any] = {
        "dataset_idx": index,
        "sample": np.arange(len(labels)),
        "label": labels,
        "prediction": arrays[kind].argmax(axis=1),
    }
    if "head_confidence" in arrays:
        columns["head_confidence"] = arrays["head_confidence"].astype(np.float64)
    if "mc_head_confidence" in arrays:
        columns["mc_head_confidence"] = arrays["mc_head_confidence"].mean(axis=0, dtype=np.float64)
    if logits:
        for each, values in enumerate(arrays[kind].T):
            columns[f"{kind}_{each}"] = values.astype(np.float64)
    return pd.DataFrame(columns)


def _meaning(name: str) -> str:
    if name == "head_confidence":
        return "confidence of the trained head, higher = more confident"
    if name == "mc_head_confidence":
        return "the same, mean over Monte-Carlo dropout"
    kind, _, each = name.rpartition("_")
    return f"{kind} of class {each}"
