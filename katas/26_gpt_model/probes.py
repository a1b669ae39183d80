"""What the specs of 26 cannot ask from another process: their oracles are built on the layers' own weights."""

import torch

from grader.loading import probe


@probe("MLP")
def _(kata, rng):
    layer = kata.MLP(kata.GPTConfig(n_embd=8, dropout=0.0))
    with torch.no_grad():
        for _, parameter in sorted(layer.named_parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=rng))
    return layer(torch.randn(2, 3, 8, generator=rng))


@probe("GPT.num_params")
def _(kata, rng):
    blocks, layers, heads = torch.randint(1, 6, (3,), generator=rng).tolist()
    model = kata.GPT(
        kata.GPTConfig(block_size=3 * blocks, vocab_size=13, n_layer=layers, n_head=heads, n_embd=8 * heads)
    )
    return [model.num_params(), model.num_params(non_embedding=True)]
