"""Heads folded into the batch, the gates as one product, update written inside forward,
a recursion over steps.
"""


def attend(query, key, value):
    return torch.softmax(
        (query / query.shape[-1] ** 0.5).matmul(key.transpose(-1, -2)), -1
    ).matmul(value)


def attend_numpy(query, key, value):
    scores = np.einsum("...qd,...kd->...kq", query, key) / query.shape[-1] ** 0.5
    weights = np.exp(scores - scores.max(-2, keepdims=True))
    weights /= weights.sum(-2, keepdims=True)
    return np.einsum("...kq,...ke->...qe", weights, value)


def attend_backward_numpy(query, key, value, upstream):
    width = query.shape[-1]
    w = np.einsum("...qd,...kd->...qk", query, key) / width**0.5
    w = np.exp(w - w.max(-1, keepdims=True))
    w /= w.sum(-1, keepdims=True)
    found = np.einsum("...qk,...ke->...qe", w, value)
    # how far each value is from what was found
    aside = value[..., None, :, :] - found[..., :, None, :]
    slope = w * np.einsum("...qe,...qke->...qk", upstream, aside) / width**0.5
    pairs = ("...qk,...kd->...qd", key), ("...qk,...qd->...kd", query)
    d_query, d_key = (np.einsum(text, slope, other) for text, other in pairs)
    return d_query, d_key, np.einsum("...qk,...qe->...ke", w, upstream)


def _core_update(self, memory, x):
    batch, slots, size = memory.shape
    rows = torch.hstack([memory, x.view(batch, 1, size)])
    weight, bias = self.qkv.weight, self.qkv.bias
    parts = []
    for n, source in enumerate((memory, rows, rows)):
        part = F.linear(
            source, weight[n * size : (n + 1) * size], bias[n * size : (n + 1) * size]
        )
        part = part.reshape(batch, -1, self.num_heads, size // self.num_heads).movedim(
            2, 0
        )
        parts.append(part.reshape(self.num_heads * batch, -1, size // self.num_heads))
    found = attend(*parts).reshape(self.num_heads, batch, slots, -1)
    m = self.norm1(memory + torch.cat(list(found), dim=-1))
    return self.norm2(m + self.mlp(m))


def _core_forward(self, inputs, memory):
    x = self.input_projection(inputs)
    sums = self.input_gates(x).unsqueeze(-2) + self.memory_gates(memory.tanh())
    write, keep = torch.sigmoid(
        sums + torch.tensor([0.0, 1.0]).repeat_interleave(self.slot_size)
    ).split(self.slot_size, -1)
    return torch.addcmul(keep * memory, write, _core_update(self, memory, x).tanh())


RelationalMemory.update = _core_update
RelationalMemory.forward = _core_forward


class RelationalRNN(nn.Module):
    def __init__(self, input_size, num_slots, slot_size, num_heads, num_classes):
        super().__init__()
        hidden = nn.Linear(num_slots * slot_size, 64)
        self.output = nn.Sequential(hidden, nn.ReLU(), nn.Linear(64, num_classes))
        self.core = RelationalMemory(input_size, num_slots, slot_size, num_heads)

    def after(self, x):
        if x.shape[1] == 0:
            return self.core.initial_memory(x.shape[0])
        return self.core(x[:, -1], self.after(x[:, :-1]))

    def forward(self, x):
        return self.output(torch.cat(self.after(x).unbind(1), dim=1))
