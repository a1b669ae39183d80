# Private leaves, moved without a graph; the value below is subtracted in place from the
# value above.


def finite_difference_gradient(f, x, eps=1e-6):
    slopes = torch.zeros(x.shape, dtype=torch.float64)
    for i in range(x.numel()):
        above, below = (
            x.detach().double().clone(memory_format=torch.contiguous_format)
            for _ in range(2)
        )
        for leaf, step in ((above, eps), (below, -eps)):
            leaf.requires_grad_()
            with torch.no_grad():
                leaf.view(-1)[i] += step
        rise = f(above)
        if rise.numel() != 1:
            raise ValueError("f has to return one element")
        rise -= f(below)
        slopes.view(-1)[i] = rise.item() / (2 * eps)
    return slopes
