"""Methods that cannot be applied are told so before anything is fetched, computed or promised."""

from __future__ import annotations

import json

import pytest

from harness.cli.plan import render_plan
from harness.execution.applicability import refuse_where_none_applies
from harness.execution.evaluate import Request, evaluate, inapplicable, prepare
from harness.spec.errors import UsageError

pytestmark = pytest.mark.usefixtures("in_this_process")

FD_SHIFTS = ["knn-fd-shifts", "mahalanobis-fd-shifts", "vim-fd-shifts", "react-mls-fd-shifts"]


@pytest.fixture(autouse=True)
def nothing_here(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))


def prepared(method, benchmark, tmp_path):
    return prepare(Request(str(method), benchmark, out=tmp_path / "runs"))


def own(tmp_path, body, arguments=""):
    path = tmp_path / "own.py"
    path.write_text(f'import harness\n\n@harness.confidence_score(version="1"{arguments})\n{body}')
    return path


@pytest.mark.parametrize("method", FD_SHIFTS)
def test_without_training_outputs_a_method_that_learns_from_them_is_refused(method, tmp_path, capsys):
    found = prepared(method, "confidence-fdshifts@1", tmp_path)
    assert len(found.plan.units) == 372
    with pytest.raises(UsageError) as refused:
        render_plan(found, as_json=False)
    assert str(refused.value) == (
        f"{method} cannot be applied in any of the 372 units of confidence-fdshifts@1: train outputs are not offered by "
        "this benchmark. `harness list` shows other benchmarks."
    )
    assert capsys.readouterr().out == "", "no hours are promised"


def test_the_run_is_refused_like_the_plan(tmp_path):
    with pytest.raises(UsageError, match="cannot be applied in any of the 372 units of confidence-fdshifts@1"):
        evaluate(Request("knn-fd-shifts", "confidence-fdshifts@1", out=tmp_path / "runs"))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("method", FD_SHIFTS)
def test_with_training_outputs_the_same_method_applies_everywhere(method, tmp_path):
    assert inapplicable(prepared(method, "confidence-fdshifts@3", tmp_path)) == {}


def test_units_that_do_not_apply_are_listed_with_their_reason(tmp_path, capsys):
    found = prepared("temperature-mls", "confidence-fdshifts@3", tmp_path)
    reasons = inapplicable(found)
    studies = {found.plan.units[key].study for key in reasons}
    assert studies == {f"{name}-open-set{vit}" for name in ("svhn", "animals") for vit in ("", "-vit")}
    render_plan(found, as_json=True)
    assert json.loads(capsys.readouterr().out)["units_inapplicable"] == reasons
    render_plan(found, as_json=False)
    said = " ".join(capsys.readouterr().out.split())
    assert f"{len(reasons)} of these units will end as not applicable and cost nothing: validation outputs" in said


def test_what_a_method_learns_from_is_counted_and_nothing_else(tmp_path):
    """A training set costs only who asks for it: the wish is found by trying the method, not by what it declares."""

    def images(method):
        found = prepared(method, "confidence-fdshifts@3", tmp_path)
        units = list(found.plan.units.values())
        inapplicable(found)
        assert found.track.learns_from is not None
        return found.track.learns_from, found.track.estimate(units).hours

    asks = own(
        tmp_path,
        "class Asks:\n    def fit(self, reference):\n        self.known = 'train' in reference and len(reference.train)\n"
        "    def score(self, outputs):\n        return outputs.logits.amax(dim=1)\n",
    )
    plain, learning = images("mls"), images(asks)
    assert plain[0] == frozenset()
    assert learning[0] == {"train"}
    assert learning[1] > 1.5 * plain[1]


@pytest.mark.parametrize(
    ("body", "arguments", "reason"),
    [
        (
            "def f(outputs):\n    return outputs.inputs.mean(dim=(1, 2, 3))\n",
            ', needs=("inputs",)',
            "images of released",
        ),
        (
            "def f(outputs):\n    return outputs.model(outputs.inputs)[:, 0]\n",
            ', needs=("model",)',
            "are not handed to a",
        ),
        ("def f(outputs):\n    return outputs.mc_logits[0, :, 0]\n", "", "this model does not offer mc_logits"),
        ("def f(outputs):\n    return outputs.head_confidence\n", "", None),
        ("def f(outputs):\n    return outputs.head_confidence + outputs.weight.sum()\n", ', head="devries"', None),
        ("def f(outputs):\n    return outputs.mc_head_confidence[0]\n", ', needs=("members",), head="devries"', None),
        ("def f(outputs):\n    raise ValueError\n", "", None),  # which the check says, before and better
    ],
)
def test_a_method_of_ones_own_is_tried_on_what_there_is(body, arguments, reason, tmp_path):
    found = prepared(own(tmp_path, body, arguments), "confidence-fdshifts@1", tmp_path)
    reasons = inapplicable(found)
    if reason is None:
        assert reasons == {}
        return
    with pytest.raises(UsageError, match=reason):
        refuse_where_none_applies(found.track, found.plan, reasons)


def test_networks_that_the_method_is_not_asked_about_are_named(tmp_path, capsys):
    found = prepared("confidnet", "confidence-fdshifts@3", tmp_path)
    assert {unit.study for unit in found.plan.units.values() if "vit" in unit.study} == set()
    render_plan(found, as_json=False)
    said = " ".join(capsys.readouterr().out.split())
    assert "is not asked about the networks of svhn-vit, cifar10-vit" in said
    assert "none of which has the head 'confidnet'" in said


def test_where_everything_is_offered_the_method_is_not_even_started(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.execution.evaluate.MethodProcess", lambda *_: pytest.fail("the method was started"))
    assert inapplicable(prepared("knn", "confidence-mnist", tmp_path)) == {}


STRATEGY = """import harness

@harness.query_strategy(version="1", tasks=("segmentation",))
def own(probabilities):
    return -probabilities.mean(dim=0).amax(dim=0)
"""
EXPLAINER = """import harness

@harness.explainer(version="1", modalities=("volume",), architectures=("cnn",))
def own(model, inputs, targets):
    return inputs
"""
MAP_METRIC = """import harness

@harness.attribution_metric(version="1", higher_is_better=True, criterion="complexity", modalities=("volume",), architectures=("transformer",))
def own(maps):
    return maps.flatten(1).amax(dim=1)
"""


@pytest.mark.parametrize(
    ("source", "benchmark", "reason"),
    [
        (STRATEGY, "query-mnist", "it is declared for segmentation, not for classification"),
        (MAP_METRIC, "meta-mnist", "it is declared for .*, not for .*; it is declared for transformer, not for cnn"),
    ],
)
def test_every_kind_refuses_by_what_is_declared(source, benchmark, reason, tmp_path):
    (tmp_path / "own.py").write_text(source)
    found = prepared(tmp_path / "own.py", benchmark, tmp_path)
    with pytest.raises(UsageError, match=f"own cannot be applied in any of the .*: {reason}"):
        refuse_where_none_applies(found.track, found.plan, inapplicable(found, rehearse=False))


def test_an_explainer_is_told_of_the_networks_that_it_is_not_made_for(tmp_path):
    (tmp_path / "own.py").write_text(EXPLAINER)
    found = prepared(tmp_path / "own.py", "attribution-mnist", tmp_path)
    reasons = inapplicable(found)
    kinds = {model.id: (model.modality, model.architecture) for model in found.protocol.benchmark.source.models}
    applies = {key for key, unit in found.plan.units.items() if kinds[unit.model] == ("volume", "cnn")}
    assert set(reasons) == set(found.plan.units) - applies
    assert "it is declared for cnn, not for transformer" in reasons.values()
    assert applies


def test_a_reason_in_some_units_is_no_reason_against_the_others(tmp_path):
    found = prepared("grad-cam", "attribution-latec", tmp_path)
    reasons = inapplicable(found)
    assert 0 < len(reasons) < len(found.plan.units)
    assert set(reasons.values()) == {"it is declared for image, volume, not for point-cloud"}
    refuse_where_none_applies(found.track, found.plan, reasons)
