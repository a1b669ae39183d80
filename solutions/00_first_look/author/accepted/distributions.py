# Other ways to draw: torch's own distribution. The share as a mean over
# Python's booleans.
import statistics


def accuracy(scores, labels):
    return statistics.mean(
        [float(int(row.argmax()) == int(label)) for row, label in zip(scores, labels)]
    )


def gradient_step(weight, gradient, learning_rate):
    parameter = torch.nn.Parameter(weight.clone())
    parameter.grad = gradient.clone()
    torch.optim.SGD([parameter], lr=learning_rate).step()
    return parameter.detach()


def draw(probabilities):
    return torch.distributions.Categorical(probabilities).sample().item()
