"""Ranks as LATEC's notebook computes them."""

from __future__ import annotations

import pandas as pd
import pytest

from harness.statistics import criterion_ranks, metric_ranks
from tests.oracles import oracle

_PUBLISHED = oracle("criteria_ranks")


def long_table(case):
    meta = _PUBLISHED["meta"]
    rows = []
    for data, models in enumerate(case["scores"]):
        for model, methods in enumerate(models):
            for place, method in enumerate(case["methods"]):
                for k, metric in enumerate(meta["metrics"]):
                    exempt = place >= len(methods)  # attention methods on models without attention
                    direction = "higher" if metric in meta["higher_is_better"] else "lower"
                    head = (method, data, model, metric, meta["criteria"][k], direction)
                    values = [None] if exempt else methods[place][k]
                    status = "not-applicable" if exempt else "ok"
                    rows += [(*head, f"{data}/{o}", value, status) for o, value in enumerate(values)]
    names = "method data model metric criterion direction observation value status"
    return pd.DataFrame(rows, columns=names.split())


@pytest.mark.parametrize("case", _PUBLISHED["cases"], ids=lambda case: case["modality"])
def test_metric_ranks_and_criteria(case):
    frame = long_table(case)
    ranks = metric_ranks(frame, cell=["data", "model"]).set_index(["method", "metric"])["rank"]
    for method, published in case["metric_ranks"].items():
        assert [ranks[method, metric] for metric in _PUBLISHED["meta"]["metrics"]] == published
    table = criterion_ranks(frame, cell=["data", "model"], replicates=20).set_index(["criterion", "method"])
    for criterion, methods in case["criteria_mean_and_spread"].items():
        for method, published in methods.items():
            found = table.loc[(criterion, method), ["mean_rank", "rank_spread"]].tolist()
            assert found == pytest.approx(published, abs=1e-9)
    assert len(table) == sum(map(len, case["criteria_mean_and_spread"].values()))
