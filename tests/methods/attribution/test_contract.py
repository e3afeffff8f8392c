"""What every method must do on every kind of network that it declares."""

import copy
import sys

import numpy as np
import pytest
import torch

from harness.methods.discovery import baseline_names, find_method
from harness.methods.outputs import NotOfferedError

from .nets import KINDS, network, samples, surroundings
from .support import METHODS, applies, declared, explain

NAMES = {
    *("occlusion", "lime", "kernel-shap", "saliency", "input-x-gradient", "guided-backprop"),
    *("grad-cam", "score-cam", "grad-cam-plus-plus", "integrated-gradients", "expected-gradients"),
    *(
        "deep-lift",
        "deep-lift-shap",
        "lrp",
        "lrp-latec",
        "raw-attention",
        "attention-rollout",
        "attention-rollout-latec",
    ),
    *("attention-lrp", "smooth-grad", "var-grad"),
    *("grad-cam-latec", "grad-cam-plus-plus-latec", "score-cam-latec", "expected-gradients-latec"),
    *("deep-lift-latec", "deep-lift-shap-latec", "lime-latec"),
}
REFERENCES = {"random-map", "constant-map", "edge-map", "randomised-saliency"}
EVERY = [(name, *kind) for name in METHODS for kind in KINDS if applies(name, *kind)]
NEEDS_CAPTUM = {
    *("occlusion", "lime", "kernel-shap"),
    *("deep-lift-latec", "deep-lift-shap-latec", "lime-latec"),
}
VERSIONS = dict.fromkeys(["deep-lift", "deep-lift-shap", "guided-backprop", "lrp"], "2.0")  # follow operations
pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def captum_installed(request):
    name = request.node.callspec.params.get("name") if hasattr(request.node, "callspec") else None
    if name in NEEDS_CAPTUM:
        pytest.importorskip("captum")


def test_all_are_found_with_summary_and_declaration():
    assert set(METHODS) == set(baseline_names("attribution")) == NAMES | REFERENCES
    for name in METHODS:
        spec = find_method(name).spec
        assert spec.summary.endswith(".")
        assert spec.version == VERSIONS.get(name, "1.0")
        assert spec.reference == (name in REFERENCES)
        assert spec.citation or spec.reference


def test_only_what_draws_at_random_is_stochastic():
    stochastic = {"lime", "kernel-shap", "expected-gradients", "smooth-grad", "var-grad", "random-map"}
    stochastic |= {"lime-latec", "expected-gradients-latec"}
    assert {name for name in METHODS if declared(name)["stochastic"]} == stochastic


@pytest.mark.parametrize(
    ("modality", "architecture", "count"),
    [
        ("image", "cnn", 14),
        ("volume", "cnn", 14),
        ("point-cloud", "cnn", 11),
        ("image", "transformer", 17),
        ("volume", "transformer", 17),
        ("point-cloud", "transformer", 14),
    ],
)
def test_as_many_methods_apply_as_in_the_published_study(modality, architecture, count):
    ours = {"smooth-grad", "var-grad", *REFERENCES, *(name for name in METHODS if name.endswith("-latec"))}
    assert sum(applies(name, modality, architecture) for name in set(METHODS) - ours) == count


@pytest.mark.parametrize(("name", "modality", "architecture"), EVERY)
def test_a_map_belongs_to_its_sample_and_the_model_is_left_alone(name, modality, architecture):
    original, anatomy = network(modality, architecture)
    original.requires_grad_(False)
    inputs, targets = samples(modality)

    def ask(rows, seed=3):
        model = copy.deepcopy(original)
        given = inputs[rows].clone()
        context = surroundings(model, modality, architecture, anatomy, seed=seed)
        maps = explain(name, model, given, targets[rows], context)
        assert torch.equal(given, inputs[rows])
        assert not given.requires_grad
        assert_untouched(model, original)
        return maps

    state, numpy_state = torch.get_rng_state(), np.random.get_state()
    maps = ask([0, 1, 2, 3])
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_equal(np.random.get_state(), numpy_state)
    assert maps.shape in (inputs.shape, (4, 1, *inputs.shape[2:]))
    assert maps.dtype == torch.float32
    assert not maps.requires_grad
    assert maps.isfinite().all()
    apart = torch.cat([ask([3]), ask([1, 0]), ask([2])])[[2, 1, 3, 0]]
    largest = maps.abs().flatten(1).amax(dim=1)
    assert ((apart - maps).abs().flatten(1).amax(dim=1) <= 1e-5 * largest).all()
    assert torch.equal(ask([0, 1, 2, 3]), maps)
    assert torch.equal(ask([0, 1, 2, 3], seed=4), maps) != declared(name)["stochastic"]
    if name != "constant-map":
        assert (maps.flatten(1).amax(dim=1) > maps.flatten(1).amin(dim=1)).all()


def assert_untouched(model, original):
    for (key, value), before in zip(model.state_dict().items(), original.state_dict().values(), strict=True):
        assert torch.equal(value, before), key
    for module, before in zip(model.modules(), original.modules(), strict=True):
        assert not module.training
        for hooks in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"):
            assert not getattr(module, hooks)
        assert set(vars(module)) == set(vars(before))
    assert not any(weight.requires_grad or weight.grad is not None for weight in model.parameters())


@pytest.mark.parametrize("name", ["saliency", "attention-lrp", "lrp", "grad-cam", "integrated-gradients"])
def test_weights_may_require_gradients(name):
    model, anatomy = network("image", "transformer")
    frozen = copy.deepcopy(model).requires_grad_(False)
    inputs, targets = samples("image")
    maps = [
        explain(name, each, inputs, targets, surroundings(each, "image", "transformer", anatomy))
        for each in (model, frozen)
    ]
    assert torch.equal(*maps)
    assert all(weight.requires_grad and weight.grad is None for weight in model.parameters())


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        ("grad-cam", "cnn"),
        ("grad-cam-plus-plus", "cnn"),
        ("score-cam", "cnn"),
        ("grad-cam-latec", "cnn"),
        ("score-cam-latec", "cnn"),
        ("raw-attention", "transformer"),
        ("attention-rollout", "transformer"),
        ("attention-rollout-latec", "transformer"),
        ("attention-lrp", "transformer"),
        ("expected-gradients", "cnn"),
        ("expected-gradients-latec", "cnn"),
        ("deep-lift-shap", "cnn"),
        ("deep-lift-shap-latec", "transformer"),
    ],
)
def test_what_a_model_does_not_offer_is_not_applicable(name, architecture):
    model, _ = network("image", architecture)
    with pytest.raises(NotOfferedError):
        explain(name, model, *samples("image"), surroundings(model, "image", architecture, background=None))


@pytest.mark.parametrize("name", sorted(NEEDS_CAPTUM))
def test_without_captum_a_sentence_says_what_to_install(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    model, _ = network("image", "cnn")
    with pytest.raises(ImportError, match=r"needs captum; install it with: pip install 'reliabench\[attribution\]'"):
        explain(name, model, *samples("image"))


@pytest.mark.parametrize("name", sorted((NAMES | REFERENCES) - NEEDS_CAPTUM))
def test_all_others_need_no_captum(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "captum", None)
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    model, anatomy = network("image", "transformer")
    maps = explain(name, model, *samples("image"), surroundings(model, "image", "transformer", anatomy))
    assert maps.isfinite().all()
