"""SGD that writes through `p.data`, on a copy of the gradient, with buffers in a list
by position.
"""


class SGD:
    def __init__(self, params, lr, momentum=0.0, weight_decay=0.0, nesterov=False):
        if lr < 0:
            raise ValueError(f"learning rate {lr}")
        if nesterov and not momentum:
            raise ValueError("no momentum")
        self.param_groups = []
        for entry in params:
            if isinstance(entry, dict):
                self.param_groups.append({**entry, "params": list(entry["params"])})
            else:
                if not self.param_groups:
                    self.param_groups.append({"params": []})
                self.param_groups[0]["params"].append(entry)
        if not self.param_groups:
            raise ValueError("nothing to optimize")
        for group in self.param_groups:
            given = dict(
                lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov
            )
            for key, value in given.items():
                group[key] = group.get(key, value)
        ids = [id(p) for group in self.param_groups for p in group["params"]]
        if len(ids) > len(set(ids)):
            raise ValueError("a parameter twice")
        self.state = {
            "buffers": [[None for _ in group["params"]] for group in self.param_groups]
        }

    def step(self):
        for group, buffers in zip(self.param_groups, self.state["buffers"]):
            for i, p in enumerate(group["params"]):
                if p.grad is not None:
                    g = p.grad.detach().clone()
                    g += group["weight_decay"] * p.data
                    if group["momentum"]:
                        if buffers[i] is None:
                            buffers[i] = torch.zeros_like(p.data)
                        buffers[i] = buffers[i] * group["momentum"] + g
                        g = (
                            g + group["momentum"] * buffers[i]
                            if group["nesterov"]
                            else buffers[i]
                        )
                    p.data -= group["lr"] * g

    def zero_grad(self, set_to_none=True):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.grad = None if set_to_none else p.grad.detach() * 0
