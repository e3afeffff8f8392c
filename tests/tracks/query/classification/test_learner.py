"""The learner under the campaign: what it trains, offers, takes, and never gives away."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from harness.data.catalog import cache_folder, load_protocol
from harness.methods.client import MethodError
from harness.spec.errors import UsageError
from harness.storage import read_arrays, write_arrays
from harness.tracks.query.campaign import Campaign, run_campaign
from tests.tracks.query.classification.support import learner_of, unheard, write_benchmark
from tests.tracks.query.classification.test_training import PRETRAINING, same

ALL = ("members", "features", "inputs", "names")
PINNED = 'splits = { path = "parts.json" }'


def trained(learner, loop=0, picks=None):
    picks = picks or [learner.start()]
    return learner.train(loop, 0, picks, unheard), picks


def offered(learner, folder, loop=0, picks=None, weights=None):
    if weights is None:
        weights, picks = trained(learner, loop, picks)
    folder.mkdir()
    offer = learner.offer(loop, [weights], picks, folder, oracle=False)
    return offer, {path.stem: np.load(path, allow_pickle=False) for path in folder.iterdir()}, picks


def random_answer(loop, offer):
    count = np.load(f"{offer.meta['folder']}/probabilities.npy", allow_pickle=False).shape[2]
    return np.random.default_rng(loop).permutation(count)[:6, None]


def test_a_campaign_of_three_loops(tmp_path):
    learner = learner_of(write_benchmark(tmp_path))
    told = []
    folder = tmp_path / "campaign"
    outputs = run_campaign(Campaign(3, 6), learner, random_answer, folder, lambda what, share: told.append(share))
    picks = np.concatenate([outputs[f"picks.{loop}"] for loop in range(3)])
    assert picks.shape == (18, 1)
    assert len(np.unique(picks)) == 18
    assert outputs["evaluation.predictions"].shape == (3, 30)
    assert outputs["evaluation.predictions"].dtype == np.uint8
    assert outputs["effort.images"].tolist() == [6, 12, 18]
    assert outputs["effort.pool_images"].tolist() == [48] * 3
    targets = np.arange(60)[np.sort(np.random.default_rng([1, 0]).permutation(60)[12:])] % 3
    for loop in range(3):
        so_far = np.concatenate([outputs[f"picks.{each}"] for each in range(loop + 1)])[:, 0]
        np.testing.assert_array_equal(outputs["effort.labels"][loop], np.bincount(targets[so_far], minlength=3))
        assert json.loads((folder / f"loop_00{loop}.json").read_text()) == {
            "images": outputs[f"picks.{loop}"][:, 0].tolist()
        }
        summary = json.loads((folder / f"loop_00{loop}" / "summary.json").read_text())
        right = outputs["evaluation.predictions"][loop] == np.arange(30) % 3
        assert summary == {"accuracy": right.mean(), "balanced_accuracy": pytest.approx(right.mean())}
    assert told == sorted(told)
    assert 0 <= told[0] <= told[-1] <= 1
    fresh = learner_of(write_benchmark(tmp_path))
    again = run_campaign(Campaign(3, 6), fresh, random_answer, tmp_path / "again", unheard)
    assert same(outputs, again)


def test_a_campaign_goes_on_where_it_was_left(tmp_path):
    protocol = write_benchmark(tmp_path)
    whole = run_campaign(Campaign(3, 6), learner_of(protocol), random_answer, tmp_path / "whole", unheard)

    def killed(loop, offer):
        if loop == 1:
            raise KeyboardInterrupt
        return random_answer(loop, offer)

    with pytest.raises(KeyboardInterrupt):
        run_campaign(Campaign(3, 6), learner_of(protocol), killed, tmp_path / "parts", unheard)
    rest = run_campaign(Campaign(3, 6), learner_of(protocol), random_answer, tmp_path / "parts", unheard)
    assert same(whole, rest)


def test_an_invalid_answer_ends_the_campaign_with_a_sentence(tmp_path):
    learner = learner_of(write_benchmark(tmp_path))
    with pytest.raises(MethodError, match="query 1 of 2: it asks for image 0 more than once"):
        run_campaign(Campaign(3, 6), learner, lambda *_: np.zeros((6, 1), int), tmp_path / "c", unheard)


def test_what_is_offered(tmp_path):
    learner = learner_of(write_benchmark(tmp_path), needs=ALL)
    offer, arrays, picks = offered(learner, tmp_path / "pool")
    assert offer.meta == {"task": "classification", "classes": 3, "folder": str(tmp_path / "pool")}
    labelled, unlabelled = arrays["labelled_rows"], arrays["rows"]
    assert sorted(labelled) == sorted(picks[0][:, 0])
    assert sorted(unlabelled) == np.setdiff1d(np.arange(48), labelled).tolist()
    images = learner._images
    np.testing.assert_array_equal(arrays["inputs"], images.pool_inputs[unlabelled])
    np.testing.assert_array_equal(arrays["labelled_inputs"], images.pool_inputs[labelled])
    np.testing.assert_array_equal(arrays["labelled_targets"], images.pool_targets[labelled])
    assert arrays["labelled_targets"].dtype == arrays["rows"].dtype == arrays["labelled_rows"].dtype == np.int64
    assert arrays["probabilities"].shape == (4, 3, 42)
    np.testing.assert_allclose(arrays["probabilities"].sum(axis=1), 1, atol=1e-5)
    assert arrays["features"].shape == (42, 64)
    assert arrays["labelled_features"].shape == (6, 64)
    whole = {"labelled_targets", "rows", "labelled_rows"}
    assert {array.dtype for name, array in arrays.items() if name not in whole} == {np.dtype("float32")}


def test_only_what_is_needed_is_offered(tmp_path):
    learner = learner_of(write_benchmark(tmp_path), needs=())
    _, arrays, _ = offered(learner, tmp_path / "pool")
    assert set(arrays) == {"probabilities", "labelled_targets"}
    learner = learner_of(write_benchmark(tmp_path), needs=("features",))
    _, arrays, _ = offered(learner, tmp_path / "other")
    assert set(arrays) == {"probabilities", "labelled_targets", "features", "labelled_features"}


def test_features_are_what_the_head_sees(tmp_path):
    """Not the hidden units of a head with two layers, which realistic-al's core-set does not look at."""
    learner = learner_of(write_benchmark(tmp_path, training="head_layers = 2"), needs=ALL)
    weights, picks = trained(learner)
    _, arrays, _ = offered(learner, tmp_path / "pool", picks=picks, weights=weights)
    network = learner._trainer.rebuild(weights)
    for prefix in ("", "labelled_"):
        features, inputs = (torch.from_numpy(arrays[f"{prefix}{name}"]) for name in ("features", "inputs"))
        torch.testing.assert_close(features, network.encoder(inputs))
    hidden = (
        features @ torch.from_numpy(weights["head.0.weight"]).T + torch.from_numpy(weights["head.0.bias"])
    ).numpy()
    mean, variance = weights["head.1.running_mean"], weights["head.1.running_var"]
    hidden = (hidden - mean) / np.sqrt(variance + 1e-5) * weights["head.1.weight"] + weights["head.1.bias"]
    logits = hidden.clip(min=0) @ weights["head.3.weight"].T + weights["head.3.bias"]
    np.testing.assert_allclose(logits, network(inputs).numpy(), atol=1e-4)


def test_no_label_of_an_unlabelled_image_reaches_the_folder(tmp_path):
    """Other labels where none is bought: every offered byte, and every weight, is the same."""
    parts = {"pool": list(range(48)), "validation": list(range(48, 60))}
    (tmp_path / "parts.json").write_text(json.dumps(parts))
    starts = {"1": [0, 1, 2, 3, 4, 5]}
    (tmp_path / "starts.json").write_text(json.dumps(starts))
    study = 'starts = { path = "starts.json" }'
    picks = [np.arange(6)[:, None], np.array([[20], [11]])]
    seen = []
    for number in range(2):
        protocol = write_benchmark(tmp_path, dataset=PINNED, study=study)
        if number:
            arrays = read_arrays(tmp_path / "train.npz")
            hidden = np.setdiff1d(np.arange(48), np.concatenate(picks))
            arrays["labels"][hidden] = (arrays["labels"][hidden] + 1) % 3
            write_arrays(tmp_path / "train.npz", arrays)
        learner = learner_of(protocol, needs=ALL)
        offered(learner, tmp_path / f"pool-{number}", loop=1, picks=picks)
        files = {path.name: path.read_bytes() for path in (tmp_path / f"pool-{number}").iterdir()}
        seen.append((files, learner.train(1, 0, picks, unheard), learner.identity))
    assert seen[0][0] == seen[1][0]
    assert same(seen[0][1], seen[1][1])
    assert seen[0][2] != seen[1][2]


def test_members_are_the_same_on_every_call_and_others_in_another_loop(tmp_path):
    learner = learner_of(write_benchmark(tmp_path))
    weights, picks = trained(learner)
    first, again, later = (
        offered(learner, tmp_path / str(number), loop, picks, weights)[1]["probabilities"]
        for number, loop in enumerate((0, 0, 1))
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, later)
    assert first.std(axis=0).max() > 0.001


def test_a_committee_on_demand(tmp_path):
    protocol = write_benchmark(tmp_path, training='committee = "on-demand"')
    asked, plain = learner_of(protocol), learner_of(protocol, needs=("features",))
    assert asked.identity != plain.identity
    _, arrays, _ = offered(asked, tmp_path / "asked")
    assert arrays["probabilities"].shape == (4, 3, 42)
    weights, picks = trained(plain)
    _, arrays, _ = offered(plain, tmp_path / "plain", picks=picks, weights=weights)
    assert arrays["probabilities"].shape == (1, 3, 42)
    assert not same(weights, trained(asked)[0])


def test_evaluation_is_without_dropout(tmp_path):
    learner = learner_of(write_benchmark(tmp_path))
    weights, picks = trained(learner)
    found = learner.evaluate(0, [weights], picks)["predictions"]
    network = learner._trainer.rebuild(weights)
    logits = network(torch.from_numpy(learner._images.test_inputs)).numpy()
    np.testing.assert_array_equal(found, logits.argmax(axis=1))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (np.arange(5)[:, None], r"asks for 5 images in the shape \(5, 1\), not for 6"),
        (np.arange(12).reshape(6, 2), r"in the shape \(6, 2\)"),
        (np.arange(6), r"in the shape \(6,\)"),
        (np.array([0, 1, 2, 3, 4, 42])[:, None], "asks for image 42; the pool has images 0 to 41"),
        (np.array([0, 1, 2, 3, 4, -1])[:, None], "asks for image -1"),
        (np.array([0, 1, 2, 3, 7, 7])[:, None], "asks for image 7 more than once"),
    ],
)
def test_answers_that_are_no_query(tmp_path, answer, message):
    learner = learner_of(write_benchmark(tmp_path))
    with pytest.raises(ValueError, match=message):
        learner.parse(answer, [learner.start()], 6)


def test_an_answer_names_images_by_the_order_in_which_they_were_shown(tmp_path):
    """Whatever the order: what is bought is what was seen there."""
    learner = learner_of(write_benchmark(tmp_path), needs=("inputs",))
    labelled = np.array([[0], [2], [47], [46], [10], [11]])
    weights, _ = trained(learner)
    for loop, picks in enumerate(([labelled], [labelled, np.array([[5], [7]])])):
        _, arrays, _ = offered(learner, tmp_path / f"pool-{loop}", loop, picks, weights)
        count = len(arrays["inputs"])
        bought = learner.parse(np.arange(count)[:, None], picks, count)
        assert bought.dtype == np.int64
        assert np.intersect1d(bought, np.concatenate(picks)).size == 0
        np.testing.assert_array_equal(learner._images.pool_inputs[bought[:, 0]], arrays["inputs"])


def shown_rows(learner, loop, start=6):
    """Rows of the pool in the order in which a strategy sees those that are not labelled."""
    picks = [np.arange(start)[:, None], *(np.array([[start + each]]) for each in range(loop))]
    count = 48 - start - loop
    return learner.parse(np.arange(count)[:, None], picks, count)[:, 0].tolist()


def test_every_loop_and_seed_shows_another_order_and_the_same_again(tmp_path):
    protocol = write_benchmark(tmp_path, dataset=PINNED)
    parts = {"pool": list(range(48)), "validation": list(range(48, 60))}
    (tmp_path / "parts.json").write_text(json.dumps(parts))
    orders = [shown_rows(learner_of(protocol, seed), loop) for seed in (1, 2) for loop in range(3)]
    # The images that all of them show, in the order of each: no two alike, and none like the data set's.
    common = [[row for row in order if row >= 8] for order in [*orders, list(range(48))]]
    assert len({tuple(order) for order in common}) == 7
    assert all(sorted(order) == list(range(8, 48)) for order in common)
    assert orders == [shown_rows(learner_of(protocol, seed), loop) for seed in (1, 2) for loop in range(3)]
    fewer = learner_of(protocol, 1, needs=())
    assert shown_rows(fewer, 0) == orders[0], "the order depends on nothing that a strategy declares"


def test_other_images_come_in_another_order(tmp_path):
    """Who does not have the data cannot compute the order."""
    parts = {"pool": list(range(48)), "validation": list(range(48, 60))}
    (tmp_path / "parts.json").write_text(json.dumps(parts))
    one = shown_rows(learner_of(write_benchmark(tmp_path, dataset=PINNED)), 0)
    arrays = read_arrays(tmp_path / "train.npz")
    arrays["inputs"][0, 0, 0] += 1
    write_arrays(tmp_path / "train.npz", arrays)
    assert shown_rows(learner_of(load_protocol(tmp_path / "benchmark.toml")), 0) != one


def test_labelled_images_do_not_come_as_they_were_picked(tmp_path):
    learner = learner_of(write_benchmark(tmp_path), needs=("names",))
    weights, _ = trained(learner)
    picks = [np.arange(24)[:, None]]
    _, arrays, _ = offered(learner, tmp_path / "pool", 0, picks, weights)
    assert arrays["labelled_rows"].tolist() != list(range(24))
    np.testing.assert_array_equal(arrays["labelled_targets"], learner._images.pool_targets[arrays["labelled_rows"]])


def test_the_order_changes_no_number(tmp_path):
    """To the last bit: what is said of an image is what the network says of all of them in the data set's order."""
    from harness.tracks.query.classification.networks import dropout_masks
    from harness.tracks.query.classification.training import encoded

    learner = learner_of(write_benchmark(tmp_path), needs=ALL)
    _, arrays, picks = offered(learner, tmp_path / "pool")
    network = learner._trainer.rebuild(trained(learner)[0])
    left = np.setdiff1d(np.arange(48), picks[0])
    features = encoded(network, learner._images.pool_inputs[left], "cpu")
    said = network.committee(features, dropout_masks(4, network.width, 0.4, [1, 0])).numpy()
    places = np.searchsorted(left, arrays["rows"])
    assert np.array_equal(arrays["probabilities"], said[..., places])
    assert np.array_equal(arrays["features"], features.numpy()[places])


def test_more_labels_than_images(tmp_path):
    path = write_benchmark(tmp_path).path
    path.write_text(path.read_text().replace("query = 6", "query = 22"))
    with pytest.raises(UsageError, match="asks for 50 labels in 3 loops, but the pool of mine has 48 images"):
        learner_of(load_protocol(path))


def test_everything_can_be_bought(tmp_path):
    path = write_benchmark(tmp_path).path
    path.write_text(path.read_text().replace("query = 6", "query = 21"))
    learner = learner_of(load_protocol(path), needs=ALL)
    _, arrays, _ = offered(learner, tmp_path / "pool", loop=2, picks=[np.arange(48)[:, None]])
    assert arrays["probabilities"].shape == (4, 3, 0)
    assert arrays["features"].shape == (0, 64)


def test_batches_of_one(tmp_path):
    path = write_benchmark(tmp_path).path
    path.write_text(path.read_text().replace("batch_size = 8", "batch_size = 1"))
    with pytest.raises(UsageError, match="batch_size of 2 or more"):
        learner_of(load_protocol(path))


def test_the_encoder_is_trained_once_for_a_seed(tmp_path):
    protocol = write_benchmark(tmp_path, training=PRETRAINING.replace("epochs = 25", "epochs = 2"))
    learner, told = learner_of(protocol), []
    first = learner.train(0, 0, [learner.start()], lambda what, share: told.append((what, share)))
    assert [what for what, _ in told[:2]] == ["pre-training, epoch 1 of 2", "pre-training, epoch 2 of 2"]
    assert [share for _, share in told] == sorted(share for _, share in told)
    assert told[-1] == ("epoch 4 of 4", 1.0)
    assert len(list((cache_folder() / "encoders").glob("*.npz"))) == 1
    told.clear()
    again = learner_of(protocol).train(0, 0, [learner.start()], lambda what, share: told.append((what, share)))
    assert told[0][0] == "epoch 1 of 4"
    assert same(first, again)
    learner_of(protocol, seed=2).train(0, 0, [learner.start()], unheard)
    assert len(list((cache_folder() / "encoders").glob("*.npz"))) == 2


def test_identity_names_all_that_a_training_depends_on(tmp_path):
    def identity(seed=1, **changes):
        return learner_of(write_benchmark(tmp_path, **changes), seed).identity

    same_as_first = identity()
    others = [
        identity(seed=2),
        identity(rate=0.02),
        identity(study="validation = 5"),
        identity(performance="balanced-accuracy"),
        identity(dataset="scale = 254.0\nvalidation = 12"),
        identity(training="balanced_sampling = true"),
    ]
    assert identity() == same_as_first
    assert len({same_as_first, *others}) == 7
