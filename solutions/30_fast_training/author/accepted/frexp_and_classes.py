"""Mantissas by frexp in float64, the precision by a class, the padded weight written
into a smaller change of the copy.
"""


def round_mantissa(x, bits):
    if x.dtype is not torch.float32:
        raise TypeError(x.dtype)
    if bits not in range(1, 24):
        raise ValueError(bits)
    fraction, exponent = torch.frexp(x.double())
    number = torch.round(fraction * 2 ** (bits + 1)) / 2 ** (bits + 1)
    rounded = (number * 2.0 ** exponent.double()).float()
    out = x.clone()
    usual = torch.isfinite(x) & (x != 0)
    out[usual] = rounded[usual]
    return out


class matmul_precision:
    def __init__(self, level):
        if level not in {"highest", "high", "medium"}:
            raise ValueError(level)
        self.level = level

    def __enter__(self):
        self.before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision(self.level)

    def __exit__(self, *exception):
        torch.set_float32_matmul_precision(self.before)
        return False


def pad_vocab(model, multiple=128):
    twin = copy.deepcopy(model)
    wte, extra = (
        twin.transformer.wte,
        padded_size(model.config.vocab_size, multiple) - model.config.vocab_size,
    )
    rows = wte.weight.data.new_zeros(extra, model.config.n_embd)
    twin.transformer.wte = nn.Embedding(
        len(wte.weight) + extra,
        model.config.n_embd,
        _weight=torch.cat([wte.weight.data, rows]),
    )
    twin.transformer.wte.train(model.training)
    twin.lm_head.weight, twin.lm_head.out_features = (
        twin.transformer.wte.weight,
        twin.transformer.wte.num_embeddings,
    )
    twin.config.vocab_size += extra
    return twin


def mask_padded_logits(logits, vocab_size):
    if not 0 < vocab_size <= logits.shape[-1]:
        raise ValueError(f"{vocab_size} of {logits.shape[-1]}")
    masked = logits.clone()
    masked[..., vocab_size:] = float("-inf")
    return masked


def flops_per_token(config, n_params):
    attention = (
        2 * 6 * config.n_head * (config.n_embd // config.n_head) * config.block_size
    )
    return n_params * 6 + attention * config.n_layer
