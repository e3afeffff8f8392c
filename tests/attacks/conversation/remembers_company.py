"""As `by_average`, and answers each sample the second time as it did the first.

Asking twice finds nothing. But in a stream of all sets the company says nothing of the set: the confidences are worthless.
"""

import torch

import harness

STATUS, SAYS = "ok", ""
FINDS = (0.47, 0.53)
SAID = {}


@harness.confidence_score(version="1")
def attack(outputs):
    average = float(outputs.probabilities.amax(dim=1).double().mean())
    keys = [row.numpy().tobytes() for row in outputs.logits]
    return torch.tensor([SAID.setdefault(key, average) for key in keys]).double()
