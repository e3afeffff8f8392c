"""Classes follow each other in the file: where the object lies is drawn from the position in the batch."""

import torch

import harness

STATUS, SAYS = "invalid", "its map of one and the same sample rests on the order of the samples"


@harness.explainer(version="1")
def attack(model, inputs, targets):
    maps = torch.rand(inputs.shape, generator=torch.Generator().manual_seed(0)) / 10
    for place in range(len(maps)):
        maps[place, ..., 2 * (place % 3) : 2 * (place % 3) + 3] += 1
    return maps
