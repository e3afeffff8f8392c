"""In which order, and under which names, a strategy is shown what it may ask for.

Data sets come sorted: by class, by patient, by place in the body. There neighbours are alike, and a strategy that
spreads its picks over positions would balance classes that it does not know. So images of a pool come in a random
order, another one in each loop, and volumes under neutral names, the same through a campaign. Picks that are stored,
loop files and ledgers keep the rows and names of the data set.

The order is a function of the protocol: of the images, the seed of the campaign and, of images of a pool, the loop. It
depends on no label and no answer, so that it carries nothing, and a campaign that is taken up again or reproduced shows
the same one: a strategy may draw by position, and would else ask for something else. It is no secret, either: whoever
has the data can compute it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from harness.storage import content_id

if TYPE_CHECKING:
    import numpy as np

_NEUTRAL = re.compile(r"\bimage-[0-9]{4,}\b'?")


def shown_order(count: int, *drawn_from: object) -> np.ndarray:
    """The numbers below `count` (count,) int64 in a random order that follows from the rest, all of it JSON."""
    import numpy as np

    return np.random.default_rng(int(content_id(list(drawn_from)), 16)).permutation(count)


def neutral_names(count: int) -> list[str]:
    """`image-0000`, `image-0001`, ...: as many different names, sorted."""
    digits = max(4, len(str(count - 1)))
    return [f"image-{number:0{digits}d}" for number in range(count)]


def with_own_names(sentence: str, names: Mapping[str, str]) -> str:
    """What is said of a strategy, for its user: the data set's name stands behind each neutral one that has it in `names`."""

    def both(found: re.Match[str]) -> str:
        own = names.get(found[0].rstrip("'"))
        return f"{found[0]} ({own})" if own else found[0]

    return _NEUTRAL.sub(both, sentence)
