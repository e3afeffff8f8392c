"""What `harness check` says of metrics of attribution maps, good and bad."""

from __future__ import annotations

import textwrap

import pytest

from harness.methods.discovery import baseline_names, find_method
from harness.methods.metric_conformance import check_attribution_metric
from harness.spec.errors import UsageError
from tests.methods.support import InProcess, write

DECLARED = 'version="1.0", higher_is_better=True, criterion="faithfulness", modalities=("image",)'


def metric(body: str, declared: str = DECLARED) -> str:
    lines = textwrap.indent(textwrap.dedent(body).strip(), "    ")
    return (
        f"import torch\nfrom harness import attribution_metric\nCALLS = []\n\n@attribution_metric({declared})\n"
        f"def mine(model, inputs, targets, maps):\n{lines}\n"
    )


def checks(folder, source):
    return list(check_attribution_metric(InProcess(write(folder, source), folder)))


def test_a_metric_that_keeps_its_contract_passes_all(tmp_path):
    found = checks(tmp_path, metric("return (maps * inputs).flatten(1).sum(1)"))
    assert [check.passed for check in found] == [True] * 5
    assert "images, transformer" in found[1].name
    assert "one by one and in another order" in found[-1].name


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("return maps", "it returned shape"),
        ("return torch.zeros(len(maps))", "the same score to all"),
        ("CALLS.append(0)\nreturn maps.flatten(1).sum(1) + len(CALLS)", "second answer under the same seed differs"),
        ("sums = maps.flatten(1).sum(1)\nreturn sums - sums.mean()", "the answer for one map at a time differs"),
        ("return maps.flatten(1).sum(1) + torch.arange(len(maps))", "the answer for one map at a time differs"),
        ("raise RuntimeError('broken')", "RuntimeError: broken"),
        ("model.requires_grad_(True).train()\nreturn maps.flatten(1).sum(1)", "training mode"),
    ],
)
def test_the_first_problem_ends_the_checks(tmp_path, body, problem):
    found = checks(tmp_path, metric(body))
    assert problem in found[-1].problem
    assert all(check.passed for check in found[:-1])


def test_drawing_for_whole_batches_must_be_declared(tmp_path):
    body = "return maps.flatten(1).sum(1) + torch.randn(len(maps))"
    assert not checks(tmp_path, metric(body))[-1].passed
    assert all(check.passed for check in checks(tmp_path, metric(body, f"{DECLARED}, stochastic=True")))


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ('version="1.0", higher_is_better=True', "criterion: it is missing; add it"),
        ('version="1.0", criterion="faithfulness"', "higher_is_better: it is missing; add it"),
        ('version="1.0", higher_is_better=True, criterion="beauty"', "criterion: it must be 'faithfulness'"),
        ('version="1.0", higher_is_better=True, criterion="faithfulness", direction="up"', "direction"),
        (f"{DECLARED}, reference=True", "`oracle` and `reference` are for the harness's own rows"),
    ],
)
def test_a_wrong_declaration_is_a_sentence(tmp_path, declared, message):
    with pytest.raises(UsageError, match=message):
        find_method(str(write(tmp_path, metric("return maps", declared))))


def test_a_class_needs_score(tmp_path):
    source = f"from harness import attribution_metric\n\n@attribution_metric({DECLARED})\nclass Mine:\n    pass\n"
    with pytest.raises(UsageError, match=r"no method `score\(self, model, inputs, targets, maps, context\)`"):
        find_method(str(write(tmp_path, source)))


@pytest.mark.parametrize("name", ["deletion", "deletion-latec", "sparseness", "random-score", "map-norm"])
def test_baselines_keep_the_contract(tmp_path, name):
    assert all(check.passed for check in check_attribution_metric(InProcess(name, tmp_path)))


@pytest.mark.slow
@pytest.mark.parametrize("name", baseline_names("attribution-metric"))
def test_every_baseline_keeps_the_contract(tmp_path, name):
    assert all(check.passed for check in check_attribution_metric(InProcess(name, tmp_path)))
