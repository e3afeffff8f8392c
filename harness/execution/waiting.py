"""Which unit comes next: by model, and as memory allows. Pure: no threads, no clocks."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain

from harness.spec.run import Unit


@dataclass(frozen=True)
class Room:
    """What there is for unit processes on this machine.

    memory: GiB that all of them together may take, None for no limit. needs: GiB that a unit needs, by id, where that is
    known; a unit of which nothing is known counts as one that needs `unknown`. cards: a graphics processor's number for
    each process in turn, none where they use none. seconds: that a unit will take, by id, where that is known.
    """

    memory: float | None = None
    needs: Mapping[str, float] | None = None
    unknown: float = 1.0
    cards: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def together(self) -> int:
        """Of the units of which is known how long they take, how many fit at once, whichever they are."""
        largest = max([self.unknown, *(self.needs or {}).values()])
        return len(self.seconds) if self.memory is None else min(len(self.seconds), int(self.memory / largest))

    def need(self, key: str) -> float:
        return (self.needs or {}).get(key, self.unknown)


def in_turns(units: Mapping[str, Unit]) -> list[str]:
    """One unit of each model, then another one of each, and so on: where workers do not go on with a model, those that
    begin together would compute the same model's outputs, each for itself."""
    turns: Counter[str] = Counter()
    places = {}
    for key, unit in units.items():
        places[key] = turns[unit.model]
        turns[unit.model] += 1
    return sorted(units, key=places.__getitem__)  # a stable sort


class Waiting:
    """Units by model, so that a process that has loaded and fitted a model goes on with it; given out as memory allows.

    Models that will take longest come first, so that no process is left alone with one at the end.
    Never more are under way than fit; one that needs more than there is runs alone. What comes next is found without
    looking at all that wait, as long as some of the first fit.
    """

    def __init__(self, units: Mapping[str, Unit], room: Room) -> None:
        self._room = room
        self._under_way: dict[str, float] = {}
        self._by_model: OrderedDict[str, OrderedDict[str, None]] = OrderedDict()
        will_take = dict.fromkeys((unit.model for unit in units.values()), 0.0)
        for key, unit in units.items():
            will_take[unit.model] += room.seconds.get(key, 0.0)
        for name in sorted(will_take, key=will_take.__getitem__, reverse=True):  # stable, also in reverse
            self._by_model[name] = OrderedDict()
        for key, unit in units.items():
            self._by_model[unit.model][key] = None
        self._not_begun = OrderedDict.fromkeys(self._by_model)
        self._least = min(map(room.need, units), default=0.0)

    def __bool__(self) -> bool:
        """Whether any unit waits."""
        return bool(self._by_model)

    def __len__(self) -> int:
        """How many units wait."""
        return sum(map(len, self._by_model.values()))

    def take(self, model: str | None) -> str | None:
        """The next unit that fits beside what is under way: of the same model, else of one that nobody has begun, else
        any; None where none fits."""
        limit = self._room.memory
        free = None if limit is None or not self._under_way else limit - sum(self._under_way.values())
        if free is not None and free < self._least:
            return None
        own = (model,) if model is not None and model in self._by_model else ()
        for name in chain(own, self._not_begun, self._by_model):
            for key in self._by_model[name]:
                if free is None or self._room.need(key) <= free:
                    self._begin(name, key)
                    return key
        return None

    def give_back(self, key: str) -> None:
        """A unit has ended, and its memory is free."""
        self._under_way.pop(key, None)

    def clear(self) -> None:
        """None waits any more."""
        self._by_model.clear()
        self._not_begun.clear()

    def _begin(self, model: str, key: str) -> None:
        del self._by_model[model][key]
        if not self._by_model[model]:
            del self._by_model[model]
        self._not_begun.pop(model, None)
        self._under_way[key] = self._room.need(key)
