"""Different: softmax composed of Tensor operations, the scale on q, a mask by
comparison, interleaving by reshape.
"""


def masked_softmax(scores, mask=None, dim=-1):
    allowed = np.ones(scores.shape, dtype=bool)
    if mask is not None:
        mask = mask.numpy() if isinstance(mask, Tensor) else mask
        if mask.dtype != np.bool_:
            raise TypeError(f"bool masks only, not {mask.dtype}")
        allowed = allowed & mask
    keep = allowed.astype(scores.dtype)
    scores = scores * keep + Tensor(np.where(allowed, 0, -1e30).astype(scores.dtype))
    powers = (scores - scores.data.max(dim, keepdims=True)).exp() * keep
    total = powers.sum(dim, keepdim=True)
    return powers / (total + Tensor((total.data == 0).astype(scores.dtype)))


def causal_mask(length):
    positions = np.arange(length)
    return positions <= positions.reshape(-1, 1)


def scaled_dot_product_attention(q, k, v, mask=None):
    shapes = f"{q.shape} {k.shape} {v.shape}"
    if len({q.ndim, k.ndim, v.ndim}) != 1:
        raise ValueError("numbers of dimensions differ: " + shapes)
    if q.shape[-1] != k.shape[-1]:
        raise ValueError("d differs: " + shapes)
    if k.shape[-2] != v.shape[-2]:
        raise ValueError("S differs: " + shapes)
    scaled = q * (1 / np.sqrt(q.shape[-1])).item()
    weights = masked_softmax(scaled @ k.transpose(-1, -2), mask, dim=q.ndim - 1)
    return weights @ v, weights


def sinusoidal_positions(length, dim):
    if dim % 2 == 1:
        raise ValueError(f"{dim} is odd")
    pairs = np.zeros((length, dim // 2, 2))
    for t in range(length):
        for i in range(dim // 2):
            angle = t * math.exp(-2 * i / dim * math.log(10000))
            pairs[t, i] = math.sin(angle), math.cos(angle)
    return pairs.reshape(length, dim).astype("float32")


def recurrence_comparison(length, dim):
    products = {
        "attention": [length * length * dim] * 2,
        "recurrence": [length * dim * dim] * 2,
    }
    steps = {"attention": 1, "recurrence": length}
    paths = {"attention": 1, "recurrence": length - 1}
    report = {
        kind: {
            "multiply_adds": sum(products[kind]),
            "path_length": paths[kind],
            "sequential_steps": steps[kind],
        }
        for kind in products
    }
    return report | {"crossover_length": dim}
