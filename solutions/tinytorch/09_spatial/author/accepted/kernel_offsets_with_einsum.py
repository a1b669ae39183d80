"""Different: a loop over the K² offsets of the kernel with einsum, without columns; the
pool by offsets as well.
"""


def _parts(shape, k, stride):
    H, W = output_size(shape[2], k, stride), output_size(shape[3], k, stride)
    for i in range(k):
        for j in range(k):
            yield (
                i,
                j,
                np.s_[
                    :,
                    :,
                    i : i + stride * (H - 1) + 1 : stride,
                    j : j + stride * (W - 1) + 1 : stride,
                ],
            )


def _padded(x, p):
    wide = np.zeros(
        (*x.shape[:2], x.shape[2] + 2 * p, x.shape[3] + 2 * p), dtype=x.dtype
    )
    wide[:, :, p : p + x.shape[2], p : p + x.shape[3]] = x
    return wide


def conv2d(x, weight, bias=None, stride=1, padding=0):
    if x.shape[1:2] != weight.shape[1:2] or x.ndim != 4:
        raise ValueError(f"x has shape {x.shape}")
    wide, k, out = _padded(x.data, padding), weight.shape[2], 0
    for i, j, part in _parts(wide.shape, k, stride):
        out = out + np.einsum("bchw,oc->bohw", wide[part], weight.data[:, :, i, j])
    if bias is None:
        return record(
            Tensor(out), "conv2d", (x, weight), stride=stride, padding=padding
        )
    return record(
        Tensor(out + bias.data[None, :, None, None]),
        "conv2d",
        (x, weight, bias),
        s=stride,
        p=padding,
    )


@backward_rule("conv2d")
def conv2d_rule(node, grad):
    x, weight = node.inputs[0].data, node.inputs[1].data
    stride, p = (
        node.saved.get(short, node.saved.get(long))
        for short, long in (("s", "stride"), ("p", "padding"))
    )
    wide = _padded(x, p)
    to_x, to_weight = np.zeros(wide.shape), np.zeros(weight.shape)
    for i, j, part in _parts(wide.shape, weight.shape[2], stride):
        to_x[part] += np.einsum("bohw,oc->bchw", grad, weight[:, :, i, j])
        to_weight[:, :, i, j] = np.einsum("bohw,bchw->oc", grad, wide[part])
    found = [to_x[:, :, p : wide.shape[2] - p, p : wide.shape[3] - p], to_weight]
    return found + [np.einsum("bohw->o", grad)] * (len(node.inputs) == 3)


def max_pool2d(x, kernel_size, stride=None):
    stride = stride or kernel_size
    out = None
    for _, _, part in _parts(x.shape, kernel_size, stride):
        out = x.data[part] if out is None else np.maximum(out, x.data[part])
    return record(Tensor(out), "max_pool2d", (x,), how=(kernel_size, stride))


@backward_rule("max_pool2d")
def max_pool2d_rule(node, grad):
    x, found = node.inputs[0].data, np.zeros(node.inputs[0].shape)
    free = np.ones(grad.shape, dtype=bool)
    for _, _, part in _parts(x.shape, *node.saved["how"]):
        here = free & (x[part] == node.out)
        found[part] += grad * here
        free &= ~here
    return (found,)


class Flatten(Module):
    def __init__(self, start_dim=1):
        self.kept = start_dim

    def forward(self, x):
        rest = 1
        for size in x.shape[self.kept :]:
            rest *= size
        return x.reshape(x.shape[: self.kept] + (rest,))


def receptive_field(layers):
    fields = []
    for depth in range(1, len(layers) + 1):
        last = 0
        for kernel, stride in layers[:depth][::-1]:
            last = last * stride + kernel - 1
        fields.append(last + 1)
    return fields
