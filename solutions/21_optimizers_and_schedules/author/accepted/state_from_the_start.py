"""Moments of zeros that are made with the optimizer, kept by position; the last groups
first; a clipped norm in float64.
"""


class Adam:
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
        if lr < 0 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"lr {lr}, betas {betas}")
        params = list(params)
        if len(params) == 0:
            raise ValueError("no parameters")
        groups = params if isinstance(params[0], dict) else [dict(params=params)]
        shared = dict(lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
        self.param_groups = [
            dict(shared, **{**group, "params": list(group["params"])})
            for group in groups
        ]
        listed = [p for group in self.param_groups for p in group["params"]]
        if len({id(p) for p in listed}) < len(listed):
            raise ValueError("a parameter is listed twice")
        self.state = {
            i: (torch.zeros(p.shape), torch.zeros(p.shape), [0])
            for i, p in enumerate(listed)
        }

    @torch.no_grad()
    def step(self):
        places = [(p, group) for group in self.param_groups for p in group["params"]]
        for i, (p, group) in reversed(list(enumerate(places))):
            if p.grad is None:
                continue
            (mean, square, count), (beta1, beta2) = self.state[i], group["betas"]
            self.state[i] = mean.to(p), square.to(p), [count[0] + 1]
            mean, square, (t,) = self.state[i]
            gradient = p.grad.add(p, alpha=group["weight_decay"])
            mean.lerp_(gradient, 1 - beta1)
            square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
            size = (square / (1 - beta2**t)).sqrt_().add_(group["eps"])
            p.addcdiv_(mean, size, value=-group["lr"] / (1 - beta1**t))

    def zero_grad(self, set_to_none=True):
        for group in reversed(self.param_groups):
            for p in group["params"][::-1]:
                if set_to_none:
                    p.grad = None
                elif p.grad is not None:
                    p.grad.zero_()


def clip_grad_norm(params, max_norm, *, norm_type=2.0, error_if_nonfinite=False):
    if max_norm <= 0:
        raise ValueError(max_norm)
    params = [params] if torch.is_tensor(params) else list(params)
    gradients = [p.grad for p in params[::-1] if p.grad is not None]
    if not gradients:
        return torch.tensor(0.0)
    norm = (
        torch.cat([g.double().flatten() for g in gradients])
        .norm(norm_type)
        .to(gradients[0].dtype)
    )
    if error_if_nonfinite and not norm.isfinite():
        raise RuntimeError(norm)
    if norm > max_norm:
        for g in gradients:
            g.copy_(g * (max_norm / norm))
    return norm
