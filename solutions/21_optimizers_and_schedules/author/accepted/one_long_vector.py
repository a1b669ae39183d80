"""The norm from one concatenated vector; the factor as PyTorch has it, with 1e-6 below
the line and clamped to 1.
"""


def gradients_of(params):
    if torch.is_tensor(params):
        params = (params,)
    return [g for g in (p.grad for p in params) if g is not None]


@torch.no_grad()
def clip_grad_norm(params, max_norm, *, norm_type=2.0, error_if_nonfinite=False):
    if not max_norm > 0:
        raise ValueError("max_norm must be positive")
    found = gradients_of(params)
    flat = torch.cat([g.reshape(-1) for g in found] or [torch.zeros(1)]).abs()
    if norm_type == float("inf"):
        norm = flat.max()
    else:
        norm = (flat**norm_type).sum() ** (1 / norm_type)
    if error_if_nonfinite and (norm.isnan() or norm.isinf()):
        raise RuntimeError("the gradients are out of bounds")
    factor = torch.clamp(max_norm / (norm + 1e-6), max=1.0)
    for g in found:
        g *= factor
    return norm


@torch.no_grad()
def clip_grad_value(params, clip_value):
    if clip_value <= 0.0:
        raise ValueError("clip_value must be positive")
    for g in gradients_of(params):
        g.copy_(torch.where(g.abs() > clip_value, g.sign() * clip_value, g))
