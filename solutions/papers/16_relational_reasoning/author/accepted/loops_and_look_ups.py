"""Scene by scene and pair by pair: g is called N · N times, answers come from loops,
Adam from autograd.grad.
"""


def make_questions(objects, relational, generator=None):
    num_scenes, n = objects.size(0), objects.size(1)
    colours = (
        torch.multinomial(torch.ones(num_scenes, n), 1, generator=generator)
        .squeeze(1)
        .tolist()
    )
    questions = objects.new_zeros(num_scenes, n + 1)
    answers = []
    for b, (colour, scene) in enumerate(zip(colours, objects.tolist())):
        questions[b, colour] = 1
        questions[b, n] = 1 if relational else -1
        (asked,) = (one for one in scene if one[colour])
        shape, x, _ = asked[n:]
        others = [one for one in scene if one is not asked]
        answers.append(
            sum(-0.5 < one[n + 1] - x < 0.5 for one in others)
            if relational
            else shape == 1
        )
    return questions, torch.tensor([int(answer) for answer in answers])


def relation_sum(g, objects, question):
    rows = objects.unbind(dim=1)
    parts = [g(torch.hstack([one, other, question])) for one in rows for other in rows]
    return torch.stack(parts).sum(dim=0)


def relation_sum_numpy(objects, question, weight, bias):
    n = objects.shape[1]
    i, j = np.indices((n, n)).reshape(2, -1)
    asked = np.repeat(question[:, None], n * n, axis=1)
    pairs = np.concatenate([objects[:, i], objects[:, j], asked], axis=-1)
    return np.einsum("bpz,hz->bph", pairs, weight).__add__(bias).clip(min=0).sum(axis=1)


def train_model(model, *, steps, num_objects=5, batch_size=64, lr=5e-3, generator=None):
    model.train()
    parameters = list(model.parameters())
    optimizer = torch.optim.Adam(parameters, lr=lr)
    losses = []
    while len(losses) < steps:
        related, alone = make_scenes(batch_size, num_objects, generator).chunk(2)
        questions, answers = make_questions(related, True, generator)
        more_questions, more_answers = make_questions(alone, False, generator)
        logits = model(
            torch.vstack([related, alone]), torch.vstack([questions, more_questions])
        )
        chances = logits.log_softmax(dim=1)
        loss = -chances[
            torch.arange(batch_size), torch.hstack([answers, more_answers])
        ].mean()
        for parameter, gradient in zip(
            parameters, torch.autograd.grad(loss, parameters)
        ):
            parameter.grad = gradient
        optimizer.step()
        losses.append(float(loss))
    return losses
