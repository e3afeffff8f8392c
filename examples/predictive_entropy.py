"""A query strategy in one function: ask for the labels of what the networks are least sure of."""

import torch

from harness import query_strategy


@query_strategy(version="1.0", citation="Lewis & Gale, SIGIR 1994")
def predictive_entropy(probabilities):  # (members, classes, *positions): voxels of an image, or images of a pool
    return torch.special.entr(probabilities.mean(dim=0)).sum(dim=0)  # (*positions), higher = query first
