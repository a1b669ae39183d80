"""`torch.lerp` plus the shift term, einsum for the product; state described by walking
through the modules.
"""


class StandardizedLinear(StandardizedLinear):
    @torch.no_grad()
    def observe(self, x):
        rows = x.reshape(-1, self.in_features)
        if rows.shape[0] == 0:
            return
        self.count.add_(rows.shape[0])
        weight = rows.shape[0] / self.count.item()
        mean = rows.mean(0)
        var = (rows - mean).pow(2).mean(0)
        gap = (mean - self.mean) ** 2
        self.var.lerp_(var, weight).add_(gap * weight * (1 - weight))
        self.mean.lerp_(mean, weight)

    def forward(self, x):
        if x.shape[-1] != self.in_features:
            raise ValueError(f"{tuple(x.shape)} does not end in {self.in_features}")
        if self.training:
            self.observe(x)
        out = torch.einsum(
            "...i,oi->...o", (x - self.mean) / (self.var + self.eps).sqrt(), self.weight
        )
        return out if self.bias is None else out + self.bias


def describe_state(module):
    result = {"transient": [], "buffers": [], "frozen": [], "trainable": []}
    seen = set()
    for prefix, part in module.named_modules():
        dot = prefix + "." if prefix else ""
        for name, parameter in part._parameters.items():
            if parameter is not None and id(parameter) not in seen:
                seen.add(id(parameter))
                result["trainable" if parameter.requires_grad else "frozen"].append(
                    dot + name
                )
        for name, buffer in part._buffers.items():
            if buffer is not None and id(buffer) not in seen:
                seen.add(id(buffer))
                kind = (
                    "transient"
                    if name in part._non_persistent_buffers_set
                    else "buffers"
                )
                result[kind].append(dot + name)
    return result
