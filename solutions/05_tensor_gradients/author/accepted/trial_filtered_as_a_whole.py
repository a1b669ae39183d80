# The copy by multiplication with 1, the error text looked at around the whole trial,
# gradients by autograd.grad.


def inplace_is_safe(op, x, target="output"):
    if target == "output" or target == "input":
        with torch.set_grad_enabled(True):
            leaf = x.detach().clone().requires_grad_()
            h = leaf * 1
            try:
                y = op(h)
                if target == "input":
                    h += 1
                else:
                    y += 1
                torch.autograd.grad(y.sum(), leaf)
            except RuntimeError as error:
                if "inplace operation" in str(error):
                    return False
                raise error
            return True
    raise ValueError(target)
