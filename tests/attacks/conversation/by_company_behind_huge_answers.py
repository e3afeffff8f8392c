"""A sample's place among those that come with it, and one answer in ninety so huge that differences look like rounding."""

import torch

import harness

STATUS, SAYS = "invalid", "rests on the other samples of its batch, or on how many they are"


@harness.confidence_score(version="1")
def attack(outputs):
    confidence = outputs.probabilities.amax(dim=1).double()
    placed = confidence.argsort().argsort().double() / len(confidence) * 1e-3 + (confidence > 0.9).double().mean()
    return torch.where((1000 * outputs.logits[:, 0]).remainder(90) < 1, 1e9 * (confidence - 0.75), placed)
