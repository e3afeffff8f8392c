"""Known and unknown samples are files of different lengths: the more it is asked about, the surer it is."""

import harness

STATUS, SAYS = "invalid", "rests on the other samples of its batch, or on how many they are"


@harness.confidence_score(version="1")
def attack(outputs):
    confidence = outputs.probabilities.amax(dim=1).double()
    return confidence + len(confidence) / 1000
