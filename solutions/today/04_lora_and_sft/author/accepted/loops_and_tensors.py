"""Conversations from nested lists; the mask by splitting at im_end; rows as
concatenated tensors; the document mask by blocks.
"""

import itertools


class LoRALinear(nn.Module):
    def __init__(self, base, rank, alpha, dropout=0.0):
        if rank < 1:
            raise AssertionError(f"a rank of {rank}")
        super().__init__()
        base.weight.requires_grad = False
        if base.bias is not None:
            base.bias.requires_grad = False
        self.base = base
        kind = {"dtype": base.weight.dtype, "device": base.weight.device}
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank, **kind))
        self.lora_A = nn.Parameter(
            nn.Linear(base.in_features, rank, bias=False, **kind).weight.detach()
        )
        self.drop = nn.Dropout(dropout) if dropout else nn.Identity()
        self.register_buffer("scaling", torch.tensor(alpha / rank, **kind))

    def forward(self, x):
        low = torch.einsum("ri,...i->...r", self.lora_A, self.drop(x))
        return (
            torch.einsum("or,...r->...o", self.lora_B, low)
            .mul(self.scaling)
            .add(self.base(x))
        )

    @torch.no_grad()
    def merge(self):
        has_bias = self.base.bias is not None
        merged = torch.nn.utils.skip_init(
            nn.Linear, *self.base.weight.shape[::-1], bias=has_bias
        )
        merged.weight = nn.Parameter(
            torch.addmm(self.base.weight, self.lora_B * self.scaling, self.lora_A)
        )
        if has_bias:
            merged.bias = nn.Parameter(self.base.bias.clone())
        return merged


def chat_template(messages, encode, im_start, im_end, add_generation_prompt=False):
    wrong = {message["role"] for message in messages} - {"system", "user", "assistant"}
    if wrong:
        raise KeyError(f"unknown roles: {wrong}")
    parts = [
        (
            [im_start],
            encode(message["role"] + "\n"),
            encode(message["content"]),
            [im_end],
            encode("\n"),
        )
        for message in messages
    ]
    if add_generation_prompt:
        parts.append(([im_start], encode("assistant\n")))
    return list(itertools.chain.from_iterable(itertools.chain.from_iterable(parts)))


def loss_mask(ids, header, im_end):
    """Message by message: each ends behind its im_end."""
    header, pieces = list(header), []
    for message in torch.tensor_split(ids, (ids == im_end).nonzero().flatten() + 1):
        piece = torch.zeros_like(message, dtype=torch.bool)
        for start in range(len(message) - len(header) + 1):
            if message[start : start + len(header)].tolist() == header:
                piece[start + len(header) :] = True
        pieces.append(piece)
    return torch.cat(pieces)


def pack_documents(docs, masks, block_size, pad=0):
    if max(map(len, docs)) > block_size:
        raise ValueError(f"{max(map(len, docs))} tokens are too many for {block_size}")
    rows = []
    for doc, mask in zip(docs, masks, strict=True):
        doc, mask = torch.as_tensor(doc), torch.as_tensor(mask)
        targets = torch.full_like(doc, -100)
        targets[:-1][mask[1:]] = doc[1:][mask[1:]]
        for row in rows:
            if sum(len(one[0]) for one in row) + len(doc) <= block_size:
                row.append((doc, targets))
                break
        else:
            rows.append([(doc, targets)])

    def filled(columns, value):
        padded = [
            nn.functional.pad(column, (0, block_size - len(column)), value=value)
            for column in columns
        ]
        return torch.stack(padded)

    return Packed(
        filled([torch.cat([doc for doc, _ in row]) for row in rows], pad),
        filled([torch.cat([targets for _, targets in row]) for row in rows], -100),
        filled(
            [
                torch.cat([torch.full_like(doc, i) for i, (doc, _) in enumerate(row)])
                for row in rows
            ],
            -1,
        ),
        filled(
            [torch.cat([torch.arange(len(doc)) for doc, _ in row]) for row in rows], 0
        ),
    )


def document_mask(doc_ids):
    masks = []
    for row in doc_ids:
        lengths = torch.unique_consecutive(row, return_counts=True)[1].tolist()
        masks.append(
            torch.block_diag(*(torch.ones(n, n).tril() for n in lengths)).bool()
        )
    return torch.stack(masks)[:, None]
