"""Questions about inputs drawn anew in papers/28."""

import torch

from grader.lock.probes import probe


@probe("DualEncoder")
def _(kata, rng):
    """The last words of each text may be padding."""
    tokens, width, questions, passages, words = (
        int(torch.randint(3, 12, (), generator=rng)) for _ in range(5)
    )
    model = kata.DualEncoder(tokens, width)
    with torch.no_grad():
        for encoder in (model.question_encoder, model.passage_encoder):
            encoder.weight.copy_(torch.randn(encoder.weight.shape, generator=rng))
    texts = [
        torch.randint(1, tokens, (rows, words), generator=rng)
        for rows in (questions, passages)
    ]
    for ids in texts:
        ids *= torch.arange(words) < torch.randint(
            1, words + 1, (len(ids), 1), generator=rng
        )
    return [
        model.encode_questions(texts[0]),
        model.encode_passages(texts[1]),
        model(*texts),
    ]
