"""A metric of attribution maps in one function: what the class loses when the most attributed positions are emptied."""

import torch

from harness import attribution_metric

SHARE = 0.1  # of the pixels, voxels or points


@attribution_metric(version="1.0", higher_is_better=True, criterion="faithfulness", citation="Bach et al. 2015")
def top_patch_drop(model, inputs, targets, maps):  # inputs (n, c, *spatial), targets (n,), maps (n, 1 or c, *spatial)
    values = maps.mean(dim=1).flatten(1)  # (n, positions), higher = speaks more for the target
    top = values.topk(max(1, round(SHARE * values.shape[1])), dim=1).indices
    kept = torch.ones_like(values).scatter(1, top, 0.0).view(len(inputs), 1, *inputs.shape[2:])
    with torch.no_grad():
        before, after = (model(x).softmax(1).gather(1, targets[:, None])[:, 0] for x in (inputs, inputs * kept))
    return before - after  # (n,), in the direction that is declared
