# .grad zeroed in place after each snapshot instead of being set to None before each
# loss; w is an nn.Parameter.


def gradient_history(loss_fn, weight, inputs, zero_between):
    w = torch.nn.Parameter(weight.detach().clone())
    history = []
    for x in inputs:
        loss = loss_fn(w, x)
        loss.backward()
        history += [w.grad.detach().clone()]
        if zero_between:
            w.grad.zero_()
    return history
