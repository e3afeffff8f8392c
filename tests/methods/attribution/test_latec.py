"""Maps of LATEC's own code, on the same networks, inputs and draws."""

import numpy as np
import pytest
import torch

from harness.methods.baselines.attribution import lime_latec, occlusion
from harness.methods.baselines.attribution._operations import trace
from harness.methods.baselines.attribution._relprop import transformer_relevance
from harness.methods.baselines.attribution.expected_gradients_latec import Draws, mean_of_positive

from .latec import case, oracle
from .nets import network, samples, surroundings
from .support import METHODS, applies, explain

# Of each method that LATEC has, the one here that is its reading.
READINGS = {
    "occlusion": "occlusion",
    "saliency": "saliency",
    "inputxgradient": "input-x-gradient",
    "guidedbackprop": "guided-backprop",
    "gradcam": "grad-cam-latec",
    "gradcamplusplus": "grad-cam-plus-plus-latec",
    "scorecam": "score-cam-latec",
    "integratedgradients": "integrated-gradients",
    "expectedgradients": "expected-gradients-latec",
    "deeplift": "deep-lift-latec",
    "deepliftshap": "deep-lift-shap-latec",
    "lrp": "lrp-latec",
}
NETWORKS = ("image_cnn", "volume_cnn", "point_cloud_cnn", "image_vit", "volume_vit")
EVERY = [
    (name, method)
    for name in NETWORKS
    for method in oracle()["networks"][name]["methods"]
    if method in READINGS and method != "expectedgradients"  # whose draws are given to it below
]
TOLERANCE = 1e-5  # of the largest number of a map
ROUNDING = {"cnn": 1e-4, "vit": 3e-4}  # the same of LRP, which divides by numbers near 0: see below


@pytest.fixture(autouse=True)
def one_thread():
    pytest.importorskip("captum")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def assert_latecs(maps, expected, tolerance=TOLERANCE):
    found = maps.clamp(min=0).expand(expected.shape).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * expected.max())


@pytest.mark.parametrize("name", NETWORKS)
def test_the_networks_are_those_of_the_oracle(name):
    given = case(name)
    with torch.no_grad():
        torch.testing.assert_close(given.model(given.inputs), given.logits, rtol=0, atol=1e-5)


def test_every_method_of_the_oracle_has_its_reading():
    named = {method for about in oracle()["networks"].values() for method in about["methods"]}
    assert named == set(READINGS)
    assert set(READINGS.values()) <= set(METHODS)


@pytest.mark.parametrize(("name", "method"), EVERY)
def test_maps_are_those_of_latec(name, method, monkeypatch):
    given = case(name)
    if method == "occlusion":  # windows of the oracle's small inputs, in place of those for LATEC's
        constants = oracle()["networks"][name]["methods"][method]["constants"]
        monkeypatch.setattr(occlusion, "scaled", lambda length, side, context: length)
        for table, key in (("WINDOW", "sliding_window_shapes"), ("STRIDE", "strides")):
            sizes = {"image": constants[key], "volume": constants[key], "point-cloud": 1}
            monkeypatch.setattr(occlusion, table, sizes)
    maps = explain(READINGS[method], given.model, given.inputs, given.targets, given.context)
    rounding = ROUNDING[name.rpartition("_")[2]] if method == "lrp" else TOLERANCE
    assert_latecs(maps, given.maps[method], rounding)


@pytest.mark.parametrize("name", ["image_vit", "volume_vit"])
def test_relevance_in_transformers_is_latecs_up_to_rounding(name):
    """LATEC's maps are of single precision, in which inputs that differ in their last digits have maps that are further
    apart than 1e-5. Without the shares of positions and the rules for pixels and voxels, maps are far away."""
    given = case(name)
    expected = torch.from_numpy(given.maps["lrp"])

    def distance(maps, others):
        return float((maps.expand(expected.shape) - others.expand(expected.shape)).abs().max() / expected.max())

    def in_single_precision(inputs):
        found = [
            trace(given.model, *one, whole_norms=True)
            for one in zip(inputs.split(1), given.targets.split(1), strict=True)
        ]
        relevance = torch.cat([transformer_relevance(each, latec=True)[0] for each in found])
        return relevance.sum(dim=1, keepdim=True).relu()

    by_rounding = distance(in_single_precision(given.inputs), in_single_precision(given.inputs * (1 + 2**-22)))
    assert by_rounding > 1e-5
    assert distance(explain("lrp-latec", given.model, given.inputs, given.targets, given.context), expected) < 3e-4
    assert distance(explain("lrp", given.model, given.inputs, given.targets, given.context), expected) > 3e-2


@pytest.mark.parametrize("name", NETWORKS)
def test_expected_gradients_are_those_of_latec_with_its_draws(name):
    given = case(name)
    index, coefficient, noise = (given.draws[part] for part in ("index", "coefficient", "noise"))
    maps = []
    for row in range(len(given.inputs)):
        own = slice(10 * row, 10 * row + 10)
        draws = Draws(index[own].long(), coefficient[own], noise[own])
        one = slice(row, row + 1)
        background = given.context.background
        maps.append(mean_of_positive(given.model, given.inputs[one], given.targets[one], background, draws))
    assert_latecs(torch.cat(maps), given.maps["expectedgradients"])


def test_draws_of_expected_gradients_are_latecs(monkeypatch):
    """40 of them: rows of the background, places that are uniform on the way, noise with a deviation of .001."""
    from harness.methods.baselines.attribution import expected_gradients_latec as module

    given, seen = case("image_cnn"), []
    monkeypatch.setattr(module, "mean_of_positive", lambda m, one, t, b, draws: seen.append(draws) or one)
    explain("expected-gradients-latec", given.model, given.inputs, given.targets, given.context)
    assert len(seen) == len(given.inputs)
    draws = seen[0]
    assert draws.noise.shape == (40, 3, 16, 16)
    assert float(draws.noise.std()) == pytest.approx(0.001, rel=0.02)  # of 30,720 numbers
    assert set(draws.rows.tolist()) == set(range(len(given.context.background)))
    assert 0 <= float(draws.places.min()) < 0.2
    assert 0.8 < float(draws.places.max()) < 1
    assert all(torch.equal(each.noise, draws.noise) for each in seen[1:])  # of the seed, whatever the company


@pytest.mark.parametrize("method", ["expected-gradients", "deep-lift-shap"])
def test_what_is_clamped_before_the_mean_differs_from_what_is_clamped_after(method):
    given = case("image_cnn")
    asked = (given.model, given.inputs, given.targets, given.context)
    clean, latec = explain(method, *asked), explain(f"{method}-latec", *asked)
    assert (clean < 0).any()
    assert (latec >= 0).all()
    assert latec.sum() > 1.1 * clean.clamp(min=0).sum()


@pytest.mark.parametrize("method", ["grad-cam", "grad-cam-plus-plus", "score-cam"])
def test_the_clean_maps_of_volumes_are_interpolated_and_latecs_are_blocks(method):
    given = case("volume_cnn")
    asked = (given.model, given.inputs, given.targets, given.context)
    clean, latec = explain(method, *asked), explain(f"{method}-latec", *asked)
    blocks = latec.view(4, 2, 4, 2, 4, 2, 4)  # a grid of 2 x 2 x 2 over 8 voxels a side
    assert torch.equal(blocks.amax(dim=(2, 4, 6)), blocks.amin(dim=(2, 4, 6)))
    assert len(clean[0].unique()) > 8


def test_cams_of_images_are_interpolated_in_both_readings():
    given = case("image_cnn")
    asked = (given.model, given.inputs, given.targets, given.context)
    for method in ("grad-cam", "grad-cam-plus-plus"):
        torch.testing.assert_close(explain(method, *asked), explain(f"{method}-latec", *asked), rtol=0, atol=1e-5)


def descended(presence, values, weights, steps=100, rate=0.01, patience=10, threshold=1e-4):
    """Coefficients that gradient descent on a weighted lasso with penalty 1 reaches from 0.

    The rate is halved, and descent ends, as the mean loss of the last 10 steps stops falling.
    """
    weights = weights / weights.sum()
    beta, constant = np.zeros(presence.shape[1]), 0.0
    losses, least, best, worse, stale = [], None, np.inf, 0, 0
    for _ in range(steps):
        residual = presence @ beta + constant - values
        losses.append((weights * residual**2).sum() / 2 + abs(beta).sum())
        mean = np.mean(losses[-10:])
        if least is not None:
            close = abs(mean - least) <= threshold + 1e-5 * abs(mean)
            stale = stale + 1 if mean > least or close else 0
            if stale >= patience:
                break
        least = mean if least is None else min(least, mean)
        beta = beta - rate * (presence.T @ (weights * residual) + np.sign(beta))
        constant -= rate * (weights * residual).sum()
        if mean < best * (1 - threshold):
            best, worse = mean, 0
        else:
            worse += 1
        if worse > patience:
            rate, worse = rate / 2, 0
    return beta


@pytest.mark.parametrize("modality", ["image", "volume"])
def test_lime_descends_on_a_lasso(modality):
    """Against descent in numpy, on coalitions that are drawn as captum draws them."""
    model, anatomy = network(modality, "cnn")
    inputs, targets = samples(modality, count=2)
    context = surroundings(model, modality, "cnn", anatomy, seed=5)
    maps = explain("lime-latec", model, inputs, targets, context)
    mask = lime_latec.blocks(inputs, context)
    features = int(mask.max()) + 1
    torch.manual_seed(5)
    presence = torch.cat([torch.bernoulli(torch.full((1, features), 0.5)) for _ in range(10)])
    for one, target, found in zip(inputs, targets, maps, strict=True):
        kept = one * presence[:, mask[0, 0]][:, None]
        with torch.no_grad():
            values = model(kept)[:, target].double().numpy()
        cosine = torch.nn.functional.cosine_similarity(kept.flatten(1), one.flatten()[None])
        weights = np.exp(-((1 - cosine.double().numpy()) ** 2) / 2)
        beta = descended(presence.double().numpy(), values, weights)
        expected = np.broadcast_to(beta[mask[0, 0].numpy()], found.shape)
        np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-5 * abs(beta).max())
        assert (beta != 0).all()


def test_lime_of_points_is_a_ridge_with_the_default_penalty():
    from sklearn.linear_model import Ridge

    model, anatomy = network("point-cloud", "cnn")
    inputs, targets = samples("point-cloud", count=1)
    context = surroundings(model, "point-cloud", "cnn", anatomy, seed=5)
    found = explain("lime-latec", model, inputs, targets, context)[0].flatten()
    torch.manual_seed(5)
    presence = torch.cat([torch.bernoulli(torch.full((1, inputs[0].numel()), 0.5)) for _ in range(10)])
    kept = inputs * presence.view(10, *inputs.shape[1:])
    with torch.no_grad():
        values = model(kept)[:, targets[0]].numpy()
    cosine = torch.nn.functional.cosine_similarity(kept.flatten(1), inputs.flatten()[None])
    weights = np.exp(-((1 - cosine.double().numpy()) ** 2) / 2)
    expected = Ridge(alpha=1.0).fit(presence.numpy(), values, sample_weight=weights).coef_
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-5 * abs(expected).max())


def test_where_latecs_methods_apply():
    cams = {"grad-cam-latec", "grad-cam-plus-plus-latec", "score-cam-latec"}
    for name in (each for each in READINGS.values() if each.endswith("-latec")):
        assert applies(name, "point-cloud", "cnn") == (name not in cams)
        assert applies(name, "volume", "transformer")
