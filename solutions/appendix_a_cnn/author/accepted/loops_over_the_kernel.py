"""Convolution as a sum over kernel offsets, pooling as a running maximum over them with
the lowest finite number as border.
"""

import itertools


def conv_output_size(size, kernel_size, stride=1, padding=0, dilation=1):
    if kernel_size < 1 or stride < 1 or dilation < 1 or padding < 0:
        raise ValueError("out of range")
    places = (
        math.floor((size + 2 * padding - dilation * (kernel_size - 1) - 1) / stride) + 1
    )
    if places < 1:
        raise ValueError(f"size {size} is too small")
    return places


def both(value):
    return value if isinstance(value, tuple) else (value, value)


def conv2d(x, weight, bias=None, stride=1, padding=0):
    (sh, sw), (ph, pw) = both(stride), both(padding)
    b, cin, h, w = x.shape
    cout, wanted, kh, kw = weight.shape
    if cin != wanted:
        raise ValueError("channels")
    rows, columns = (h + 2 * ph - kh) // sh + 1, (w + 2 * pw - kw) // sw + 1
    if rows < 1 or columns < 1:
        raise ValueError("too small")
    bordered = x.new_zeros(b, cin, h + 2 * ph, w + 2 * pw)
    bordered[:, :, ph : ph + h, pw : pw + w] = x
    out = x.new_zeros(b, cout, rows, columns)
    for i, j in itertools.product(range(kh), range(kw)):
        seen = bordered[
            :, :, i : i + sh * (rows - 1) + 1 : sh, j : j + sw * (columns - 1) + 1 : sw
        ]
        out = out + torch.tensordot(
            weight[:, :, i, j], seen, dims=([1], [1])
        ).transpose(0, 1)
    if bias is not None:
        out = out + bias.view(1, -1, 1, 1)
    return out


def max_pool2d(x, kernel_size, stride=None, padding=0):
    (kh, kw), (ph, pw) = both(kernel_size), both(padding)
    sh, sw = both(stride) if stride is not None else (kh, kw)
    if ph > kh / 2 or pw > kw / 2:
        raise ValueError("padding")
    rows, columns = (
        conv_output_size(x.size(2), kh, sh, ph),
        conv_output_size(x.size(3), kw, sw, pw),
    )
    x = F.pad(x, (pw, pw, ph, ph), value=torch.finfo(x.dtype).min)
    best = None
    for i in range(kh):
        for j in range(kw):
            seen = x[
                :,
                :,
                i : i + sh * (rows - 1) + 1 : sh,
                j : j + sw * (columns - 1) + 1 : sw,
            ]
            best = seen if best is None else torch.where(seen > best, seen, best)
    return best
