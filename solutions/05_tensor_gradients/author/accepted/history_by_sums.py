# The history without .grad: autograd.grad for each loss, and a running sum where
# nothing is zeroed.


def gradient_history(loss_fn, weight, inputs, zero_between):
    w = torch.tensor(weight.tolist(), dtype=weight.dtype, requires_grad=True)
    total = torch.zeros_like(weight, requires_grad=False)
    out = []
    for item in iter(inputs):
        (grad,) = torch.autograd.grad(loss_fn(w, item), w)
        total = grad if zero_between else total + grad
        out.append(total.clone())
    return out
