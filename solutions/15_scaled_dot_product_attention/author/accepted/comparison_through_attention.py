# Different: the weights and outputs come from scaled_dot_product_attention itself, with
# scale=1.0 for the raw scores; entropy by torch.special.entr, the gradient as 1 - Σ w².
# The costs are summed up as a table of terms.


def compare_scaling(head_dims, num_queries=64, num_keys=32, generator=None):
    table = dict.fromkeys(head_dims)
    for d in head_dims:
        q, k, v = (
            torch.normal(0.0, 1.0, (n, d), generator=generator)
            for n in (num_queries, num_keys, num_keys)
        )
        entry = {}
        for kind, scale in (("raw", 1.0), ("scaled", d**-0.5)):
            output, weights = scaled_dot_product_attention(q, k, v, scale=scale)
            entry["std_" + kind] = (scale * (q @ k.mT)).std().item()
            entry["entropy_" + kind] = torch.special.entr(weights).sum(1).mean().item()
            entry["gradient_" + kind] = (1 - weights.pow(2).sum(1)).mean().item()
            entry["output_std_" + kind] = output.std().item()
        table[d] = entry
    return table


def attention_cost(num_queries, num_keys, dim):
    T, S, D = num_queries, num_keys, dim
    names = ("multiplications", "nonlinearities", "largest_intermediate")
    rows = {
        "additive": (D * (T * D + S * D + T * S), T * S * D, T * S * D),
        "dot": (D * T * S, 0, T * S),
    }
    return {
        kind: dict(zip(names, counts, strict=True)) for kind, counts in rows.items()
    }
