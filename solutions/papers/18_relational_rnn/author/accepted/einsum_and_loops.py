"""Attention by einsum and a softmax by hand, x as the first row, a loop over heads, and
gates from two weights each.
"""


def attend(query, key, value):
    scores = torch.einsum("...qd,...kd->...qk", query, key) * query.size(-1) ** -0.5
    weights = torch.exp(scores - scores.amax(dim=-1, keepdim=True))
    weights = weights / weights.sum(dim=-1, keepdim=True)
    return torch.einsum("...qk,...ke->...qe", weights, value)


def attend_numpy(query, key, value):
    if query.ndim > 2:
        return np.stack([attend_numpy(*one) for one in zip(query, key, value)])
    rows = []
    for q in query:
        scores = key @ q / np.sqrt(len(q))
        weights = np.exp(scores - max(scores))
        rows.append(weights @ value / weights.sum())
    return np.array(rows)


def attend_backward_numpy(query, key, value, upstream):
    if query.ndim > 2:
        parts = [
            attend_backward_numpy(*one) for one in zip(query, key, value, upstream)
        ]
        return tuple(np.stack(part) for part in zip(*parts))
    d_query, d_key, d_value = (np.zeros_like(part) for part in (query, key, value))
    for n, (q, g) in enumerate(zip(query, upstream)):
        w = np.exp(key @ q / np.sqrt(len(q)) - max(key @ q / np.sqrt(len(q))))
        w = w / w.sum()
        jacobian = np.diag(w) - np.outer(w, w)
        slope = jacobian @ (value @ g) / np.sqrt(len(q))
        d_query[n] = slope @ key
        d_key += np.outer(slope, q)
        d_value += np.outer(w, g)
    return d_query, d_key, d_value


class RelationalMemory(nn.Module):
    def __init__(self, input_size, num_slots, slot_size, num_heads):
        super().__init__()
        if slot_size // num_heads * num_heads != slot_size:
            raise ValueError(
                f"{num_heads} heads do not divide slots of {slot_size} numbers"
            )
        self.num_slots, self.slot_size, self.num_heads = num_slots, slot_size, num_heads
        self.mlp = nn.Sequential(
            nn.Linear(slot_size, slot_size), nn.ReLU(), nn.Linear(slot_size, slot_size)
        )
        self.norm2, self.norm1 = nn.LayerNorm(slot_size), nn.LayerNorm(slot_size)
        self.memory_gates, self.input_gates = (
            nn.Linear(slot_size, slot_size * 2) for _ in range(2)
        )
        self.qkv = nn.Linear(slot_size, slot_size * 3)
        self.input_projection = nn.Linear(input_size, slot_size)

    def initial_memory(self, batch_size):
        memory = self.qkv.weight.new_zeros(batch_size, self.num_slots, self.slot_size)
        for s in range(min(self.num_slots, self.slot_size)):
            memory[:, s, s] = 1
        return memory

    def update(self, memory, x):
        size = self.slot_size // self.num_heads
        queries = self.qkv(memory)[..., : self.slot_size].split(size, dim=-1)
        seen = self.qkv(torch.cat([x.unsqueeze(1), memory], dim=1))
        keys, values = (
            part.split(size, dim=-1)
            for part in seen[..., self.slot_size :].chunk(2, dim=-1)
        )
        attended = torch.cat(
            [attend(*one) for one in zip(queries, keys, values)], dim=-1
        )
        m = self.norm1(memory.add(attended))
        return self.norm2(self.mlp(m) + m)

    def forward(self, inputs, memory):
        x = self.input_projection(inputs)
        d = self.slot_size
        new = []
        for slot, candidate in zip(memory.unbind(1), self.update(memory, x).unbind(1)):
            gates = self.input_gates(x) + self.memory_gates(slot.tanh())
            new.append(
                gates[:, :d].sigmoid() * candidate.tanh()
                + (1 + gates[:, d:]).sigmoid() * slot
            )
        return torch.stack(new, dim=1)


def train_recall(
    model, *, steps, num_pairs=3, num_values=3, batch_size=32, lr=5e-3, generator=None
):
    model.train().zero_grad()
    parameters = list(model.parameters())
    optimizer = torch.optim.Adam(parameters, lr=lr)
    losses = []
    while len(losses) < steps:
        x, y = make_recall_batch(batch_size, num_pairs, num_values, generator)
        loss = -model(x).log_softmax(dim=1).gather(1, y[:, None]).mean()
        loss.backward()
        norm = torch.stack([parameter.grad.norm() for parameter in parameters]).norm()
        for parameter in parameters:
            parameter.grad /= norm.clamp(min=1)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss))
    return losses
