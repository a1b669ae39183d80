"""Questions about inputs drawn anew in papers/29."""

import torch

from grader.lock.probes import probe


@probe("RAG.__init__")
def _(kata, rng):
    model = kata.RAG(*torch.randint(2, 30, (3,), generator=rng).tolist())
    parts = (
        model.query_encoder,
        model.document_encoder,
        model.value_embedding,
        model.generator,
    )
    shapes = [
        {name: tuple(parameter.shape) for name, parameter in part.named_parameters()}
        for part in parts
    ]
    return [shapes, model.num_values]
