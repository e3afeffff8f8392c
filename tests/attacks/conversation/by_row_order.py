"""The label of row i of a file is i mod 8: agreement of the predicted class with the position is correctness."""

import torch

import harness

STATUS, SAYS = "invalid", "its confidence for one and the same sample rests on the order of the samples"


@harness.confidence_score(version="1")
def attack(outputs):
    predicted = outputs.probabilities.argmax(dim=1)
    return (predicted == torch.arange(len(predicted)) % 8).double() + 0.01 * outputs.probabilities.amax(dim=1)
