"""The whole output made beforehand and filled in, in inference mode; new cache objects
whenever the window has moved.
"""


def generate(
    model,
    idx,
    max_new_tokens,
    temperature=1.0,
    top_k=None,
    top_p=None,
    stop_token=None,
    use_cache=False,
    generator=None,
):
    if idx.dim() != 2 or idx.shape[1] < 1 or max_new_tokens < 0:
        raise ValueError("idx must be (B, T) with T >= 1, max_new_tokens >= 0")
    training, limit = model.training, model.config.block_size
    rows, start = idx.shape
    try:
        model.eval()
        with torch.inference_mode():
            out = torch.zeros(
                rows, start + max_new_tokens, dtype=torch.long, device=idx.device
            )
            out[:, :start] = idx
            alive = torch.ones(rows, dtype=torch.bool, device=idx.device)
            caches = None
            end = start
            while end < start + max_new_tokens:
                begin = max(0, end - limit)
                if not use_cache:
                    logits = model(out[:, begin:end])[0]
                elif caches is None or begin > 0:
                    caches = new_cache(model)
                    logits = model(out[:, begin:end], cache=caches)[0]
                else:
                    logits = model(out[:, end - 1 : end], cache=caches)[0]
                new = sample_next(
                    logits[:, -1, :],
                    temperature=temperature,
                    top_k=top_k,
                    top_p=top_p,
                    generator=generator,
                )[:, 0]
                if stop_token is not None:
                    new = torch.where(alive, new, torch.full_like(new, stop_token))
                    alive = alive & new.ne(stop_token)
                out[:, end] = new
                end += 1
                if not alive.any():
                    break
            return out[:, :end].clone()
    finally:
        model.train(training)


def sample_texts(
    model,
    encode,
    decode,
    prompt,
    num_samples=1,
    max_new_tokens=50,
    stop_token=None,
    **sampling,
):
    tokens = list(encode(prompt))
    if not tokens:
        raise ValueError("empty prompt")
    idx = torch.tensor([tokens] * num_samples, dtype=torch.long).to(
        next(iter(model.parameters())).device
    )
    found = []
    for row in generate(model, idx, max_new_tokens, stop_token=stop_token, **sampling):
        new = []
        for token in row[len(tokens) :]:
            if token == stop_token:
                break
            new.append(int(token))
        found.append("".join([prompt, decode(new)]))
    return found


def kv_cache_bytes(
    n_layer, n_kv_head, head_dim, n_tokens, batch_size=1, dtype=torch.float16
):
    for number in (n_layer, n_kv_head, head_dim, n_tokens, batch_size):
        if number < 0:
            raise ValueError(number)
    one = torch.empty((), dtype=dtype).element_size()
    return (
        n_layer
        * batch_size
        * n_tokens
        * (n_kv_head * head_dim + n_kv_head * head_dim)
        * one
    )


def max_cached_tokens(
    budget_bytes, n_layer, n_kv_head, head_dim, batch_size=1, dtype=torch.float16
):
    per_token = kv_cache_bytes(n_layer, n_kv_head, head_dim, 1, batch_size, dtype)
    if budget_bytes < 0 or per_token == 0:
        raise ValueError("nothing to count")
    return divmod(budget_bytes, per_token)[0]
