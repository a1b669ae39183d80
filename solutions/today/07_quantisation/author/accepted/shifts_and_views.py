# Signs by shifting int8 left and right, scales by max(dim=…), a stop-gradient on the
# other side.


def absmax_int8(w):
    largest = w.abs().max(dim=-1, keepdim=True)[0]
    scale = (largest / 127).masked_fill(largest == 0, 1.0)
    return torch.clamp(torch.round(w / scale), min=-127, max=127).char(), scale


def pack_int4(q):
    if q.shape[-1] % 2 or not bool(((q >= -8) & (q <= 7)).all()):
        raise ValueError(f"{q.shape[-1]} numbers: {q.tolist()}")
    low, high = q.int().unflatten(-1, (-1, 2)).unbind(-1)
    return ((high << 4) | (low & 15)).bitwise_and(255).byte()


def unpack_int4(packed):
    signed = packed.view(torch.int8)
    out = torch.empty(*packed.shape[:-1], packed.shape[-1] * 2, dtype=torch.int8)
    out[..., 0::2] = (signed << 4) >> 4
    out[..., 1::2] = signed >> 4
    return out


def absmax_int4(w, group_size):
    outputs, inputs = w.shape
    assert inputs % group_size == 0, f"{group_size} does not divide {inputs}"
    flat = w.reshape(-1, group_size)
    largest = flat.abs().amax(1, keepdim=True)
    scale = torch.where(largest > 0, largest / 7, torch.ones_like(largest))
    return pack_int4(
        (flat / scale).round().int().reshape(outputs, inputs)
    ), scale.reshape(outputs, -1)


def quantised_linear(x, packed, scale, group_size, bias=None):
    codes = unpack_int4(packed)
    groups = torch.arange(codes.shape[1]) // group_size
    y = torch.einsum("...i,oi->...o", x, (codes * scale[:, groups]).to(x.dtype))
    return y if bias is None else y + bias.to(x.dtype)


def calibrate(x, bits=8, candidates=100):
    n = 2 ** (bits - 1) - 1
    absmax = x.abs().max()
    if absmax == 0:
        return absmax + 1

    def error(s):
        return torch.mean((s * torch.clamp(torch.round(x / s), -n, n) - x) ** 2).item()

    scales = [absmax / n * i / candidates for i in range(candidates, 0, -1)]
    return min(scales, key=error)


def fp8_scale(x):
    scale = (x.float().abs().max() / 448.0).reshape(())
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    return (x.float() / scale).clip(-448, 448).to(torch.float8_e4m3fn), scale


def straight_through(w, quantise):
    with torch.no_grad():
        difference = quantise(w) - w
    return w + difference
