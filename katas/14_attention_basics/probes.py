"""What the specs of 14 cannot ask from another process, or ask only about sizes that are known."""

import torch

from grader.loading import probe


@probe("Seq2Seq.__init__")
def _(kata, rng):
    vocab_size, embed_dim, hidden_size = torch.randint(3, 30, (3,), generator=rng).tolist()
    models = [kata.Seq2Seq(vocab_size, embed_dim, hidden_size, use_attention) for use_attention in (True, False)]
    parts = [[(name, tuple(p.shape)) for name, p in model.state_dict().items()] for model in models]
    return [[sorted(one for one in each if not one[0].startswith("attention.")) for each in parts], models[1].attention]


@probe("train_seq2seq")
def _(kata, rng):
    model = kata.Seq2Seq(7, 4, 5).double()
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=rng))
    return kata.train_seq2seq(model.eval(), 5, 3, 4, 0.03, rng)
