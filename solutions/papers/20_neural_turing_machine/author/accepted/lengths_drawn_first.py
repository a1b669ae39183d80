"""Slots as a list of vectors, addresses by einsum, all lengths drawn before the
first update.
"""


def content_weights(memory, key, strength):
    slots = memory / memory.norm(dim=2, keepdim=True).clamp(min=1e-12)
    wanted = key / key.norm(dim=1, keepdim=True).clamp(min=1e-12)
    scores = strength * torch.einsum("bnm,bm->bn", slots, wanted)
    return F.softmax(scores - scores.detach().amax(dim=1, keepdim=True), dim=1)


def location_weights(content, previous, gate, shift, sharpen):
    gated = (1 - gate) * previous + gate * content
    # each slot with its neighbours on a circle
    ring = torch.cat([gated[:, -1:], gated, gated[:, :1]], dim=1)
    moved = (ring.unfold(1, 3, 1) * shift.flip(1)[:, None]).sum(dim=2)
    powers = moved.pow(sharpen)
    return powers.div(powers.sum(dim=1, keepdim=True))


class NTM(NTM):
    def forward(self, x):
        zeros = x.new_zeros(len(x), self.slot_size)
        memory, found = torch.stack([zeros + 1e-6] * self.num_slots, dim=1), zeros
        first = F.one_hot(torch.zeros(len(x), dtype=torch.int64), self.num_slots).to(
            x.dtype
        )
        reads, writes, logits = [first], [first], []
        for t in range(x.shape[1]):
            h = self.controller(torch.cat((x[:, t], found), dim=-1)).tanh()
            asked = self.write_head(h)
            erase, add = asked[:, self.slot_size + 6 :].chunk(2, dim=1)
            writes.append(self.address(memory, asked, writes[-1]))
            memory = write_memory(
                memory, writes[-1], torch.sigmoid(erase), torch.tanh(add)
            )
            reads.append(self.address(memory, self.read_head(h), reads[-1]))
            found = torch.einsum("bn,bnm->bm", reads[-1], memory)
            logits.append(self.output(torch.cat((h, found), dim=-1)))
        return (
            torch.stack(logits, 1),
            torch.stack(reads[1:], 1),
            torch.stack(writes[1:], 1),
        )

    def address(self, memory, asked, previous):
        m = self.slot_size
        content = content_weights(
            memory, torch.tanh(asked[:, :m]), F.softplus(asked[:, m : m + 1])
        )
        gate, shift = (
            torch.sigmoid(asked[:, m + 1 : m + 2]),
            F.softmax(asked[:, m + 2 : m + 5], dim=1),
        )
        return location_weights(
            content, previous, gate, shift, 1 + F.softplus(asked[:, m + 5 : m + 6])
        )


def train_copy(
    model, *, steps, width, max_length, batch_size=16, lr=2e-2, generator=None
):
    model.train().zero_grad()
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for length in torch.randint(
        1, max_length + 1, (steps,), generator=generator
    ).tolist():
        x, bits = make_copy_batch(batch_size, length, width, generator)
        result = model(x)
        recalled = (result[0] if isinstance(result, tuple) else result)[:, length:]
        loss = (F.softplus(recalled) - bits * recalled).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(model.parameters()), 1)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses
