"""Parameters in reversed order, each group built up in a loop; the optimizer gets its
groups one after the other.
"""


def param_groups(model, weight_decay):
    matrices = {"params": [], "weight_decay": weight_decay}
    vectors = {"params": [], "weight_decay": 0.0}
    for parameter in reversed(list(model.parameters())):
        if parameter.requires_grad:
            (vectors if len(parameter.shape) < 2 else matrices)["params"].append(
                parameter
            )
    return [vectors, matrices]


def make_optimizer(
    model, lr, weight_decay=0.1, betas=(0.9, 0.95), eps=1e-8, fused=False
):
    first, second = param_groups(model, weight_decay)
    optimizer = torch.optim.AdamW([second], lr, betas, eps, weight_decay, fused=fused)
    optimizer.add_param_group(first)
    return optimizer
