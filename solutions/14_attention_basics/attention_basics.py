"""Additive attention: a decoder that looks back at every state of the encoder and reads a weighted sum of them.

Sizes: B batch elements, T queries (decoder steps), S keys (source positions), V symbols in the vocabulary.
The query is what the decoder asks with, the keys are what it is compared to, the values are what is summed.
Masks are boolean, and True means "is real" or "may be looked at".
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PAD = 0  # fills up short sequences
BOS = 1  # what the decoder is fed before it has written anything
FIRST_SYMBOL = 2  # 2 … V − 1 are the symbols of the task


def make_reversal_batch(
    batch_size: int, length: int, vocab_size: int, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Random sequences to be written backwards. (Given.)

    Returns:
        src (B, L): random symbols 2 … V − 1.
        tgt_in (B, L): what the decoder is fed: BOS, then the reversed source without its last symbol.
        tgt_out (B, L): what it should answer: the reversed source.
        With src = [5 2 7], tgt_in is [1 7 2] and tgt_out is [7 2 5].
    """
    src = torch.randint(FIRST_SYMBOL, vocab_size, (batch_size, length), generator=generator)
    tgt_out = src.flip(1)
    tgt_in = torch.cat([torch.full((batch_size, 1), BOS), tgt_out[:, :-1]], dim=1)
    return src, tgt_in, tgt_out


def masked_softmax(scores: Tensor, mask: Tensor | None = None, dim: int = -1) -> Tensor:
    """A softmax over `dim` in which only the allowed positions take part.

    Args:
        scores: any shape.
        mask: bool and broadcastable to `scores`, True = takes part; None allows everything.
        dim: the dimension whose weights add up to 1.
    Returns:
        Weights of the shape and dtype of `scores`. Along `dim` the allowed ones add up to 1, the others are exactly 0:
        scores [0 0 5] with mask [True True False] give [½ ½ 0].

    - What the masked scores are changes nothing, however large they are (as long as they are finite).
    - A slice without any True, such as a sequence of padding alone, gives zeros.
    - Gradients flow to the allowed scores as in a softmax over these alone, and are 0 at the masked ones; they are
      finite next to and in a slice without any True, too.
    - Scores of ±1000 are no problem. float64, float32, float16 and bfloat16 come back as themselves.
    - Neither argument is written to.

    Raises:
        TypeError: the mask is not bool; the message names its dtype.
    """
    if mask is None:
        return scores.softmax(dim)
    if mask.dtype != torch.bool:
        raise TypeError(f"mask should be bool (True = takes part), not {mask.dtype}")
    # The smallest finite number instead of −inf: a slice of −inf only would be NaN. The second fill zeroes it.
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return scores.softmax(dim).masked_fill(~mask, 0.0)


def attend(scores: Tensor, values: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Turn scores into weights, and read the weighted sum of the values.

    Args:
        scores: (B, T, S), how well query t fits key s.
        values: (B, S, Dv), what stands at each key.
        mask: bool, True = may be looked at: (B, S), one for all queries of a batch element, or (B, T, S). Two
            dimensions always are (B, S), also when B equals T.
    Returns:
        context: (B, T, Dv), for each query Σ_s weight_s · value_s.
        weights: (B, T, S), the `masked_softmax` of the scores over the keys.

    A query that may look at no key has weights and a context of zeros. What the scores and values of masked keys are
    (any finite numbers) changes nothing. Gradients flow to scores and values; none of the arguments is written to.
    """
    if mask is not None and mask.ndim == 2:
        mask = mask.unsqueeze(1)
    weights = masked_softmax(scores, mask)
    return weights @ values, weights


class AdditiveAttention(nn.Module):
    """Attention whose scores come from a small network: score(q, k) = v · tanh(W_q q + W_k k).

    Query and key may have different sizes: each is brought to `hidden_dim` numbers, the two are added, and only then
    comes the tanh (Bahdanau, Cho and Bengio 2014, *Neural Machine Translation by Jointly Learning to Align and
    Translate*, section 3.1 and appendix A.1.2; there W_a, U_a and v_a).

    Args:
        query_dim: Dq, the numbers in a query.
        key_dim: Dk, the numbers in a key.
        hidden_dim: the width of the tanh.
    Attributes:
        W_q: `nn.Linear(query_dim, hidden_dim)`, W_k: `nn.Linear(key_dim, hidden_dim)`, v: `nn.Linear(hidden_dim, 1)`,
            all without bias. Their weights are the only entries of the state_dict.

    `forward(query, keys, values=None, mask=None)` takes a query (B, T, Dq), keys (B, S, Dk), values (B, S, Dv), which
    are the keys if left out, and a mask as in `attend`. It returns (context (B, T, Dv), weights (B, T, S)).

    - The query may also be one decoder step, (B, Dq). Then the context is (B, Dv) and the weights are (B, S), and a
      (B, S) mask still works. This holds for B = 1, too; and a query (B, 1, Dq) keeps its T of 1.
    - Inputs may be non-contiguous. Gradients reach every parameter and input. A float64 layer gives float64 results.
    """

    def __init__(self, query_dim: int, key_dim: int, hidden_dim: int):
        super().__init__()
        self.W_q = nn.Linear(query_dim, hidden_dim, bias=False)
        self.W_k = nn.Linear(key_dim, hidden_dim, bias=False)
        self.v = nn.Linear(hidden_dim, 1, bias=False)

    def score(self, query: Tensor, keys: Tensor) -> Tensor:
        """How well every query fits every key.

        Args:
            query: (B, T, Dq).
            keys: (B, S, Dk).
        Returns:
            (B, T, S): at [b, t, s] stands v · tanh(W_q query[b, t] + W_k keys[b, s]).
        """
        pairs = self.W_q(query)[:, :, None] + self.W_k(keys)[:, None]
        return self.v(torch.tanh(pairs)).squeeze(-1)

    def forward(
        self, query: Tensor, keys: Tensor, values: Tensor | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        values = keys if values is None else values
        if query.ndim == 2:
            context, weights = self.forward(query.unsqueeze(1), keys, values, mask)
            return context.squeeze(1), weights.squeeze(1)
        return attend(self.score(query, keys), values, mask)


class Seq2Seq(nn.Module):
    """An encoder that reads a sequence, and a decoder that writes another one, looking back at the encoder or not.

    Args:
        vocab_size: V, the number of symbols, PAD and BOS included.
        embed_dim: the numbers that stand for a symbol.
        hidden_size: the numbers in a state of encoder and decoder.
        use_attention: whether the decoder looks back; without, all it gets is one state.
    Attributes:
        embedding: an `nn.Embedding` for source and target alike.
        encoder, decoder: each a one-layer `nn.GRU(embed_dim, hidden_size, batch_first=True)`.
        attention: `AdditiveAttention(hidden_size, hidden_size, hidden_size)`, or None.
        head: `nn.Linear(2 · hidden_size, vocab_size)` with attention, `nn.Linear(hidden_size, vocab_size)` without.
        They hold all parameters; without attention there are no attention parameters.

    `forward(src, tgt_in, src_mask=None)` takes symbols src (B, S) and tgt_in (B, T), both int64, and a mask (B, S),
    True = a real symbol. Padding stands on the right, and every row has at least one real symbol; without a mask all
    are real. It returns (logits (B, T, V), weights (B, T, S)), or (logits, None) without attention.

    1. The encoder reads src: one state for each position.
    2. The decoder starts from the encoder's state at the last *real* symbol, and reads tgt_in, one state a step.
    3. Each decoder state is a query; the encoder's states are keys and values. That gives the context of the step.
    4. The logits are head(cat([context, state])), in this order; without attention head(state).

    (In Bahdanau et al. the context is also fed into the next decoder step. Here it is read at the end, so that all
    steps are one call.)

    - The logits of step t depend on tgt_in up to t and on nothing after it.
    - Padding never changes the logits, however much of it there is and whatever symbols it holds, and gets weight 0.
    - Gradients reach every parameter. A float64 model gives float64 results.
    """

    def __init__(self, vocab_size: int, embed_dim: int, hidden_size: int, use_attention: bool = True):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embed_dim)
        self.encoder = nn.GRU(embed_dim, hidden_size, batch_first=True)
        self.decoder = nn.GRU(embed_dim, hidden_size, batch_first=True)
        self.attention = AdditiveAttention(hidden_size, hidden_size, hidden_size) if use_attention else None
        self.head = nn.Linear(2 * hidden_size if use_attention else hidden_size, vocab_size)

    def forward(self, src: Tensor, tgt_in: Tensor, src_mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        encoded, last = self.encoder(self.embedding(src))
        if src_mask is not None:
            rows = torch.arange(len(src), device=src.device)
            last = encoded[rows, src_mask.sum(dim=1) - 1].unsqueeze(0)
        states, _ = self.decoder(self.embedding(tgt_in), last)
        if self.attention is None:
            return self.head(states), None
        context, weights = self.attention(states, encoded, mask=src_mask)
        return self.head(torch.cat([context, states], dim=-1)), weights


def greedy_decode(
    model: Seq2Seq, src: Tensor, max_len: int, src_mask: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """Let the model write on its own: feed it BOS, then at each step the symbol that it found most likely.

    Args:
        model: a `Seq2Seq`, with attention or without.
        src: (B, S) symbols.
        max_len: how many symbols to write, 1 or more; may differ from S.
        src_mask: (B, S), True = a real symbol, as in the model.
    Returns:
        tokens: (B, max_len) int64, what the model wrote, each the argmax over all V symbols. BOS, which it was fed
            first, is not among them.
        weights: (B, max_len, S), the attention weights of these steps; None for a model without attention.

    Works in eval mode and without a graph (the weights need no gradient). A model that came in training mode is in it
    again afterwards, with all its parts, also when the call raises. `src` stays as it was; tokens and weights are on
    its device.
    """
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            tokens = torch.full((len(src), 1), BOS, device=src.device)
            for _ in range(max_len):
                logits, weights = model(src, tokens, src_mask)
                tokens = torch.cat([tokens, logits[:, -1:].argmax(dim=-1)], dim=1)
    finally:
        model.train(training)
    return tokens[:, 1:], weights


def train_seq2seq(
    model: Seq2Seq,
    steps: int,
    batch_size: int = 64,
    length: int = 8,
    lr: float = 5e-3,
    generator: torch.Generator | None = None,
) -> list[float]:
    """Train the model to write sequences backwards.

    Each step draws a fresh `make_reversal_batch` of `batch_size` sequences of `length` symbols from `generator`, feeds
    tgt_in (teacher forcing: the right symbols, not the model's own), and lets `torch.optim.Adam` with learning rate
    `lr` and otherwise default settings make one update of all parameters. The loss is the mean cross-entropy over all
    positions of the batch. The model is in training mode meanwhile. Its embedding tells the size of the vocabulary.

    Returns:
        The loss of every step as a plain float, measured before the update of the step.
    """
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        src, tgt_in, tgt_out = make_reversal_batch(batch_size, length, model.embedding.num_embeddings, generator)
        logits, _ = model(src, tgt_in)
        loss = F.cross_entropy(logits.flatten(0, 1), tgt_out.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def compare_seq2seq(
    lengths: Sequence[int], steps: int = 200, hidden_size: int = 32, vocab_size: int = 12, seed: int = 0
) -> dict[int, dict[str, dict[str, float]]]:
    """How well reversing goes with and without attention, for sequences of different lengths.

    For each length two models with an embed_dim of 16 are made and trained by `train_seq2seq`: `steps` steps, its
    default batch size and learning rate. The comparison is fair: `torch.manual_seed(seed)` stands right before the
    making of each model, and both see the same training batches, drawn from generators of their own with equal seeds.
    They are tested on one batch of 200 sequences from a generator with another seed, by `greedy_decode`. All these
    seeds follow from `seed`: another one gives another start, other training batches and another test batch.

    Returns:
        By length a dict with the keys "plain" (no attention) and "attention", each with two floats: "loss", the last
        training loss, and "accuracy", the share of the symbols of the test batch that come out right, 0 … 1.

    The result for a length depends neither on the other lengths nor on what was drawn from torch's generator before.
    """
    results = {}
    for length in lengths:
        src, _, tgt_out = make_reversal_batch(200, length, vocab_size, torch.Generator().manual_seed(seed + 1))
        results[length] = {}
        for name, use_attention in (("plain", False), ("attention", True)):
            torch.manual_seed(seed)
            model = Seq2Seq(vocab_size, 16, hidden_size, use_attention)
            losses = train_seq2seq(model, steps, length=length, generator=torch.Generator().manual_seed(seed))
            tokens, _ = greedy_decode(model, src, length)
            accuracy = (tokens == tgt_out).double().mean().item()
            results[length][name] = {"loss": losses[-1], "accuracy": accuracy}
    return results
