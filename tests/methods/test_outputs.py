"""What a method is given: tensors in float64, a clear refusal of what is not there, never a label."""

import numpy as np
import pytest
import torch

from harness.methods.outputs import LabelledOutputs, NotOfferedError, Outputs, Reference

LOGITS = np.array([[2.0, 0.0, -1.0], [0.0, 1.0, 0.5]], dtype=np.float32)


def test_probabilities_follow_from_logits():
    outputs = Outputs({"logits": LOGITS, "mc_logits": np.stack([LOGITS, LOGITS * 2])})
    exponentials = np.exp(LOGITS.astype(np.float64))
    expected = exponentials / exponentials.sum(1, keepdims=True)
    np.testing.assert_allclose(outputs.probabilities, expected)
    np.testing.assert_allclose(outputs.log_probabilities, np.log(expected))
    np.testing.assert_allclose(outputs.mc_probabilities[0], expected)
    np.testing.assert_allclose(outputs.mc_probabilities[1], expected**2 / (expected**2).sum(1, keepdims=True))
    assert all(name in outputs for name in ("probabilities", "log_probabilities", "mc_probabilities"))
    assert {outputs.logits.dtype, outputs.probabilities.dtype, outputs.mc_logits.dtype} == {torch.float64}


def test_logarithms_are_exact_where_logits_are_known():
    outputs = Outputs({"logits": np.array([[1000.0, 0.0]])})
    np.testing.assert_array_equal(outputs.log_probabilities, [[0.0, -1000.0]])


def test_stored_probabilities_have_finite_logarithms_and_no_logits():
    outputs = Outputs({"probabilities": np.array([[1.0, 0.0]], dtype=np.float16)})
    assert torch.isfinite(outputs.log_probabilities).all()
    assert "log_probabilities" in outputs
    assert "logits" not in outputs
    instead = "only probabilities; a method may take outputs.probabilities or outputs.log_probabilities"
    with pytest.raises(NotOfferedError, match=f"this model does not offer logits, {instead}"):
        _ = outputs.logits
    with pytest.raises(NotOfferedError, match=r"this model does not offer mc_logits$"):
        _ = outputs.mc_logits


@pytest.mark.parametrize(
    "name", ["features", "mc_logits", "mc_probabilities", "head_confidence", "mc_head_confidence", "weight", "bias"]
)
def test_what_is_not_there_is_refused_and_can_be_asked_for(name):
    outputs = Outputs({"logits": LOGITS})
    assert name not in outputs
    with pytest.raises(NotOfferedError, match=name):
        getattr(outputs, name)


def test_images_and_network_come_only_where_declared():
    outputs = Outputs({"logits": LOGITS})
    assert "inputs" not in outputs
    assert "model" not in outputs
    with pytest.raises(NotOfferedError, match=r'needs=\("inputs",\)'):
        _ = outputs.inputs
    with pytest.raises(NotOfferedError, match=r'needs=\("model",\)'):
        _ = outputs.model
    images = np.zeros((2, 1, 4, 4), dtype=np.float32)
    network = torch.nn.Identity()
    given = Outputs({"logits": LOGITS, "inputs": images}, model=network)
    assert given.model is network
    assert given.inputs.dtype == torch.float32, "as the network takes them"


def test_the_last_layer_is_shared_by_all_sets():
    shared = {"weight": np.ones((3, 2), np.float32), "bias": np.zeros(3, np.float32)}
    outputs = Outputs({"logits": LOGITS}, shared)
    assert (outputs.weight.shape, outputs.bias.dtype) == ((3, 2), torch.float64)
    assert "weight" in outputs


def test_the_number_of_samples():
    assert len(Outputs({"mc_logits": np.zeros((5, 2, 3)), "logits": LOGITS})) == 2
    assert len(Outputs({"mc_probabilities": np.zeros((5, 2, 3)), "probabilities": LOGITS})) == 2
    assert len(LabelledOutputs({"features": np.zeros((7, 2)), "labels": np.zeros(7)})) == 7


def test_labels_are_only_in_what_may_be_learnt_from():
    with pytest.raises(AttributeError, match="outputs have no labels"):
        _ = Outputs({"logits": LOGITS, "labels": np.zeros(2)}).labels
    labels = LabelledOutputs({"logits": LOGITS, "labels": np.array([2, 0], dtype=np.int32)}).labels
    assert (labels.dtype, labels.tolist()) == (torch.int64, [2, 0])


def test_a_part_that_the_benchmark_does_not_have():
    reference = Reference({"validation": LabelledOutputs({"logits": LOGITS})})
    assert "validation" in reference
    assert "train" not in reference
    assert len(reference.validation) == 2
    with pytest.raises(NotOfferedError, match="train outputs are not offered by this benchmark"):
        _ = reference.train


def test_a_reservation_is_there_where_the_network_has_one():
    shared = {"reservation_weight": np.ones((1, 2), dtype=np.float32), "reservation_bias": np.zeros(1)}
    outputs = Outputs({"logits": LOGITS}, shared)
    assert "reservation_weight" in outputs
    assert outputs.reservation_weight.shape == (1, 2)
    assert outputs.reservation_bias.dtype == torch.float64
    with pytest.raises(NotOfferedError, match="this model does not offer reservation_weight"):
        _ = Outputs({"logits": LOGITS}).reservation_weight
