"""Every set comes in a call of its own: samples of unknown classes are those of a call that is unsure on average."""

import harness

STATUS, SAYS = "invalid", "rests on the other samples of its batch, or on how many they are"


@harness.confidence_score(version="1")
def attack(outputs):
    confidence = outputs.probabilities.amax(dim=1).double()
    return confidence.mean() + 1e-3 * confidence
