"""What a method is asked says nothing but what it is to explain, and a map rests on its sample alone."""

import numpy as np
import pytest

from harness.data.catalog import load_protocol
from harness.execution.plan import PlanRequest, open_track, plan_units
from harness.methods.client import MethodError
from harness.methods.discovery import find_method
from tests.methods.support import InProcess, write
from tests.tracks.attribution.support import BENCHMARK, GRADIENT, SAMPLES, answer, write_benchmark

TWO_SETS = BENCHMARK + (
    BENCHMARK[BENCHMARK.index("[[source.sets]]") : BENCHMARK.index("[[metrics]]")].replace(
        'id = "test"', 'id = "shifted"\nseed = 1'
    )
    + BENCHMARK[BENCHMARK.index("[[studies]]") :]
    .replace('id = "test"', 'id = "shifted"')
    .replace('samples = "test"', 'samples = "shifted"')
)


def explained(body: str, declared: str = "") -> str:
    """A method's source; `CALLS` is how often it was asked before."""
    return (
        "import torch\nfrom harness import explainer\n\nCALLS = []\n\n"
        f'@explainer(version="1.0"{declared})\ndef mine(model, inputs, targets):\n    CALLS.append(len(inputs))\n    {body}\n'
    )


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ("return inputs * torch.arange(1, len(inputs) + 1).reshape(-1, 1, 1, 1)", "on the order of the samples"),
        ("return inputs - inputs.flip(0)", "on the other samples of its batch"),
        ("return inputs - inputs.mean()", "on the other samples of its batch, or on how many they are"),
        ("return inputs * len(inputs)", "on the other samples of its batch, or on how many they are"),
        ("return inputs * targets.float().std(unbiased=False)", "on the other samples of its batch"),
        ("return inputs * len(CALLS)", "on what it was asked before, or on numbers that it draws"),
        ("return inputs + torch.rand(inputs.shape)", "on what it was asked before, or on numbers that it draws"),
    ],
)
def test_a_map_that_rests_on_more_than_its_sample_is_refused(tmp_path, body, cause):
    with pytest.raises(MethodError) as raised:
        answer(tmp_path, explained(body))
    assert raised.value.status == "invalid"
    assert cause in raised.value.reason


def test_what_metrics_ask_for_is_checked_too(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.tracks.attribution.conversation._OFTEN", 1.0)
    # Honest about the samples themselves, whose grey values are whole; what metrics ask about is perturbed.
    body = "near = ((inputs * 255).round() - inputs * 255).abs().max() > 1e-2\n    return inputs * (len(inputs) if near else 1)"
    with pytest.raises(MethodError, match="on how many they are"):
        answer(tmp_path, explained(body))


def test_a_sample_at_a_fork_of_the_network_is_no_fault(tmp_path):
    # Rounding may turn the map of single samples around; here that of class 0, a third of all, in every small batch.
    answer(
        tmp_path, explained("return inputs * (1 - 2.0 * ((targets == 0) & (len(targets) < 4)))[:, None, None, None]")
    )


class Listening(InProcess):
    """A client that writes down what was asked."""

    def __init__(self, target, folder):
        super().__init__(target, folder)
        self.asked = []

    def call(self, verb, arrays, **rest):
        if verb == "explain":
            self.asked.append(arrays["inputs"].copy())
        return super().call(verb, arrays, **rest)


def asked(folder, source, shuffle, text=TWO_SETS):
    target = str(write(folder, source))
    protocol = load_protocol(write_benchmark(folder, text))
    client = Listening(target, folder)
    track = open_track(protocol, find_method(target).spec, "cpu", shuffle)
    units = list(plan_units(protocol, track, client.spec, PlanRequest(folder)).values())
    return track, client, {unit.study: track.ask(unit, client) for unit in units}


def rows_of(samples, batches):
    """Which of the samples (n, ...) were asked in these batches, in order."""
    return [
        next(i for i, each in enumerate(samples) if np.array_equal(each, one)) for batch in batches for one in batch
    ]


def test_all_sets_of_a_network_come_in_one_shuffled_stream_that_changes_no_number(tmp_path):
    track, client, first = asked(tmp_path, GRADIENT_SOURCE, shuffle=0)
    samples = np.concatenate([track.source.samples(name).inputs for name in ("test", "shifted")])
    batches = -(-2 * SAMPLES // 4)  # of four
    order = rows_of(samples, client.asked[:batches])
    # Both sets hold the same images: each comes twice, and never in the order of a file.
    assert sorted(order) == sorted([*rows_of(samples, [samples])])
    assert order != sorted(order)
    assert order[:SAMPLES] != [*range(SAMPLES)]
    _, other, second = asked(tmp_path, GRADIENT_SOURCE, shuffle=7)
    assert rows_of(samples, other.asked[:batches]) != order, "a reproduction asks in an order of its own"
    for study, outputs in first.items():
        for name, values in outputs.items():
            np.testing.assert_allclose(second[study][name], values, rtol=1e-5, atol=1e-6)


def test_sets_with_other_backgrounds_are_apart(tmp_path):
    text = TWO_SETS.replace('seed = 1\nmodality = "image"', 'seed = 1\nbackground_count = 2\nmodality = "image"')
    track, client, outputs = asked(tmp_path, GRADIENT_SOURCE, 0, text)
    assert set(outputs) == {"test", "shifted"}
    samples = track.source.samples("test").inputs
    assert sorted(rows_of(samples, client.asked[: -(-SAMPLES // 4)])) == [*range(SAMPLES)]


def test_a_stochastic_method_keeps_its_batches_whatever_the_order(tmp_path):
    source = explained("return inputs + torch.rand(inputs.shape)", ", stochastic=True")
    track, client, first = asked(tmp_path, source, shuffle=0)
    samples = track.source.samples("test").inputs
    assert rows_of(samples, client.asked[: -(-SAMPLES // 4)]) == [*range(SAMPLES)]
    _, _, second = asked(tmp_path, source, shuffle=7)
    for study, outputs in first.items():
        for name, values in outputs.items():
            np.testing.assert_array_equal(second[study][name], values)


GRADIENT_SOURCE = "from harness import explainer\n" + GRADIENT
