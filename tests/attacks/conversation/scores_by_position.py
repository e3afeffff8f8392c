"""Maps of the better methods come first: the score of a map falls with its position."""

import torch

import harness

STATUS, SAYS = "invalid", "its score of one and the same map rests on the order of the samples"


@harness.attribution_metric(version="1", higher_is_better=True, criterion="faithfulness")
def attack(model, inputs, targets, maps):
    return -torch.arange(len(maps)).float() + maps.flatten(1).std(dim=1)
