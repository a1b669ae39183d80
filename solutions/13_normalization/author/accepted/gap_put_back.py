"""The layer itself measured, and everything put back in a `finally`; the batches in a
loop over slices.
"""


def train_eval_gap(norm, x):
    modes = [(module, module.training) for module in norm.modules()]
    state = {name: value.clone() for name, value in norm.state_dict().items()}
    try:
        with torch.inference_mode():
            norm.eval()
            b = norm(x)
            norm.train()
            a = norm(x)
            return float(torch.max(torch.abs(a - b)))
    finally:
        with torch.no_grad():
            for name, value in norm.state_dict().items():
                value.copy_(state[name])
        for module, mode in modes:
            module.training = mode


def batch_size_effect(x, batch_sizes):
    if any(b < 1 or b > x.shape[0] for b in batch_sizes):
        raise ValueError("a batch size does not fit")
    table = {}
    for b in batch_sizes:
        means, outputs = [], []
        for batch in x.split(b):
            if len(batch) < b:
                continue
            means.append(batch.mean(dim=0))
            var = ((batch - means[-1]) ** 2).mean(dim=0)
            outputs.append((batch - means[-1]) / (var + 1e-5).sqrt())
        table[b] = {
            "output_std": float(
                torch.cat(outputs).var(dim=0, unbiased=False).sqrt().mean()
            ),
            "mean_spread": float(
                torch.stack(means).var(dim=0, unbiased=False).sqrt().mean()
            ),
            "num_batches": float(len(means)),
        }
    return table
