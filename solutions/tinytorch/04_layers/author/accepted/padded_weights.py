# Different: the weights by hand are padded with zeros and bound to `data` as new
# arrays; the matrix product keeps Python numbers; the inputs of Linear are flattened to
# two dimensions; no bias of its own class.


def matmul_loops(a, b):
    if a.shape[1] != b.shape[0]:
        raise ValueError(f"{a.shape} and {b.shape}")
    rows, columns, count = a.tolist(), list(zip(*b.tolist(), strict=True)), 0
    product = []
    for row in rows:
        product.append([])
        for column in columns:
            total = 0
            for x, y in zip(row, column, strict=True):
                total += x * y
                count += 1
            product[-1].append(total)
    return Tensor(np.array(product), dtype=np.result_type(a.data, b.data)), count


class Linear(Module):
    def __init__(self, in_features, out_features, bias=True, *, rng=None):
        if in_features < 1 or out_features < 1:
            raise ValueError
        bound = 1 / np.sqrt(in_features)
        draw = get_rng(rng).uniform
        self.weight = Parameter(
            Tensor(
                draw(-bound, bound, size=(out_features, in_features)), dtype=np.float32
            )
        )
        self.bias = (
            Parameter(Tensor(draw(-bound, bound, size=out_features), dtype=np.float32))
            if bias
            else None
        )

    def forward(self, x):
        out, features = self.weight.shape
        if not x.shape or x.shape[-1] != features:
            raise ValueError(f"expected {features} features, got shape {x.shape}")
        flat = x.reshape(-1, features) @ self.weight.transpose(0, 1)
        if self.bias is not None:
            flat = flat + self.bias
        return flat.reshape(*x.shape[:-1], out)


def load_xor_by_hand(net):
    W1, b1, W2, b2 = xor_by_hand()
    spare = 4 - b1.size
    new = [
        np.pad(W1, ((0, spare), (0, 0))),
        np.pad(b1, (0, spare)),
        np.pad(W2, ((0, 0), (0, spare))),
        b2.copy(),
    ]
    old = [net[0].weight, net[0].bias, net[2].weight, net[2].bias]
    for parameter, array in zip(old, new, strict=True):
        parameter.data = array
    return net
