"""Budget curves as the entries of a board hold them, and who beats whom along them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from harness.metrics.budget_curve import mean_penalty, pairwise_penalty
from harness.tracks.leaderboard import Entry

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

CURVES, FOREGROUND, BUDGETS, EFFICIENCY = "_curves.", "_foreground.", "_budgets.", "_efficiency."
"""Arrays of an entry by study, beside its columns: performance (seeds, loops) and annotated share of the foreground
(seeds, loops) with seeds in ascending order, annotated patches or images (loops,), and efficiency (1,)."""
PERFORMANCE = {"dice": "mean Dice", "accuracy": "accuracy", "balanced-accuracy": "balanced accuracy"}

IMAGES, PATCHES, SHARE = "annotated images", "annotated patches", "annotated share of the foreground"
"""What a curve can be drawn over."""


@dataclass(frozen=True)
class Curves:
    """One method on one study. budget (loops,), performance and share (seeds, loops); share is None for images."""

    budget: np.ndarray
    performance: np.ndarray
    share: np.ndarray | None = None

    def axes(self) -> dict[str, np.ndarray]:
        """What the curve can be drawn over: (seeds, loops) by name."""
        import numpy as np

        budget = np.broadcast_to(self.budget, self.performance.shape)
        return {IMAGES: budget} if self.share is None else {PATCHES: budget, SHARE: self.share}


def curves_of(entries: Sequence[Entry]) -> dict[str, dict[str, Curves]]:
    """method -> study -> curves."""
    found: dict[str, dict[str, Curves]] = {}
    for each in entries:
        for name in (key.removeprefix(CURVES) for key in each.arrays if key.startswith(CURVES)):
            own = [each.arrays.get(kind + name) for kind in (BUDGETS, CURVES, FOREGROUND)]
            if own[0] is not None and own[1] is not None:
                found.setdefault(each.method.name, {})[name] = Curves(own[0], own[1], own[2])
    return found


def penalties(entries: Sequence[Entry], correction: Literal["holm"] | None = None) -> pd.DataFrame:
    """Share of budgets at which the row's method is significantly better than the column's, mean over studies.

    Of the methods that have all curves, references included; see `harness.metrics.budget_curve.pairwise_penalty`.
    ValueError for less than two seeds and for no curves.
    """
    frame = curve_table(entries)
    return mean_penalty(
        pairwise_penalty(of, budget="loop", value="performance", correction=correction)
        for _, of in frame.groupby("study", sort=True)
    )


def curve_table(entries: Sequence[Entry]) -> pd.DataFrame:
    """Curves of all entries that have the curves of every study, one row per method, study, seed and loop.

    Columns: method, study, seed (counted from 0), loop, performance.
    """
    import numpy as np
    import pandas as pd

    studies = {name for each in entries for name in each.arrays if name.startswith(CURVES)}
    columns = ["method", "study", "seed", "loop", "performance"]
    tables = [pd.DataFrame(columns=columns)] if not studies else []
    for each in entries:
        for name in sorted(studies) if studies <= set(each.arrays) else []:
            values = each.arrays[name]
            seed, loop = np.indices(values.shape)
            where = {"method": each.method.name, "study": name.removeprefix(CURVES)}
            rows = {"seed": seed.ravel(), "loop": loop.ravel(), "performance": values.ravel()}
            tables.append(pd.DataFrame({**where, **rows}, columns=columns))
    return pd.concat(tables, ignore_index=True)
