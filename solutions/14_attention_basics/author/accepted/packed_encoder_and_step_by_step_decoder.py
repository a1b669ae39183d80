"""The encoder on a packed sequence, whose last state is the right one; decoder and
attention one step at a time; decoding that carries the state along instead of
starting anew.
"""

from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class Seq2Seq(nn.Module):
    def __init__(self, vocab_size, embed_dim, hidden_size, use_attention=True):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embed_dim, padding_idx=PAD)
        self.encoder = nn.GRU(embed_dim, hidden_size, num_layers=1, batch_first=True)
        self.decoder = nn.GRU(embed_dim, hidden_size, num_layers=1, batch_first=True)
        self.attention = None
        if use_attention:
            self.attention = AdditiveAttention(hidden_size, hidden_size, hidden_size)
        self.head = nn.Linear(hidden_size * (1 + use_attention), vocab_size)

    def encode(self, src, src_mask):
        if src_mask is None:
            return self.encoder(self.embedding(src))
        lengths = src_mask.long().sum(dim=-1).cpu()
        packed = pack_padded_sequence(
            self.embedding(src), lengths, batch_first=True, enforce_sorted=False
        )
        encoded, state = self.encoder(packed)
        return pad_packed_sequence(
            encoded, batch_first=True, total_length=src.shape[1]
        )[0], state

    def step(self, symbols, state, encoded, src_mask):
        output, state = self.decoder(self.embedding(symbols)[:, None], state)
        output = output[:, 0]
        if self.attention is None:
            return self.head(output), None, state
        context, weights = self.attention(output, encoded, encoded, src_mask)
        return self.head(torch.cat((context, output), dim=1)), weights, state

    def forward(self, src, tgt_in, src_mask=None):
        encoded, state = self.encode(src, src_mask)
        all_logits, all_weights = [], []
        for symbols in tgt_in.unbind(dim=1):
            logits, weights, state = self.step(symbols, state, encoded, src_mask)
            all_logits.append(logits)
            all_weights.append(weights)
        weights = None if self.attention is None else torch.stack(all_weights, dim=1)
        return torch.stack(all_logits, dim=1), weights


@torch.no_grad()
def greedy_decode(model, src, max_len, src_mask=None):
    was_training, tokens, patterns = model.training, [], []
    try:
        model.eval()
        encoded, state = model.encode(src, src_mask)
        symbols = src.new_full((src.shape[0],), BOS)
        for _ in range(max_len):
            logits, weights, state = model.step(symbols, state, encoded, src_mask)
            symbols = logits.argmax(dim=-1)
            tokens.append(symbols)
            patterns.append(weights)
    finally:
        model.train(was_training)
    return torch.stack(tokens, dim=1), None if model.attention is None else torch.stack(
        patterns, dim=1
    )
