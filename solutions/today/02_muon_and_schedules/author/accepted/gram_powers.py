# The polynomial by powers of the Gram matrix from both sides, groups written out,
# cross-entropy as normaliser.


def newton_schulz(g, steps=5, eps=1e-7):
    if g.dim() != 2:
        raise RuntimeError(f"2 dimensions wanted, shape {list(g.shape)}")
    rows, columns = g.shape
    x = g / torch.maximum(g.pow(2).sum().sqrt(), torch.tensor(eps, dtype=g.dtype))
    for _ in range(steps):
        if rows <= columns:
            gram = x.matmul(x.t())
            x = 3.4445 * x - 4.7750 * gram @ x + 2.0315 * gram @ (gram @ x)
        else:  # the small square from the other side
            gram = x.t().matmul(x)
            x = 3.4445 * x - 4.7750 * x @ gram + 2.0315 * (x @ gram) @ gram
    return x


def shape_scale(shape, mode="original"):
    assert mode in ("original", "match_rms_adamw"), f"{mode} is no mode"
    out_features, in_features = tuple(shape)
    if mode == "match_rms_adamw":
        return 0.2 * float(max(out_features, in_features)) ** 0.5
    return (out_features / in_features) ** 0.5 if out_features > in_features else 1.0


def split_parameters(model):
    skip = set()
    for module_name, module in model.named_modules():
        if isinstance(module, nn.Embedding) or "lm_head" in module_name.split("."):
            skip.update(module.parameters())
    hidden = []
    for module in model.modules():
        if type(module) is nn.Linear and module.weight not in skip:
            hidden.append(module.weight)
    muon = [
        p
        for p in model.parameters()
        if p.requires_grad and any(p is weight for weight in hidden)
    ]
    adamw = [
        p
        for p in model.parameters()
        if p.requires_grad and all(p is not weight for weight in hidden)
    ]
    return muon, adamw


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
        settings = locals().copy()
        super().__init__(
            params,
            {
                k: v
                for k, v in settings.items()
                if k not in ("self", "params", "__class__")
            },
        )
        for group in self.param_groups:
            assert all(len(p.shape) == 2 for p in group["params"]), [
                tuple(p.shape) for p in group["params"]
            ]

    def step(self):
        with torch.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        self.move(
                            p, **{k: v for k, v in group.items() if k != "params"}
                        )

    def move(self, p, lr, momentum, nesterov, weight_decay, ns_steps, mode):
        before = self.state[p].get("velocity", 0.0)
        velocity = before * momentum + p.grad
        self.state[p]["velocity"] = velocity
        direction = newton_schulz(
            velocity * momentum + p.grad if nesterov else velocity, ns_steps
        )
        p.copy_(
            (1 - lr * weight_decay) * p - lr * shape_scale(p.shape, mode) * direction
        )


def wsd_lr(
    step, max_lr, warmup_steps, decay_steps, max_steps, min_lr=0.0, shape="linear"
):
    assert shape in ("linear", "sqrt"), f"no shape {shape}"
    assert warmup_steps + decay_steps <= max_steps, (
        warmup_steps,
        decay_steps,
        max_steps,
    )
    if step < warmup_steps:
        return max_lr / warmup_steps * (step + 1)
    flat_until = max_steps - decay_steps
    u = min(
        max(
            (step - flat_until) / decay_steps
            if decay_steps
            else float(step >= max_steps),
            0.0,
        ),
        1.0,
    )
    return max_lr + (min_lr - max_lr) * u ** (0.5 if shape == "sqrt" else 1.0)


def z_loss(logits, targets=None, coefficient=1e-4):
    flat = logits.reshape(-1, logits.size(-1))
    normaliser = flat[:, 0] - flat.log_softmax(-1)[:, 0]
    if targets is not None:
        normaliser = normaliser.masked_select(targets.reshape(-1).ne(-100))
    return coefficient * torch.mean(normaliser * normaliser)
