"""Questions that the specs of today/04 ask only about inputs that are known."""

import torch

from grader.lock.probes import probe


def sizes(rng, count, low=2, high=9):
    return torch.randint(low, high, (count,), generator=rng).tolist()


def an_adapter(kata, rng):
    """A layer of drawn sizes whose weights are all drawn, and an input for it."""
    features, outputs, rank = sizes(rng, 3)
    layer = kata.LoRALinear(
        torch.nn.Linear(features, outputs),
        rank,
        float(torch.rand((), generator=rng)) + 1,
    )
    with torch.no_grad():
        for parameter in (
            layer.base.weight,
            layer.base.bias,
            layer.lora_A,
            layer.lora_B,
        ):
            parameter.copy_(torch.randn(parameter.shape, generator=rng))
    return layer, torch.randn(3, features, generator=rng)


@probe("LoRALinear.__init__")
def _(kata, rng):
    features, outputs, rank = sizes(rng, 3)
    layer = kata.LoRALinear(torch.nn.Linear(features, outputs), rank, 2.0)
    x = torch.randn(4, features, generator=rng)
    weight = torch.randn(outputs, features, generator=rng)
    with torch.no_grad():
        layer.base.weight.copy_(weight)
        layer.base.bias.zero_()
    return [
        tuple(layer.lora_A.shape),
        tuple(layer.lora_B.shape),
        layer(x),
        sorted(name for name, p in layer.named_parameters() if p.requires_grad),
    ]


@probe("LoRALinear.forward")
def _(kata, rng):
    layer, x = an_adapter(kata, rng)
    return layer(x)


@probe("LoRALinear.merge")
def _(kata, rng):
    layer, x = an_adapter(kata, rng)
    merged = layer.merge()
    return [
        merged.weight.detach(),
        merged.bias.detach(),
        merged(x),
        layer(x),
        layer.merge().weight.detach(),
    ]


@probe("mark_trainable")
def _(kata, rng):
    parts = torch.nn.ModuleDict()
    for number, (features, outputs, rank) in enumerate(
        torch.randint(2, 9, (4, 3), generator=rng).tolist()
    ):
        part = torch.nn.Linear(features, outputs)
        part.lora_A = torch.nn.Parameter(torch.zeros(rank, features))
        part.lora_B = torch.nn.Parameter(torch.zeros(outputs, rank))
        parts[f"part{number}"] = part
    chosen = f"part{int(torch.randint(4, (), generator=rng))}"
    found = []
    for also in ([chosen], [], [f"{chosen}.bias"]):
        count = kata.mark_trainable(parts, also)
        found.append(
            [
                count,
                sorted(name for name, p in parts.named_parameters() if p.requires_grad),
            ]
        )
    return found


def some_text(rng, most=6):
    return "".join(
        map(
            chr,
            torch.randint(
                33,
                120,
                (int(torch.randint(1, most, (), generator=rng)),),
                generator=rng,
            ),
        )
    )


@probe("chat_template")
def _(kata, rng):
    roles = ("system", "user", "assistant")
    talk = [
        {"role": roles[i], "content": some_text(rng)}
        for i in torch.randint(3, (5,), generator=rng).tolist()
    ]
    start = int(torch.randint(1000, 9999, (), generator=rng))

    def encode(text):
        return [ord(character) for character in text]

    return [
        kata.chat_template(talk, encode, start, start + 1, prompt)
        for prompt in (False, True)
    ]


@probe("loss_mask")
def _(kata, rng):
    header, end = [90, *sizes(rng, 2, 60, 80)], 91
    found = []
    for _ in range(3):
        ids = []
        for speaks in torch.randint(2, (4,), generator=rng).tolist():
            ids += [
                *(header if speaks else [90, 50]),
                *sizes(rng, 1 + sizes(rng, 1)[0], 0, 40),
                end,
                10,
            ]
        found.append(kata.loss_mask(torch.tensor(ids), header, end))
    return found


@probe("pack_documents")
def _(kata, rng):
    docs = [
        torch.randint(99, (length,), generator=rng).tolist()
        for length in sizes(rng, 9, 1, 12)
    ]
    masks = [(torch.rand(len(doc), generator=rng) < 0.5).tolist() for doc in docs]
    return list(
        kata.pack_documents(
            docs, masks, 12, pad=int(torch.randint(99, (), generator=rng))
        )
    )


@probe("document_mask")
def _(kata, rng):
    found = []
    for rows, length in torch.randint(2, 9, (3, 2), generator=rng).tolist():
        doc_ids = (torch.rand(rows, length, generator=rng) < 0.4).long().cumsum(1)
        found.append(kata.document_mask(doc_ids - doc_ids[:, :1]))
    return found
