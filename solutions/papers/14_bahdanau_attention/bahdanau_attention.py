"""The end of the bottleneck: additive attention, an encoder and a decoder with and
without it, and their training.

After Bahdanau, Cho and Bengio, "Neural Machine Translation by Jointly Learning to Align
and Translate" (2014).
Sizes: B sequences in a batch, T source and T' target places, H hidden units, V symbols;
queries have Q, keys K and the attention A features. Masks are bool: True = may attend.
"""

import numpy as np  # stub: keep
import torch
import torch.nn.functional as F  # stub: keep
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence  # stub: keep

PAD, BOS = 0, 1  # padding, and the begin of a target; symbols proper are 2, 3, …, V − 1


def reverse_batch(  # stub: keep
    batch: int,
    min_len: int,
    max_len: int,
    vocab_size: int,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draw random sequences and their reversals: src (B, T), lengths (B,), tgt_in and
    tgt_out (B, T), T = max_len.

    With max_len = 4, the sequence 5 8 3 has src [5 8 3 PAD], tgt_in [BOS 3 8 5] and
    tgt_out [3 8 5 PAD].
    """
    lengths = torch.randint(min_len, max_len + 1, (batch,), generator=generator)
    symbols = torch.randint(BOS + 1, vocab_size, (batch, max_len), generator=generator)
    places = torch.arange(max_len)
    src = symbols.where(places < lengths[:, None], PAD)
    # where each symbol of the reversal comes from; negative after its end
    back = lengths[:, None] - 1 - places
    tgt_out = src.gather(1, back.clamp(min=0)).where(back >= 0, PAD)
    tgt_in = torch.cat([torch.full((batch, 1), BOS), tgt_out[:, :-1]], dim=1)
    return src, lengths, tgt_in, tgt_out


def additive_attention_numpy(
    query: np.ndarray,
    keys: np.ndarray,
    W_a: np.ndarray,
    U_a: np.ndarray,
    v_a: np.ndarray,
    mask: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Compute additive attention for one query, in NumPy.

    Args:
        query, keys: (Q,) and (T, K).
        W_a, U_a, v_a: (A, Q), (A, K) and (A,).
        mask: (T,) bool, with at least one True. None means that every key may be
            attended to.
    Returns:
        The pair (context (K,), weights (T,)):

            e_j = v_a · tanh(W_a query + U_a key_j)
            weights = softmax(e), over the keys that may be attended to, 0 elsewhere
            context = Σ_j weights_j · key_j

    Edge cases ★
        float64 precision. Scores in the thousands give finite weights.
    """
    scores = np.tanh(W_a @ query + keys @ U_a.T) @ v_a
    if mask is not None:
        scores = np.where(mask, scores, -np.inf)
    weights = np.exp(scores - scores.max())
    weights = weights / weights.sum()
    return weights @ keys, weights


class BahdanauAttention(nn.Module):
    """Score every key against the query, and average the keys by the softmax of the
    scores (section 3.1).

    Args:
        query_size, key_size, attn_size: Q, K and A.
    Attributes:
        W_a, U_a, v_a: nn.Linear without bias, from Q to A, from K to A, and from A
            to 1.

    `forward(query, keys, mask=None)` takes query (B, Q), keys (B, T, K) and mask
    (B, T), and returns the pair (context (B, K), weights (B, T)):

        e_j = v_a(tanh(W_a(query) + U_a(key_j)))
        weights = softmax(e), over the T keys that the mask allows, 0 elsewhere
        context = Σ_j weights_j · key_j

    - None as mask means that every key may be attended to.

    Edge cases ★
        A row that is masked everywhere has zeros as weights and as context, and finite
        gradients. Scores in the thousands give finite weights. A float64 module
        computes in float64.
    """

    def __init__(self, query_size: int, key_size: int, attn_size: int):
        super().__init__()
        self.W_a = nn.Linear(query_size, attn_size, bias=False)
        self.U_a = nn.Linear(key_size, attn_size, bias=False)
        self.v_a = nn.Linear(attn_size, 1, bias=False)

    def forward(
        self, query: Tensor, keys: Tensor, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        sums = self.W_a(query)[:, None] + self.U_a(keys)
        scores = self.v_a(torch.tanh(sums)).squeeze(-1)
        if mask is None:
            weights = scores.softmax(dim=-1)
        else:  # a finite fill: a row of -inf would be NaN
            lowest = torch.finfo(scores.dtype).min
            weights = (
                scores.masked_fill(~mask, lowest)
                .softmax(dim=-1)
                .masked_fill(~mask, 0.0)
            )
        context = (weights[..., None] * keys).sum(dim=1)
        return context, weights


class Seq2Seq(nn.Module):
    """Read a sequence in both directions, then write another one, with or without
    attention to what was read.
    """

    def __init__(self, vocab_size: int, hidden_size: int, attention: bool = True):
        """Build the parts. Source and target share one vocabulary and one embedding.

        Args:
            vocab_size, hidden_size: V and H.
            attention: without it, one fixed vector is all that the decoder learns of
                the source.
        Attributes:
            embed: nn.Embedding(V, H).
            encoder: a bidirectional nn.GRU from H to H, batch first.
            bridge: nn.Linear(H, H), for the decoder's first state.
            attention: BahdanauAttention(H, 2H, H), or None.
            decoder: nn.GRUCell(3H, H).
            head: nn.Linear(3H, V).
        """
        super().__init__()
        self.embed = nn.Embedding(vocab_size, hidden_size)
        self.encoder = nn.GRU(
            hidden_size, hidden_size, batch_first=True, bidirectional=True
        )
        self.bridge = nn.Linear(hidden_size, hidden_size)
        self.attention = (
            BahdanauAttention(hidden_size, 2 * hidden_size, hidden_size)
            if attention
            else None
        )
        self.decoder = nn.GRUCell(3 * hidden_size, hidden_size)
        self.head = nn.Linear(3 * hidden_size, vocab_size)

    def forward(
        self, src: Tensor, lengths: Tensor, tgt_in: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Predict each target symbol from the source and the target symbols before.

        Args:
            src, lengths: (B, T) int64 with PAD after the end, and (B,) int64, in
                any order.
            tgt_in: (B, T') int64, from BOS on.
        Returns:
            The pair (logits (B, T', V), weights (B, T', T)). Without attention the
            weights are zeros.

        - The encoder reads embed(src), each row up to its length (packed), so that
          padding changes nothing.
        - The first state is s_0 = tanh(bridge(the backward direction's last state)).
        - Step t = 1, 2, …, with y_{t−1} from tgt_in and [ ] for "side by side":

              context = attention(s_{t−1}, the encoder's outputs, where src is not PAD)
              s_t     = decoder([embed(y_{t−1}), context], s_{t−1})
              logits  = head([s_t, context])

          Without attention, context is [last forward state, last backward state] at
          every step.
        """
        packed = pack_padded_sequence(
            self.embed(src), lengths, batch_first=True, enforce_sorted=False
        )
        outputs, (forward, backward) = self.encoder(packed)
        states, _ = pad_packed_sequence(
            outputs, batch_first=True, total_length=src.size(1)
        )
        s = torch.tanh(self.bridge(backward))
        context = torch.cat([forward, backward], dim=1)
        weights = states.new_zeros(src.shape)
        mask = src != PAD
        steps = []
        for y in self.embed(tgt_in).unbind(dim=1):
            if self.attention is not None:
                context, weights = self.attention(s, states, mask)
            s = self.decoder(torch.cat([y, context], dim=1), s)
            steps.append((self.head(torch.cat([s, context], dim=1)), weights))
        logits, weights = (
            torch.stack(parts, dim=1) for parts in zip(*steps, strict=True)
        )
        return logits, weights


def greedy_translate(
    model: Seq2Seq, src: Tensor, lengths: Tensor, max_len: int
) -> Tensor:
    """Write the target symbol by symbol, each time the most probable one.

    Args:
        model: a Seq2Seq.
        src, lengths: (B, T) and (B,), as for the model.
        max_len: the number of symbols per row.
    Returns:
        (B, max_len) int64, without BOS. A row has no end mark: what it writes after the
        last symbol has no meaning.

    - The target begins with BOS. Each new symbol is the argmax of the newest logits,
      and is fed back.

    Edge cases ★
        The model writes in eval mode, and `training` is restored. No graph is built, no
        `.grad` is touched.
    """
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            written = torch.full_like(src[:, :1], BOS)
            for _ in range(max_len):
                logits, _ = model(src, lengths, written)
                written = torch.cat([written, logits[:, -1:].argmax(dim=-1)], dim=1)
    finally:
        model.train(training)
    return written[:, 1:]


def alignment_mass(weights: Tensor, centre: Tensor, width: int = 1) -> float:
    """Measure how much attention falls near the places where it is expected.

    Args:
        weights: (B, T', T), a row per target place.
        centre: (T',) int64, the source place that is expected for each target place,
            between 0 and T − 1.
        width: source places up to `width` away from the centre count.
    Returns:
        The sum of the weights at places that count, averaged over B and T', as a float.
        Uniform weights over T = 10 places have a mass of 0.3 where all three places
        exist, and of 0.2 where the centre is at an end.
    """
    places = torch.arange(weights.size(2), device=weights.device)
    near = (places - centre[:, None]).abs() <= width  # (T', T)
    return (weights * near).sum(dim=2).mean().item()


def train_seq2seq(
    model: nn.Module,
    *,
    steps: int = 200,
    batch: int = 64,
    min_len: int = 4,
    max_len: int = 10,
    vocab_size: int = 12,
    lr: float = 0.01,
    generator: torch.Generator | None = None,
) -> list[float]:
    """Teach a model to write sequences backwards.

    Args:
        model: called like a Seq2Seq. It is trained in place, with Adam at learning
            rate `lr`.
        steps: the number of updates, each on one new batch of `reverse_batch`.
        batch, min_len, max_len, vocab_size, generator: for `reverse_batch`.
    Returns:
        The loss of each step before its update, as floats: the mean cross-entropy over
        all targets that are not PAD.

    - The model reads tgt_in and is scored on tgt_out (teacher forcing).
    - Before each update, the norm of all gradients together is clipped to 1.

    Edge cases ★
        `training` is set to True and left so. Gradients that are there before the first
        step have no effect.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    model.train()
    losses = []
    for _ in range(steps):
        src, lengths, tgt_in, tgt_out = reverse_batch(
            batch, min_len, max_len, vocab_size, generator
        )
        logits, _ = model(src, lengths, tgt_in)
        loss = F.cross_entropy(logits.mT, tgt_out, ignore_index=PAD)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return losses
