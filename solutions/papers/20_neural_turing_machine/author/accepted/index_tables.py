"""Directions by F.normalize, shifts by an index table, writes by baddbmm, heads
unpacked by slices.
"""


def content_weights(memory, key, strength):
    alike = torch.bmm(
        F.normalize(memory, dim=2), F.normalize(key, dim=1).unsqueeze(2)
    ).squeeze(2)
    return torch.softmax(strength * alike, 1)


def content_weights_numpy(memory, key, strength):
    result = np.zeros(memory.shape[:2])
    for b, (slots, wanted, sharp) in enumerate(zip(memory, key, strength)):
        directions = slots / np.maximum(
            np.linalg.norm(slots, axis=1, keepdims=True), 1e-300
        )
        scores = sharp * (directions @ (wanted / max(np.linalg.norm(wanted), 1e-300)))
        result[b] = np.exp(scores - scores.max())
        result[b] /= result[b].sum()
    return result


def location_weights(content, previous, gate, shift, sharpen):
    mixed = torch.lerp(previous, content, gate)
    n = torch.arange(mixed.shape[1])
    # (N, 3): where the weight of slot n comes from
    origins = (n[:, None] - torch.tensor([-1, 0, 1])) % len(n)
    moved = (mixed[:, origins] * shift[:, None]).sum(dim=2)
    return F.normalize(moved.pow(sharpen), p=1, dim=1)


def write_memory(memory, weights, erase, add):
    kept = memory - memory * torch.einsum("bn,bm->bnm", weights, erase)
    return torch.baddbmm(kept, weights[:, :, None], add[:, None])


class NTM(nn.Module):
    def __init__(self, input_size, output_size, num_slots, slot_size, hidden_size):
        super().__init__()
        self.output = nn.Linear(hidden_size + slot_size, output_size)
        self.read_head = nn.Linear(hidden_size, slot_size + 6)
        self.write_head = nn.Linear(hidden_size, 3 * slot_size + 6)
        self.controller = nn.Linear(slot_size + input_size, hidden_size)
        self.num_slots, self.slot_size = num_slots, slot_size

    def weights(self, asked, memory, previous):
        m = self.slot_size
        by_content = content_weights(
            memory, asked[:, :m].tanh(), F.softplus(asked[:, m, None])
        )
        gate, sharpen = (
            asked[:, m + 1, None].sigmoid(),
            F.softplus(asked[:, m + 5, None]) + 1,
        )
        return location_weights(
            by_content, previous, gate, asked[:, m + 2 : m + 5].softmax(-1), sharpen
        )

    def forward(self, x):
        size, times, _ = x.shape
        m = self.slot_size
        memory = torch.full((size, self.num_slots, m), 1e-6, dtype=x.dtype)
        address = {
            head: torch.eye(self.num_slots, dtype=x.dtype)[:1].repeat(size, 1)
            for head in ("read", "write")
        }
        found = torch.zeros(size, m, dtype=x.dtype)
        kept = {"logits": [], "read": [], "write": []}
        for t in range(times):
            state = self.controller(torch.hstack([x[:, t], found])).tanh()
            asked = self.write_head(state)
            address["write"] = self.weights(asked, memory, address["write"])
            memory = write_memory(
                memory,
                address["write"],
                asked[:, m + 6 : 2 * m + 6].sigmoid(),
                asked[:, -m:].tanh(),
            )
            address["read"] = self.weights(
                self.read_head(state), memory, address["read"]
            )
            found = torch.einsum("bn,bnm->bm", address["read"], memory)
            kept["logits"].append(self.output(torch.hstack([state, found])))
            for head in address:
                kept[head].append(address[head])
        return tuple(torch.stack(parts, 1) for parts in kept.values())
