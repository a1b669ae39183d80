# States keep their gradients through one backward pass; the global random state is left
# as it was found.


def compare_norm_placement(x, num_layers=16, num_heads=2, gain=2.0, seed=0):
    def curves(norm_first):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            encoder = TransformerEncoder(
                num_layers, x.shape[-1], num_heads, None, 0.0, norm_first
            )
        with torch.no_grad():
            for name, parameter in encoder.named_parameters():
                if name.endswith(
                    ("W_v.weight", "W_o.weight", "fc1.weight", "fc2.weight")
                ):
                    parameter.mul_(gain)
        start = x.detach().clone().requires_grad_(True)
        output, states = encoder.eval()(start, return_all=True)
        for state in states[1:]:
            state.retain_grad()
        probe = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
        output.backward(probe)
        return {
            "grad_norm": [float(state.grad.pow(2).sum().sqrt()) for state in states],
            "rms": [float(state.detach().pow(2).mean() ** 0.5) for state in states],
        }

    return {"pre": curves(True), "post": curves(False)}
