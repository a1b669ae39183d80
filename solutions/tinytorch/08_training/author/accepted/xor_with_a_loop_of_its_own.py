# Different: XOR is trained by a plain loop over train_step; the memory is read off a
# forward with a hook per layer; the scaling is measured by profile_memory.
from tinytorch.setup import profile_memory, scaling_exponent


def training_memory(model, x, *, optimizer_state_multiple=0):
    outputs = [x]
    with evaluating(model):
        for layer in model.layers:
            outputs.append(layer(outputs[-1]))
    sizes = {"parameters": sum(p.data.nbytes for _, p in model.named_parameters())}
    sizes["gradients"] = sizes["parameters"]
    sizes["optimizer_state"] = sizes["parameters"] * optimizer_state_multiple
    sizes["activations"] = sum(output.data.nbytes for output in outputs[1:])
    return sizes | {"total": sum(sizes.values())}


def batch_scaling(batch_sizes, width=64):
    batch_sizes, values = list(batch_sizes), []
    for n in batch_sizes:
        model = Sequential([Linear(width, width), Tanh(), Linear(width, width)])
        x = Tensor(np.zeros((n, width), dtype=np.float32))
        values.append(profile_memory(model, x).retained_bytes)
    return {
        "sizes": batch_sizes,
        "values": values,
        "exponent": scaling_exponent(batch_sizes, values),
    }


def train_xor(rng=None, *, hidden=8, lr=0.1, epochs=1000):
    first = Linear(2, hidden, rng=rng)
    model = Sequential((first, Tanh(), Linear(hidden, 1, rng=rng)))
    optimizer, x = SGD(model.parameters(), lr=lr), Tensor(XOR_X)
    losses = [train_step(model, mse_loss, optimizer, x, XOR_Y) for _ in range(epochs)]
    predictions = model(x).detach()
    wrong = int(((predictions.data > 0.5) != (XOR_Y == 1)).sum())
    return {
        "accuracy": 1 - wrong / 4,
        "loss": float(np.square(predictions.data - XOR_Y).mean()),
        "losses": losses,
        "model": model,
    }
