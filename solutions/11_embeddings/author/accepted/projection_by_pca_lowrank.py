"""The projection by the seeded `torch.pca_lowrank`; memory from `element_size` of an
empty tensor.
"""


def project_2d(vectors: Tensor) -> Tensor:
    if vectors.ndim != 2:
        raise ValueError("not a table")
    if vectors.shape[0] < 2 or vectors.shape[1] < 2:
        raise ValueError("too small")
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        left, sizes, _ = torch.pca_lowrank(vectors, q=min(6, *vectors.shape))
    return left[:, :2] * sizes[:2]


def memory_comparison(vocab_size, embedding_dim, num_tokens, dtype=torch.float32):
    one = torch.empty((), dtype=dtype).element_size()
    result = {
        "one_hot_bytes": float(one * vocab_size * num_tokens),
        "id_bytes": 8.0 * num_tokens,
        "table_bytes": float(one * vocab_size * embedding_dim),
        "output_bytes": float(one * embedding_dim * num_tokens),
    }
    result["input_ratio"] = result["one_hot_bytes"] / max(result["id_bytes"], 1.0)
    return result
