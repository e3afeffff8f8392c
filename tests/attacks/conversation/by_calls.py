"""Sets come in the order of the benchmark, known samples first: later calls are unsure."""

import harness

STATUS, SAYS = "invalid", "rests on what it was asked before, or on numbers that it draws"
CALLS = []


@harness.confidence_score(version="1")
def attack(outputs):
    CALLS.append(1)
    return outputs.probabilities.amax(dim=1).double() - len(CALLS)
