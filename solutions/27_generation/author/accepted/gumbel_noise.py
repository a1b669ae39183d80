"""Draws as argmax of logits plus Gumbel noise, which is made of uniform numbers."""


def sample_next(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    if temperature < 0:
        raise ValueError("negative temperature")
    if temperature == 0:
        return logits.argmax(-1, True)
    scores = logits.float() / temperature
    if top_k is not None:
        scores = top_k_filter(scores, top_k)
    if top_p is not None:
        scores = top_p_filter(scores, top_p)
    uniform = torch.rand(scores.shape, generator=generator, device=scores.device)
    return (scores - torch.log(-torch.log(uniform))).argmax(dim=-1, keepdim=True)
