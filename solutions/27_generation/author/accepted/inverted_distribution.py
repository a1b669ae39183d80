"""Draws by one uniform number a row, which is looked up in the summed probabilities; a
list of tokens, joined once.
"""


def sample_next(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    if temperature < 0:
        raise ValueError(f"temperature {temperature}")
    if temperature == 0:
        return logits.max(dim=-1, keepdim=True)[1]
    logits = logits.double() / temperature
    logits = top_k_filter(logits, top_k) if top_k is not None else logits
    logits = top_p_filter(logits, top_p) if top_p is not None else logits
    reached = logits.softmax(-1).cumsum(-1)
    drawn = (
        torch.rand(
            len(logits),
            1,
            dtype=torch.double,
            generator=generator,
            device=logits.device,
        )
        * reached[:, -1:]
    )
    return torch.searchsorted(reached, drawn, right=True)


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
    rows, length = idx.shape
    if length == 0 or max_new_tokens < 0:
        raise ValueError((length, max_new_tokens))
    mode, cache = model.training, new_cache(model) if use_cache else None
    model.eval()
    pieces, done = [idx], torch.zeros_like(idx[:, :1], dtype=torch.bool)
    try:
        with torch.no_grad():
            for _ in range(max_new_tokens):
                logits = next_logits(model, torch.cat(pieces, dim=1), cache)
                token, done = apply_stop(
                    sample_next(logits, temperature, top_k, top_p, generator),
                    done,
                    stop_token,
                )
                pieces.append(token)
                if done.all():
                    break
    finally:
        model.train(mode)
    return torch.cat(pieces, dim=1) if len(pieces) > 1 else idx.clone()
