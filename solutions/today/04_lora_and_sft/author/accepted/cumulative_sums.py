"""The correction from one matrix B A; a deep copy for the merge; the mask by running
counts; the document mask by an outer comparison of three-dimensional tensors.
"""

import copy


class LoRALinear(nn.Module):
    def __init__(self, base, rank, alpha, dropout=0.0):
        super().__init__()
        if rank <= 0:
            raise ValueError(f"rank {rank}")
        for parameter in base.parameters():
            parameter.requires_grad = False
        self.base, self.rank, self.alpha, self.p = base, rank, alpha, dropout
        self.lora_A = nn.Parameter(torch.zeros_like(base.weight[:1]).repeat(rank, 1))
        self.lora_B = nn.Parameter(torch.zeros_like(base.weight[:, :1]).repeat(1, rank))
        bound = base.in_features**-0.5
        with torch.no_grad():
            self.lora_A.uniform_(-bound, bound)

    def delta(self):
        return self.lora_B.matmul(self.lora_A) * (self.alpha / self.rank)

    def forward(self, x):
        dropped = nn.functional.dropout(x, self.p, self.training)
        return nn.functional.linear(dropped, self.delta()) + self.base(x)

    def merge(self):
        merged = copy.deepcopy(self.base)
        merged.weight.data.add_(self.delta().detach())
        return merged.requires_grad_(True)


def mark_trainable(model, also=()):
    names = [name for name, _ in model.named_parameters()]
    unknown = [
        part
        for part in also
        if not any(name == part or name.startswith(f"{part}.") for name in names)
    ]
    if unknown:
        raise KeyError(f"nothing is called {unknown}")
    model.requires_grad_(False)
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if name in {"lora_A", "lora_B"}:
                parameter.requires_grad_()
    for name, parameter in model.named_parameters():
        if any((name + ".").startswith(part + ".") for part in also):
            parameter.requires_grad = True
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def loss_mask(ids, header, im_end):
    """A token is said by the assistant if, of the headers and ends before it, the last
    is a header.
    """
    long, length = len(header), len(ids)
    begun = torch.zeros(length + 1, dtype=torch.long)
    for t in range(long, length + 1):
        begun[t] = t if ids[t - long : t].tolist() == list(header) else 0
    ended = torch.zeros(length + 1, dtype=torch.long)
    ended[1:] = torch.where(ids == im_end, torch.arange(1, length + 1), 0)
    begun, ended = begun.cummax(0).values[:length], ended.cummax(0).values[:length]
    return begun > ended


def document_mask(doc_ids):
    length = doc_ids.size(-1)
    later = torch.triu(
        torch.ones(length, length, dtype=torch.bool, device=doc_ids.device), diagonal=1
    )
    same = doc_ids.unsqueeze(2).eq(doc_ids.unsqueeze(1)) & (doc_ids >= 0).unsqueeze(2)
    alone = torch.eye(length, dtype=torch.bool, device=doc_ids.device)
    return ((same & ~later) | alone).unsqueeze(1)
