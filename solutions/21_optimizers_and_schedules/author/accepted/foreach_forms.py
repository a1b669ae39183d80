"""The optimizers with torch._foreach ops over the list of parameters of a group, the
step count of each in a list.
"""


class Foreach:
    def __init__(
        self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=None
    ):
        if lr < 0:
            raise ValueError(f"lr={lr}")
        for beta in betas:
            if beta < 0 or beta >= 1:
                raise ValueError(f"betas={betas}")
        weight_decay = self.usual_decay if weight_decay is None else weight_decay
        params = [*params]
        if params == []:
            raise ValueError("no parameters")
        seen = set()
        self.state, self.param_groups = {}, []
        for group in params if isinstance(params[0], dict) else [dict(params=params)]:
            group = dict(group)
            group["params"] = [*group["params"]]
            for name, value in dict(
                lr=lr, betas=betas, eps=eps, weight_decay=weight_decay
            ).items():
                group.setdefault(name, value)
            for p in group["params"]:
                if p in seen:
                    raise ValueError("one parameter, two groups")
                seen.add(p)
            self.param_groups.append(group)

    def zero_grad(self, set_to_none=True):
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p.grad = None
                elif p.grad is not None:
                    p.grad.zero_()

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            ps = [p for p in group["params"] if p.grad is not None]
            if not ps:
                continue
            gs = [p.grad for p in ps]
            if self.decoupled:
                torch._foreach_mul_(ps, 1 - group["lr"] * group["weight_decay"])
            else:
                gs = torch._foreach_add(gs, ps, alpha=group["weight_decay"])
            for p in ps:
                self.state.setdefault(p, [torch.zeros_like(p), torch.zeros_like(p), 0])[
                    2
                ] += 1
            b1, b2 = group["betas"]
            ms, vs, ts = zip(*(self.state[p] for p in ps))
            torch._foreach_mul_(ms, b1)
            torch._foreach_add_(ms, gs, alpha=1 - b1)
            torch._foreach_mul_(vs, b2)
            torch._foreach_addcmul_(vs, gs, gs, 1 - b2)
            roots = torch._foreach_sqrt(torch._foreach_div(vs, [1 - b2**t for t in ts]))
            torch._foreach_add_(roots, group["eps"])
            torch._foreach_addcdiv_(
                ps, ms, roots, [-group["lr"] / (1 - b1**t) for t in ts]
            )


class Adam(Foreach):
    decoupled, usual_decay = False, 0.0


class AdamW(Foreach):
    decoupled, usual_decay = True, 0.01
