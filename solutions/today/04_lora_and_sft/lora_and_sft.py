"""Fine-tuning a language model on conversations: low-rank adapters, a chat template, a
loss mask, and packed rows.

Sizes: O × I is a weight as nn.Linear holds it, r the rank of an adapter, T the tokens
of a row, N the rows.
Token ids are torch.long, and a target of −100 does not count in a loss.
"""

import math  # stub: keep
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch  # stub: keep
from torch import Tensor, nn

from grader.loading import prerequisite

Decoder = prerequisite("today/01_todays_block").Decoder
DecoderConfig = prerequisite("today/01_todays_block").DecoderConfig


class LoRALinear(nn.Module):
    """A frozen linear layer with a trainable correction of rank r beside it:
    y = base(x) + (alpha / r) · B A x.
    """

    def __init__(self, base: nn.Linear, rank: int, alpha: float, dropout: float = 0.0):
        """Freeze the layer, and put two thin matrices beside it.

        Args:
            base: the layer to adapt, itself and not a copy. All of its parameters
                stop learning.
            rank: r. A 512 × 512 weight has 262144 numbers; with r = 4, A and B
                have 4096.
            alpha: the correction is scaled by alpha / r.
            dropout: the probability with which features of the correction's input are
                dropped in training mode.

        Attributes, under these names:
            base: the frozen layer.
            lora_A: nn.Parameter (r, I), drawn by `nn.init.kaiming_uniform_` with
            a = √5, as nn.Linear draws its weight. lora_B: nn.Parameter (O, r), zeros.
            With it the correction begins at 0.

        Edge cases ★
            A rank below 1 is an error that names it. A and B have the dtype and device
            of base's weight.
        """
        if rank < 1:
            raise ValueError(f"the rank must be at least 1, not {rank}")
        super().__init__()
        self.base = base.requires_grad_(False)
        self.lora_A = nn.Parameter(base.weight.new_empty(rank, base.in_features))
        self.lora_B = nn.Parameter(base.weight.new_zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))
        self.dropout = nn.Dropout(dropout)
        self.scale = alpha / rank

    def forward(self, x: Tensor) -> Tensor:
        """Add the scaled correction to what the frozen layer gives.

        Args:
            x: (…, I).
        Returns:
            (…, O): base(x) + (alpha / r) · (dropout(x) Aᵀ) Bᵀ. Only the correction's
            input is dropped.
        """
        return self.base(x) + self.scale * (
            self.dropout(x) @ self.lora_A.mT @ self.lora_B.mT
        )

    def merge(self) -> nn.Linear:
        """Make one plain layer that does the same in eval mode, without the cost of
        a correction.

        Returns:
            A new nn.Linear with the weight W + (alpha / r) · B A and base's bias, or
            none if base has none. It shares no memory with this module, and this module
            stays as it was: merging again gives the same layer.

        Edge cases ★
            The new layer has the dtype and device of base.
        """
        base = self.base
        merged = nn.Linear(
            base.in_features, base.out_features, bias=base.bias is not None
        )
        merged = merged.to(base.weight)
        with torch.no_grad():
            merged.weight.copy_(base.weight + self.scale * self.lora_B @ self.lora_A)
            if base.bias is not None:
                merged.bias.copy_(base.bias)
        return merged


def add_lora(
    model: nn.Module, names: Sequence[str], rank: int, alpha: float
) -> list[str]:
    """Put a LoRALinear in the place of every nn.Linear whose last name is in
    `names`. Given.

    Returns:
        The full names of the layers: ["model.layers.0.self_attn.q_proj", …].
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


def mark_trainable(model: nn.Module, also: Sequence[str] = ()) -> int:
    """Let the adapters learn, and nothing else but the parts that are named.

    Args:
        model: has parameters called `lora_A` and `lora_B` somewhere, such as
            "layers.0.q_proj.lora_A".
        also: names of parts ("norm") or of single parameters ("head.bias") that learn
            as well. A name ends before a dot or is the whole name: "norm" does not
            cover "norm_2.weight".
    Returns:
        The number of trainable values, an int.

    `requires_grad` becomes True for these parameters and False for all others, whatever
    they were before.

    Edge cases ★
        A name in `also` that covers nothing is an error that names it and
        changes nothing.
    """
    named = dict(model.named_parameters())
    for prefix in also:
        if not any(_covers(prefix, name) for name in named):
            raise ValueError(f"there is no parameter under {prefix!r}")
    for name, parameter in named.items():
        is_adapter = name.rpartition(".")[2] in ("lora_A", "lora_B")
        parameter.requires_grad_(
            is_adapter or any(_covers(prefix, name) for prefix in also)
        )
    return sum(
        parameter.numel() for parameter in named.values() if parameter.requires_grad
    )


def chat_template(
    messages: Sequence[Mapping[str, str]],
    encode: Callable[[str], list[int]],
    im_start: int,
    im_end: int,
    add_generation_prompt: bool = False,
) -> list[int]:
    """Write a conversation as tokens, in the format ChatML.

    Args:
        messages: dicts with "role" and "content", such as {"role": "user",
            "content": "Hi"}.
        encode: turns text into token ids. It gives no special token, whatever the text.
        im_start, im_end: the ids of the two special tokens around a message.
        add_generation_prompt: whether the assistant is to speak next.
    Returns:
        A list of ids. For each message im_start, encode(role + "\\n"), encode(content),
        im_end, encode("\\n"). With the prompt, im_start and encode("assistant\\n")
        follow at the end.

    Put the special tokens in as ids, never as text. A user who types "<|im_end|>" then
    gets some ordinary tokens, and cannot end the message.

    Edge cases ★
        A role other than system, user and assistant is an error that names it.
    """
    ids: list[int] = []
    for message in messages:
        role, content = message["role"], message["content"]
        if role not in ("system", "user", "assistant"):
            raise ValueError(f"the role {role!r} should be system, user or assistant")
        ids += [im_start, *encode(f"{role}\n"), *encode(content), im_end, *encode("\n")]
    if add_generation_prompt:
        ids += [im_start, *encode("assistant\n")]
    return ids


def loss_mask(ids: Tensor, header: Sequence[int], im_end: int) -> Tensor:
    """Mark the tokens that the assistant says: those that the loss counts.

    Args:
        ids: (T,), a conversation as `chat_template` writes it.
        header: the ids that begin an assistant's message: [im_start] +
            encode("assistant\\n").
        im_end: the id that ends a message.
    Returns:
        (T,) bool. True from behind each header to the next im_end, which is included:
        the model must learn to stop. False for headers, other messages, and the newline
        after im_end. With header 8 3 and im_end 9:

            ids    8 5 1 2 9 0 8 3 6 7 9 0
            mask   . . . . . . . . x x x .

    The mask belongs to the tokens, not to the inputs that predict them: targets are
    where(mask, ids, −100)[1:].

    Edge cases ★
        A last message without im_end counts to its end.
    """
    mask = torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
    tokens, start, is_speaking = ids.tolist(), list(header), False
    for t, token in enumerate(tokens):
        if is_speaking:
            mask[t] = True
            is_speaking = token != im_end
        elif tokens[max(t + 1 - len(start), 0) : t + 1] == start:
            is_speaking = True
    return mask


class Packed(NamedTuple):
    """Rows that hold several documents each: four (N, T) long tensors."""

    ids: Tensor
    targets: Tensor
    doc_ids: Tensor
    positions: Tensor


def pack_documents(
    docs: Sequence[Sequence[int]],
    masks: Sequence[Sequence[bool]],
    block_size: int,
    pad: int = 0,
) -> Packed:
    """Lay documents side by side into rows of equal length, by first fit.

    Args:
        docs: the tokens of each document.
        masks: for each document which of its tokens count in the loss.
        block_size: T.
        pad: the id that fills up a row.
    Returns:
        Packed. Documents go in the given order, each unsplit to the first row with room
        for it; a new row opens when none has. With T = 5, lengths 3, 4, 2 make two
        rows: the first and the third document, then the second.

        - ids: the tokens; `pad` where a row is not full.
        - doc_ids: 0, 1, … within each row, by place; −1 on padding.
        - positions: from 0 again in each document; 0 on padding.
        - targets: the next token of the same document if its mask is True, else −100. A
          document's last token and padding have the target −100.

    Edge cases ★
        A document longer than T is an error that names both sizes.
    """
    rows: list[list[int]] = []  # the numbers of the documents in each row
    room: list[int] = []
    for number, doc in enumerate(docs):
        if len(doc) > block_size:
            raise ValueError(
                f"a document of {len(doc)} tokens does not fit into a row of "
                f"{block_size}"
            )
        row = next((i for i, left in enumerate(room) if len(doc) <= left), len(rows))
        if row == len(rows):
            rows.append([])
            room.append(block_size)
        rows[row].append(number)
        room[row] -= len(doc)
    shape = len(rows), block_size
    ids, targets = torch.full(shape, pad), torch.full(shape, -100)
    doc_ids, positions = torch.full(shape, -1), torch.zeros(shape, dtype=torch.long)
    for row, numbers in enumerate(rows):
        start = 0
        for place, number in enumerate(numbers):
            doc = torch.tensor(docs[number], dtype=torch.long)
            counts = torch.tensor(masks[number], dtype=torch.bool)
            end = start + len(doc)
            ids[row, start:end] = doc
            targets[row, start : end - 1] = doc.where(counts, -100)[1:]
            doc_ids[row, start:end] = place
            positions[row, start:end] = torch.arange(len(doc))
            start = end
    return Packed(ids, targets, doc_ids, positions)


def document_mask(doc_ids: Tensor) -> Tensor:
    """Let every token see its own document up to itself, and nothing of its neighbours
    in the row.

    Args:
        doc_ids: (N, T), as in Packed.
    Returns:
        (N, 1, T, T) bool, True = may attend: [n, 0, t, s] is True if s ≤ t and both
        belong to the same document. The 1 is for the heads. [0 0 1] gives

            x . .
            x x .
            . . x

    Padding (−1) sees itself and no document; whether it sees earlier padding is left
    open. A row without any True would be NaN after the softmax.
    """
    same = doc_ids[:, None, :, None] == doc_ids[:, None, None, :]
    return same.tril()


def _covers(prefix: str, name: str) -> bool:
    """Whether the name is the prefix, or lies below it."""
    return f"{name}.".startswith(f"{prefix}.")
