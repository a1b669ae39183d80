"""Questions that the specs of 12 ask only of what the code's own answers give."""

import torch

from grader.lock.probes import probe


@probe("CharRNN")
def _(kata, rng):
    """A text in two pieces, and the states of one text, where every weight is
    drawn here.
    """
    ids, found = torch.randint(5, (2, 7), generator=rng), []
    for kind in ("rnn", "lstm", "gru"):
        model = kata.CharRNN(5, 3, 4, kind, num_layers=2)
        for part in (model.embedding, model.rnn, model.head):
            for parameter in part.parameters():
                parameter.detach().copy_(torch.randn(parameter.shape, generator=rng))
        first, state = model(ids[:, :3])
        found += [first, state, model(ids[:, 3:], state), model.hidden_states(ids[0])]
    return found
