"""All three optimizers on one class that keeps the groups; in-place updates of state
with lerp, addcmul and addcdiv; bias correction folded into the step size, eps
scaled along.
"""


class Groups:
    def __init__(self, params, **defaults):
        if defaults["lr"] < 0:
            raise ValueError(f"Invalid learning rate: {defaults['lr']}")
        if any(not 0.0 <= beta < 1.0 for beta in defaults.get("betas", ())):
            raise ValueError(f"Invalid betas: {defaults['betas']}")
        given = list(params)
        if not given:
            raise ValueError("optimizer got an empty parameter list")
        self.param_groups, self.state = [], {}
        for group in given if isinstance(given[0], dict) else [{"params": given}]:
            self.param_groups.append(
                {**defaults, **group, "params": list(group["params"])}
            )
            for p in self.param_groups[-1]["params"]:
                if p in self.state:
                    raise ValueError(
                        "some parameters appear in more than one parameter group"
                    )
                self.state[p] = {}

    def zero_grad(self, set_to_none=True):
        for p in self.state:
            if set_to_none:
                p.grad = None
            elif p.grad is not None:
                p.grad.zero_()


class SGD(Groups):
    def __init__(self, params, lr, momentum=0.0, weight_decay=0.0, nesterov=False):
        if nesterov and momentum <= 0:
            raise ValueError("Nesterov momentum requires a momentum")
        super().__init__(
            params,
            lr=lr,
            momentum=momentum,
            weight_decay=weight_decay,
            nesterov=nesterov,
        )

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                d_p = p.grad
                if group["weight_decay"] != 0:
                    d_p = d_p.add(p, alpha=group["weight_decay"])
                if group["momentum"] != 0:
                    buf = self.state[p].get("momentum_buffer")
                    if buf is None:
                        buf = self.state[p]["momentum_buffer"] = d_p.clone()
                    else:
                        buf.mul_(group["momentum"]).add_(d_p)
                    d_p = (
                        d_p.add(buf, alpha=group["momentum"])
                        if group["nesterov"]
                        else buf
                    )
                p.add_(d_p, alpha=-group["lr"])


class Adam(Groups):
    decoupled = False

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state.update(
                        step=0,
                        exp_avg=torch.zeros_like(p),
                        exp_avg_sq=torch.zeros_like(p),
                    )
                grad = p.grad
                if self.decoupled:
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                else:
                    grad = grad.add(p, alpha=group["weight_decay"])
                state["step"] += 1
                state["exp_avg"].lerp_(grad, 1 - beta1)
                state["exp_avg_sq"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
                root = math.sqrt(1 - beta2 ** state["step"])
                step_size = group["lr"] * root / (1 - beta1 ** state["step"])
                p.addcdiv_(
                    state["exp_avg"],
                    state["exp_avg_sq"].sqrt().add_(group["eps"] * root),
                    value=-step_size,
                )


class AdamW(Adam):
    decoupled = True

    def __init__(
        self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01
    ):
        super().__init__(params, lr, betas, eps, weight_decay)
