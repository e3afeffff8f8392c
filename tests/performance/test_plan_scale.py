"""What a million units are measured by, on two thousand."""

from __future__ import annotations

import pytest

from harness.execution.past import expected
from harness.storage import content_id
from tests.performance.plan_scale import PROTOCOLS, left, request, write_journal

UNITS = 2000


@pytest.mark.parametrize("name", PROTOCOLS)
def test_what_a_journal_holds_is_not_left(tmp_path, name):
    asked = request(tmp_path, PROTOCOLS[name](UNITS))
    before, every = left_of_nothing(asked)
    count = len(before.plan.units)
    assert count >= UNITS
    assert list(every) == list(before.plan.units)
    done = write_journal(before)
    after, rest = left(asked)
    assert after.plan.id == before.plan.id
    assert list(rest) == list(before.plan.units)[done:]
    assert all(content_id(unit.canonical()) == key for key, unit in rest.items())
    # A unit of which the answers are gone is left again, in its place; one that a journal does not know stays.
    keys = list(before.plan.units)
    for key in (keys[0], keys[done - 1]):
        next((before.plan.folder / "outputs").glob(f"{key[:16]}*")).unlink()
    assert list(left(asked)[1]) == [keys[0], *keys[done - 1 :]]
    told = expected(after.plan)
    assert (told.journals, told.known + told.unknown, told.memory) == (1, count, 3.25)


def left_of_nothing(asked):
    from harness.execution.evaluate import prepare

    prepare(asked).plan.folder.mkdir(parents=True)
    return left(asked)
