"""Explains a batch as a whole: what all of its samples have in common stands in every map."""

import harness

STATUS, SAYS = "invalid", "its map of one and the same sample rests on the other samples of its batch"


@harness.explainer(version="1")
def attack(model, inputs, targets):
    inputs = inputs.requires_grad_(True)
    model(inputs).gather(1, targets[:, None]).sum().backward()
    return inputs.grad * inputs + (inputs.grad * inputs).mean(dim=0, keepdim=True)
