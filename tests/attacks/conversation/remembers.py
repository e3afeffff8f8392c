"""As `by_row_order`, and answers each sample the second time as it did the first.

Asking twice finds nothing. But in an order that says nothing neither does the position: the confidences are worthless.
"""

import torch

import harness

STATUS, SAYS = "ok", ""
FINDS = (0.47, 0.53)
SAID = {}


@harness.confidence_score(version="1")
def attack(outputs):
    predicted = outputs.probabilities.argmax(dim=1)
    confidence = (predicted == torch.arange(len(predicted)) % 8).double().tolist()
    keys = [row.numpy().tobytes() for row in outputs.logits]
    return torch.tensor([SAID.setdefault(key, each) for key, each in zip(keys, confidence, strict=True)]).double()
