"""All masks of a call drawn by one bernoulli before its first step; the windows of all
updates drawn before the first.
"""


class RegularizedLSTM(RegularizedLSTM):
    def forward(self, ids, state=None):
        rows, steps = ids.shape
        embedded = self.embed(ids)
        zeros = embedded.new_zeros(rows, self.hidden_size)
        hs, cs = map(list, zip(*(state or [(zeros, zeros)] * len(self.cells))))
        kept = 1 - self.p if self.training else 1.0
        masks = (
            torch.bernoulli(
                embedded.new_full((steps, len(self.cells) + 1, *zeros.shape), kept)
            )
            / kept
        )
        ones = torch.ones_like(masks)
        inputs, olds = (masks, ones) if self.where == "non_recurrent" else (ones, masks)
        tops = torch.empty_like(embedded)
        for t in range(steps):
            x = embedded[:, t]
            for layer, cell in enumerate(self.cells):
                hs[layer], cs[layer] = cell(
                    x * inputs[t, layer], (hs[layer] * olds[t, layer], cs[layer])
                )
                x = hs[layer]
            tops[:, t] = x * inputs[t, -1]
        return self.head(tops), list(zip(hs, cs))


def train_lm(model, ids, *, steps=200, batch=16, seq_len=20, lr=0.01, generator=None):
    model.train().zero_grad()
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    starts = torch.randint(len(ids) - seq_len, (steps, batch), generator=generator)
    losses = torch.zeros(steps)
    for step, windows in enumerate(ids.unfold(0, seq_len + 1, 1)[starts]):
        loss = F.nll_loss(
            model(windows[:, :-1])[0].log_softmax(dim=2).mT, windows[:, 1:]
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(model.parameters()), max_norm=1)
        optimizer.step()
        optimizer.zero_grad()
        losses[step] = loss.detach()
    return losses.tolist()


class VariationalLSTM(VariationalLSTM):
    def forward(self, ids, state=None):
        places = 2 * len(self.cells) + 1
        ones = self.head.weight.new_ones(places, len(ids), self.hidden_size)
        top, *masks = F.dropout(ones, self.p, self.training)
        zeros = torch.zeros_like(ones[0])
        xs, after = self.embed(ids).unbind(1), []
        # a layer reads all steps before the next one begins
        for layer, cell in enumerate(self.cells):
            h, c = state[layer] if state else (zeros, zeros)
            above = []
            for x in xs:
                h, c = cell(x * masks[2 * layer], (h * masks[2 * layer + 1], c))
                above.append(h)
            xs = above
            after.append((h, c))
        return self.head(torch.stack(xs, 1) * top[:, None]), after
