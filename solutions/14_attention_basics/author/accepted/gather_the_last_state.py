"""The last real state found by `gather`, the loss by a transpose, tokens written into a
tensor made beforehand.
"""


class Seq2Seq(Seq2Seq):
    def forward(self, src, tgt_in, src_mask=None):
        if src_mask is None:
            src_mask = torch.ones(src.shape, dtype=torch.bool, device=src.device)
        encoded = self.encoder(self.embedding(src))[0]
        index = (src_mask.cumsum(dim=1) * src_mask).argmax(dim=1)
        last = encoded.gather(1, index[:, None, None].expand(-1, 1, encoded.shape[2]))
        states = self.decoder(
            self.embedding(tgt_in), last.transpose(0, 1).contiguous()
        )[0]
        weights = None
        if self.attention is not None:
            context, weights = self.attention(
                query=states, keys=encoded, values=encoded, mask=src_mask
            )
            states = torch.cat([context, states], dim=2)
        return self.head(states), weights


def greedy_decode(model, src, max_len, src_mask=None):
    flag = model.training
    model.train(False)
    try:
        fed = torch.zeros(src.size(0), max_len + 1, dtype=torch.long, device=src.device)
        fed[:, 0] = BOS
        with torch.inference_mode():
            for t in range(max_len):
                logits, weights = model(src, fed[:, : t + 1], src_mask)
                fed[:, t + 1] = logits[:, t].argmax(dim=-1)
        return fed[:, 1:], weights
    finally:
        model.train(flag)


def train_seq2seq(model, steps, batch_size=64, length=8, lr=5e-3, generator=None):
    model.train(True)
    adam = torch.optim.Adam(model.parameters(), lr)
    batches = [
        make_reversal_batch(batch_size, length, model.head.out_features, generator)
        for _ in range(steps)
    ]
    history = []
    for src, tgt_in, tgt_out in batches:
        loss = nn.CrossEntropyLoss()(model(src, tgt_in)[0].transpose(1, 2), tgt_out)
        history.append(float(loss))
        model.zero_grad()
        loss.backward()
        adam.step()
    return history
