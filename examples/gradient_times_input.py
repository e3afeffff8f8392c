"""An XAI method in one function: how much each part of an input speaks for a class, to first order."""

from harness import explainer


@explainer(version="1.0", citation="Shrikumar et al. 2016, Not Just a Black Box")
def gradient_times_input(model, inputs, targets):  # inputs (n, c, *spatial), targets (n,)
    inputs = inputs.requires_grad_(True)
    model(inputs).gather(1, targets[:, None]).sum().backward()
    return inputs.grad * inputs  # (n, c or 1, *spatial), higher = speaks more for the target
