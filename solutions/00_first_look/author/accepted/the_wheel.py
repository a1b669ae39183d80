# The wheel of fortune by hand: a uniform number, and the first position whose running
# sum is beyond it.
def accuracy(scores, labels):
    hits = torch.eq(torch.topk(scores, 1).indices.squeeze(1), labels)
    return float(hits.sum() / len(hits))


def gradient_step(weight, gradient, learning_rate):
    step = torch.clone(gradient)
    step *= -learning_rate
    return weight + step


def draw(probabilities):
    return int((torch.rand(1) >= probabilities.cumsum(0)).sum())
