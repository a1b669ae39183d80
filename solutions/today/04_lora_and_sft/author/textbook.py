"""04 as a textbook has it."""

import math

import torch
from torch import nn

from grader.loading import prerequisite

Decoder = prerequisite("today/01_todays_block").Decoder
DecoderConfig = prerequisite("today/01_todays_block").DecoderConfig

from typing import NamedTuple

from torch import Tensor


class LoRALinear(nn.Module):
    """A frozen linear layer and a trainable correction of rank r."""

    def __init__(self, base, rank, alpha, dropout=0.0):
        super().__init__()
        self.base = base
        for parameter in base.parameters():
            parameter.requires_grad = False
        self.lora_A = nn.Parameter(torch.empty(rank, base.in_features))
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))
        self.dropout = nn.Dropout(dropout)
        self.scale = alpha / rank

    def forward(self, x):
        return self.base(x) + self.scale * (
            self.dropout(x) @ self.lora_A.T @ self.lora_B.T
        )

    def merge(self):
        merged = nn.Linear(
            self.base.in_features,
            self.base.out_features,
            bias=self.base.bias is not None,
        )
        merged.weight.data = (
            self.base.weight.data + self.scale * self.lora_B.data @ self.lora_A.data
        )
        if self.base.bias is not None:
            merged.bias.data = self.base.bias.data.clone()
        return merged


def add_lora(model, names, rank, alpha):
    """Put a LoRALinear in the place of every nn.Linear whose last name is in
    `names`. Given.
    """
    found = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.rpartition(".")[2] in names
    ]
    for name in found:
        parent, _, last = name.rpartition(".")
        setattr(
            model.get_submodule(parent),
            last,
            LoRALinear(model.get_submodule(name), rank, alpha),
        )
    return found


def mark_trainable(model, also=()):
    """Only the adapters and the parts named learn."""
    count = 0
    for name, parameter in model.named_parameters():
        adapter = name.endswith(("lora_A", "lora_B"))
        parameter.requires_grad = adapter or any(
            name == p or name.startswith(p + ".") for p in also
        )
        if parameter.requires_grad:
            count += parameter.numel()
    return count


def chat_template(messages, encode, im_start, im_end, add_generation_prompt=False):
    """A conversation in ChatML."""
    ids = []
    for message in messages:
        ids += (
            [im_start]
            + encode(message["role"] + "\n")
            + encode(message["content"])
            + [im_end]
            + encode("\n")
        )
    if add_generation_prompt:
        ids += [im_start] + encode("assistant\n")
    return ids


def loss_mask(ids, header, im_end):
    """The tokens that the assistant says."""
    ids, header = ids.tolist(), list(header)
    mask = [False] * len(ids)
    for start in range(len(ids)):
        if ids[start : start + len(header)] == header:
            t = start + len(header)
            while t < len(ids):
                mask[t] = True
                if ids[t] == im_end:
                    break
                t += 1
    return torch.tensor(mask)


class Packed(NamedTuple):
    """Rows that hold several documents each: four (N, T) long tensors."""

    ids: Tensor
    targets: Tensor
    doc_ids: Tensor
    positions: Tensor


def pack_documents(docs, masks, block_size, pad=0):
    """First fit: each document into the first row with room."""
    rows = []
    for doc, mask in zip(docs, masks):
        for row in rows:
            if len(row["ids"]) + len(doc) <= block_size:
                break
        else:
            row = {"ids": [], "targets": [], "doc_ids": [], "positions": [], "count": 0}
            rows.append(row)
        row["ids"] += list(doc)
        row["targets"] += [
            token if counts else -100 for token, counts in zip(doc[1:], mask[1:])
        ] + [-100]
        row["doc_ids"] += [row["count"]] * len(doc)
        row["positions"] += list(range(len(doc)))
        row["count"] += 1
    fill = {"ids": pad, "targets": -100, "doc_ids": -1, "positions": 0}
    return Packed(
        *(
            torch.tensor(
                [row[name] + [value] * (block_size - len(row[name])) for row in rows]
            )
            for name, value in fill.items()
        )
    )


def document_mask(doc_ids):
    """The same document, and not later."""
    same = doc_ids[:, :, None] == doc_ids[:, None, :]
    return torch.tril(same)[:, None]
