"""A sample's place among those that come with it: sure of all in an easy company, of none in a hard one."""

import harness

STATUS, SAYS = "invalid", "rests on the other samples of its batch, or on how many they are"


@harness.confidence_score(version="1")
def attack(outputs):
    confidence = outputs.probabilities.amax(dim=1).double()
    sure = (confidence > 0.9).double().mean()
    return confidence.argsort().argsort().double() / len(confidence) * 1e-3 + sure
