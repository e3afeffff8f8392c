"""The campaign engine: order of the loops, resuming at every file, and what a bad answer costs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.data.scratch import offers_scratch, private_scratch
from harness.methods.client import MethodError
from harness.storage import IntegrityError
from harness.tracks.query import campaign as engine
from harness.tracks.query.campaign import Campaign, run_campaign

from .learners import NearestMean, least_confident

FOUR_LOOPS = Campaign(loops=4, query=4)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))


def silent(what, share):
    pass


def run(folder, learner=None, ask=least_confident, report=silent):
    return run_campaign(FOUR_LOOPS, learner or NearestMean(), ask, folder, report)


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_outputs_are_what_a_plain_loop_gives(tmp_path):
    learner, picks = NearestMean(), []
    predictions, labels = [], []
    for loop in range(4):
        if loop == 0:
            picks.append(learner.start())
        else:
            (tmp_path / "pool").mkdir(exist_ok=True)
            offer = learner.offer(loop - 1, weights, picks, tmp_path / "pool", oracle=False)  # noqa: F821
            picks.append(learner.parse(least_confident(loop - 1, offer), picks, 4))
        weights = [learner.train(loop, k, picks, silent) for k in range(2)]
        predictions.append(learner.evaluate(loop, weights, picks)["predictions"])
        labels.append(learner.effort(picks)["labels"])
    outputs = run(tmp_path / "campaign")
    assert [outputs[f"picks.{loop}"].tolist() for loop in range(4)] == [each.tolist() for each in picks]
    assert np.array_equal(outputs["evaluation.predictions"], predictions)
    assert np.array_equal(outputs["effort.labels"], labels)
    assert outputs["effort.images"].tolist() == [3, 7, 11, 15]


def test_networks_are_trained_once_and_forgotten(tmp_path):
    learner = NearestMean()
    run(tmp_path / "campaign", learner)
    assert learner.trained == [(loop, k) for loop in range(4) for k in range(2)]
    assert not list((tmp_path / "campaign").rglob("network_*.npz"))
    assert len(list((tmp_path / "campaign").glob("loop_*.json"))) == 4


def test_campaigns_of_one_seed_share_the_networks_of_their_start(tmp_path):
    first, second, other = NearestMean(), NearestMean(), NearestMean(seed=1)
    run(tmp_path / "first", first)
    outputs = run(tmp_path / "second", second)
    run(tmp_path / "other", other)
    assert min(second.trained) == (1, 0)
    assert min(other.trained) == (0, 0)
    assert same(outputs, run(tmp_path / "first"))


class StopError(Exception):
    """Stands for a kill."""


WRITERS = ("write_arrays", "write_json")


@pytest.mark.parametrize("kept", range(17))
def test_a_campaign_that_ends_before_any_file_is_taken_up_there(tmp_path, monkeypatch, kept):
    whole = run(tmp_path / "whole")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "another"))
    written, originals = [], {name: getattr(engine, name) for name in WRITERS}

    def stopping(name):
        def write(path, *rest, **options):
            if len(written) == kept:
                raise StopError
            written.append(path)
            originals[name](path, *rest, **options)

        return write

    for name in WRITERS:
        monkeypatch.setattr(engine, name, stopping(name))
    learner = NearestMean()
    try:
        run(tmp_path / "campaign", learner)
        ended = True
    except StopError:
        ended = False
    assert ended == (kept >= 16)  # four loops of picks, evaluation and two networks
    monkeypatch.undo()
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "another"))
    assert same(run(tmp_path / "campaign", learner), whole)
    assert len(learner.trained) - 8 <= 1, "more than the network under way was lost"
    assert not list((tmp_path / "campaign").rglob("network_*.npz"))


def test_a_finished_campaign_is_not_asked_again(tmp_path):
    run(tmp_path / "campaign")

    def never(loop, offer):
        raise AssertionError("asked again")

    learner = NearestMean()
    run(tmp_path / "campaign", learner, never)
    assert learner.trained == []


def test_a_damaged_network_is_trained_again(tmp_path):
    whole = run(tmp_path / "whole")
    for path in (tmp_path / "cache" / "networks").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    learner = NearestMean()
    assert same(run(tmp_path / "campaign", learner), whole)
    assert learner.trained[:2] == [(0, 0), (0, 1)]


def test_damaged_picks_stop_the_campaign(tmp_path):
    run(tmp_path / "campaign")
    (tmp_path / "campaign" / "picks_002.json").write_text('{"picks": [[1')
    with pytest.raises(IntegrityError, match=r"picks_002\.json"):
        run(tmp_path / "campaign")


def test_an_invalid_query_says_which_and_keeps_what_was_done(tmp_path):
    def twice(loop, offer):
        return least_confident(loop, offer) if loop == 0 else np.zeros((4, 1), dtype=int)

    learner = NearestMean()
    with pytest.raises(MethodError, match=r"query 2 of 3: 1 different images, the budget is 4\.") as caught:
        run(tmp_path / "campaign", learner, twice)
    assert caught.value.status == "invalid"
    assert same(run(tmp_path / "campaign", learner), run(tmp_path / "whole"))
    assert learner.trained == [(loop, k) for loop in range(4) for k in range(2)]


def test_a_strategy_that_fails_says_in_which_query(tmp_path):
    def gives_up(loop, offer):
        if loop == 2:
            raise MethodError("failed", "ValueError: no idea")
        return least_confident(loop, offer)

    with pytest.raises(MethodError, match=r"^query 3 of 3: ValueError: no idea$") as caught:
        run(tmp_path / "campaign", ask=gives_up)
    assert caught.value.status == "failed"


def test_reports_rise_from_the_first_loop_to_the_last(tmp_path):
    said = []
    run(tmp_path / "campaign", report=lambda what, share: said.append((what, share)))
    shares = [share for _, share in said]
    assert shares == sorted(shares)
    assert 0 <= shares[0] < 0.05
    assert 0.9 < shares[-1] < 1
    assert said[0][0] == "loop 1 of 4: training, network 1 of 2"
    assert ("loop 2 of 4: training, network 2 of 2, half way", (1 + 0.9 * 0.75) / 4) in said


def test_the_pool_is_gone_when_the_strategy_has_answered(tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    run(tmp_path / "campaign")
    assert not list((tmp_path / "temporary").glob("*/*"))


def test_what_an_oracle_is_offered_lies_where_no_method_can_read_it(tmp_path, monkeypatch):
    """It tells all labels."""
    asked = []

    def ask(loop, offer):
        asked.append(Path(offer.meta["folder"]).parent)
        return least_confident(loop, offer)

    for oracle in (False, True):
        run_campaign(Campaign(loops=2, query=4, oracle=oracle), NearestMean(), ask, tmp_path / str(oracle), silent)
    assert asked == [offers_scratch(), private_scratch()]


def test_sentences_about_a_strategy_have_the_names_of_the_data_set_too(tmp_path):
    class Named(NearestMean):
        def offer(self, *arguments, **options):
            return replace(super().offer(*arguments, **options), names={"image-0003": "liver"})

    def gives_up(loop, offer):
        raise MethodError("failed", "ValueError: image 'image-0003' is dark")

    with pytest.raises(MethodError, match=r"^query 1 of 3: ValueError: image 'image-0003' \(liver\) is dark$"):
        run(tmp_path / "campaign", Named(), gives_up)
