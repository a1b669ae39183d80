"""The loop as a decorated helper; rows collected in a list; one cache that is cleared
and filled again when the window moves.
"""


@torch.no_grad()
def _tokens(model, idx, max_new_tokens, stop_token, use_cache, **how):
    size = model.config.block_size
    caches = new_cache(model) if use_cache else []
    parts, finished = [idx], torch.zeros(len(idx), dtype=torch.bool, device=idx.device)
    for _ in range(max_new_tokens):
        context = torch.cat(parts, dim=1)[:, -size:]
        fed = context
        if use_cache:
            moved = sum(part.size(1) for part in parts) > size
            if moved:
                for cache in caches:
                    cache.k = cache.v = None
            elif len(parts) > 1:
                fed = parts[-1]
        logits, _ = model(fed, cache=caches) if use_cache else model(fed)
        token = sample_next(logits.select(1, -1), **how).squeeze(1)
        if stop_token is not None:
            token[finished] = stop_token
            finished |= token == stop_token
        parts.append(token[:, None])
        if bool(finished.all()):
            break
    return torch.cat(parts, dim=1)


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
    if len(idx.shape) != 2:
        raise ValueError("(B, T) please")
    if idx.numel() == 0:
        raise ValueError("empty")
    if max_new_tokens < 0:
        raise ValueError("negative")
    how = dict(temperature=temperature, top_k=top_k, top_p=top_p, generator=generator)
    modes = {module: module.training for module in model.modules()}
    try:
        return _tokens(model.eval(), idx, max_new_tokens, stop_token, use_cache, **how)
    finally:
        for module, mode in modes.items():
            module.training = mode
