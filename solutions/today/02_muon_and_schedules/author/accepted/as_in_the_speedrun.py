# Averages in place of sums, addmm, coefficients in a loop, buffers in place; a schedule
# as a factor; names by modules.


def newton_schulz(g, steps=5, eps=1e-7):
    if len(g.shape) != 2:
        raise ValueError(f"g has the shape {tuple(g.shape)}")
    x = g / (torch.linalg.matrix_norm(g) + eps)
    if g.shape[0] > g.shape[1]:
        return newton_schulz(g.mT, steps, eps).mT
    for a, b, c in [(3.4445, -4.7750, 2.0315)] * steps:
        gram = x @ x.mT
        update = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.addmm(x, update, x, beta=a)
    return x


def shape_scale(shape, mode="original"):
    scales = {
        "original": lambda out, into: max(1.0, out / into) ** 0.5,
        "match_rms_adamw": lambda out, into: 0.2 * max(out, into) ** 0.5,
    }
    if mode not in scales:
        raise KeyError(f"unknown mode {mode}")
    return scales[mode](shape[-2], shape[-1])


def split_parameters(model):
    embedded = [
        id(m.weight) for m in model.modules() if isinstance(m, torch.nn.Embedding)
    ]
    owners = {}
    for name, module in model.named_modules():
        for parameter in module.parameters(recurse=False):
            owners.setdefault(id(parameter), []).append((name, module, parameter))

    def for_muon(parameter):
        if id(parameter) in embedded:
            return False
        return all(
            isinstance(module, torch.nn.Linear)
            and parameter is module.weight
            and "lm_head" not in name.split(".")
            for name, module, _ in owners[id(parameter)]
        )

    trained = [p for p in model.parameters() if p.requires_grad]
    return list(filter(for_muon, trained)), [p for p in trained if not for_muon(p)]


class Muon(torch.optim.Optimizer):
    def __init__(
        self,
        params,
        lr=0.02,
        momentum=0.95,
        nesterov=True,
        weight_decay=0.0,
        ns_steps=5,
        mode="original",
    ):
        defaults = dict(lr=lr, momentum=momentum, nesterov=nesterov)
        super().__init__(
            params,
            dict(defaults, weight_decay=weight_decay, ns_steps=ns_steps, mode=mode),
        )
        shapes = [
            tuple(p.shape)
            for group in self.param_groups
            for p in group["params"]
            if p.dim() != 2
        ]
        if shapes:
            raise ValueError(f"these are no matrices: {shapes}")

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in (p for p in group["params"] if p.grad is not None):
                state = self.state[p]
                if not state:
                    state["average"] = torch.zeros_like(p.grad)
                average = state["average"].lerp_(p.grad, 1 - group["momentum"])
                update = (
                    p.grad.lerp(average, group["momentum"])
                    if group["nesterov"]
                    else average
                )
                direction = newton_schulz(update, group["ns_steps"])
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(
                    direction, alpha=-group["lr"] * shape_scale(p.shape, group["mode"])
                )


def wsd_lr(
    step, max_lr, warmup_steps, decay_steps, max_steps, min_lr=0.0, shape="linear"
):
    falls = {"linear": lambda u: 1 - u, "sqrt": lambda u: 1 - u**0.5}
    if shape not in falls or warmup_steps + decay_steps > max_steps:
        raise ValueError(f"{shape}: {warmup_steps} + {decay_steps} of {max_steps}")
    left = max_steps - step
    if step < warmup_steps:
        return max_lr * ((step + 1) / warmup_steps)
    if left <= 0:
        return float(min_lr)
    factor = falls[shape](1 - left / decay_steps) if left < decay_steps else 1.0
    return min_lr + (max_lr - min_lr) * factor


def z_loss(logits, targets=None, coefficient=1e-4):
    logits = logits.float()
    shift = logits.detach().amax(-1, keepdim=True)
    log_z = ((logits - shift).exp().sum(-1, keepdim=True).log() + shift).squeeze(-1)
    weight = (
        torch.ones_like(log_z) if targets is None else (targets != -100).to(log_z.dtype)
    )
    return coefficient * (log_z.pow(2) * weight).sum() / weight.sum()
