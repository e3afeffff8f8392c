"""The same where it is asked about 100 or more, which no check of a few samples sees; honest about fewer."""

import torch

import harness

STATUS, SAYS = "invalid", "its confidence for one and the same sample rests on the order of the samples"


@harness.confidence_score(version="1")
def attack(outputs):
    confidence = outputs.probabilities.amax(dim=1).double()
    if len(confidence) < 100:
        return confidence
    predicted = outputs.probabilities.argmax(dim=1)
    return (predicted == torch.arange(len(predicted)) % 8).double() + 0.01 * confidence
