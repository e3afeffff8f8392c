from harness import confidence_score


@confidence_score(version="1.0")
def margin(outputs):  # outputs.logits: (n, classes)
    top = outputs.probabilities.topk(2, dim=1).values
    return top[:, 0] - top[:, 1]  # (n,), higher = more confident
