"""U_a applied to the keys once per source, −inf with nan_to_num, a translation that
encodes once, and NumPy by loops.
"""


def additive_attention_numpy(query, keys, W_a, U_a, v_a, mask=None):
    places = range(len(keys)) if mask is None else np.flatnonzero(mask)
    scores = np.array(
        [v_a @ np.tanh(W_a.dot(query) + U_a.dot(keys[place])) for place in places]
    )
    scores = np.exp(scores - scores.max())
    weights = np.zeros(len(keys))
    weights[list(places)] = scores / scores.sum()
    return np.average(keys, axis=0, weights=weights), weights


class BahdanauAttention(nn.Module):
    def __init__(self, query_size, key_size, attn_size):
        super().__init__()
        self.v_a = nn.Linear(attn_size, 1, bias=False)
        self.U_a = nn.Linear(key_size, attn_size, bias=False)
        self.W_a = nn.Linear(query_size, attn_size, bias=False)

    def look(self, query, prepared, keys, mask):
        scores = self.v_a(torch.tanh(self.W_a(query).unsqueeze(1) + prepared))[..., 0]
        if mask is not None:
            scores = torch.where(mask, scores, torch.full_like(scores, -torch.inf))
        weights = F.softmax(scores, dim=1).nan_to_num(0.0)
        return torch.einsum("bt,btk->bk", weights, keys), weights

    def forward(self, query, keys, mask=None):
        return self.look(query, self.U_a(keys), keys, mask)


class Seq2Seq(nn.Module):
    def __init__(self, vocab_size, hidden_size, attention=True):
        super().__init__()
        size = hidden_size
        self.hidden_size = size
        self.embed = nn.Embedding(vocab_size, size, padding_idx=PAD)
        self.encoder = nn.GRU(
            input_size=size, hidden_size=size, bidirectional=True, batch_first=True
        )
        self.bridge = nn.Linear(size, size)
        self.attention = None
        if attention:
            self.attention = BahdanauAttention(size, 2 * size, size)
        self.decoder = nn.GRUCell(3 * size, size)
        self.head = nn.Linear(3 * size, vocab_size)

    def encode(self, src, lengths):
        order = lengths.argsort(descending=True)
        packed = pack_padded_sequence(
            self.embed(src[order]), lengths[order], batch_first=True
        )
        states, ends = self.encoder(packed)
        states = pad_packed_sequence(states, batch_first=True)[0]
        states = F.pad(states, (0, 0, 0, src.shape[1] - states.shape[1]))
        back = order.argsort()
        states, ends = states[back], ends[:, back]
        prepared = None if self.attention is None else self.attention.U_a(states)
        return torch.tanh(self.bridge(ends[1])), (
            states,
            prepared,
            src.ne(PAD),
            ends.transpose(0, 1).flatten(1),
        )

    def step(self, symbol, s, memory):
        states, prepared, mask, fixed = memory
        if prepared is None:
            context, weights = fixed, torch.zeros_like(mask, dtype=s.dtype)
        else:
            context, weights = self.attention.look(s, prepared, states, mask)
        s = self.decoder(torch.cat((self.embed(symbol), context), -1), s)
        return self.head(torch.cat((s, context), -1)), weights, s

    def forward(self, src, lengths, tgt_in):
        s, memory = self.encode(src, lengths)
        logits, shares = [], []
        for t in range(tgt_in.shape[1]):
            row, weights, s = self.step(tgt_in[:, t], s, memory)
            logits.append(row)
            shares.append(weights)
        return torch.stack(logits, 1), torch.stack(shares, 1)


@torch.no_grad()
def greedy_translate(model, src, lengths, max_len):
    mode = model.training
    model.train(False)
    s, memory = model.encode(src, lengths)
    symbol, written = torch.full((src.shape[0],), BOS, dtype=torch.int64), []
    for _ in range(max_len):
        logits, _, s = model.step(symbol, s, memory)
        symbol = logits.argmax(-1)
        written.append(symbol)
    model.train(mode)
    return torch.stack(written, 1)
