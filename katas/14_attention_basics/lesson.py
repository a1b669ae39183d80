"""The lesson of 14 in code: a query, keys and values by hand, masks, and a decoder that
learns where to look back.

Run it from anywhere: `python katas/14_attention_basics/lesson.py`. It prints its steps
and draws the figure.
"""

import torch
from matplotlib.figure import Figure

from grader.lesson import code, save_figure, stretch

kata = code(__file__)
torch.manual_seed(0)
torch.set_num_threads(1)  # with tensors this small, threads only wait for one another


def numbers(tensor: torch.Tensor) -> str:
    return "  ".join(f"{x:5.2f}" for x in tensor.flatten().tolist())


# 1. One query, four keys, by hand. With W_q = W_k = the identity matrix and v = [1, 1],
#    the score of a key is tanh(q₁ + k₁) + tanh(q₂ + k₂). The values are 10, 20, 30, 40,
#    so that the context shows where it was read.
WORDS = ["the", "ship", "sails", "home"]
keys = torch.tensor([[[0.0, 0.0], [3.0, 0.0], [0.0, 3.0], [1.0, 1.0]]])
values = torch.tensor([[[10.0], [20.0], [30.0], [40.0]]])
query = torch.tensor([[[2.0, -2.0]]])
attention = kata.AdditiveAttention(query_dim=2, key_dim=2, hidden_dim=2)
with torch.no_grad():
    attention.W_q.weight.copy_(torch.eye(2))
    attention.W_k.weight.copy_(torch.eye(2))
    attention.v.weight.fill_(1.0)
scores = attention.score(query, keys)
context, weights = attention(query, keys, values)

print("1. One query q, four keys k")
print(f"   query {query[0, 0].tolist()}")
print(f"   {'':<8}{'key':<14}{'q + k':<14}{'tanh':<16}{'score':<9}{'weight':<9}value")
for s, word in enumerate(WORDS):
    key, total = keys[0, s], query[0, 0] + keys[0, s]
    row = f"{key.tolist()!s:<14}{total.tolist()!s:<14}{numbers(total.tanh()):<16}"
    print(
        f"   {word:<8}{row}{scores[0, 0, s]:<9.2f}{weights[0, 0, s]:<9.2f}"
        f"{values[0, s, 0]:.0f}"
    )
print(
    f"   the weights add up to {weights.sum():.2f}; context = Σ weight · value = "
    f"{context.item():.1f}"
)

# 2. Why the tanh comes after the sum. Two queries should look at different places. If
#    the query only adds the same number to the score of every key, the softmax removes
#    that number again: all queries look at the same place.
two = torch.tensor([[[2.0, -2.0], [-2.0, 2.0]]])
q, k = attention.W_q(two)[:, :, None], attention.W_k(keys)[:, None]
print("\n2. Two queries, [2, −2] and [−2, 2]: weights of the four words")
for name, scored in {
    "v · tanh(q + k)": attention.score(two, keys),
    "v · (tanh q + tanh k)": attention.v(q.tanh() + k.tanh()).squeeze(-1),
    "v · (q + k)": attention.v(q + k).squeeze(-1),
}.items():
    first, second = kata.masked_softmax(scored)[0].detach()
    print(f"   {name:<24}{numbers(first)}   and   {numbers(second)}")

# 3. Masks. True = may be looked at. Hidden words get exactly 0, and the weights of the
#    others add up to 1 again. With nothing to look at, weights and context are zeros. A
#    softmax over −inf alone would be NaN.
print("\n3. Masks, for the first query")
for shown in ([True] * 4, [True, True, False, False], [False] * 4):
    context, weights = attention(query, keys, values, torch.tensor([shown]))
    names = (
        ", ".join(word for word, real in zip(WORDS, shown, strict=True) if real)
        or "nothing"
    )
    print(
        f"   {names + ' allowed':<32}weights {numbers(weights.detach())}   context "
        f"{context.item():.1f}"
    )
hidden = torch.full((4,), -torch.inf)
print(f"   {'softmax over −inf only':<32}weights {numbers(hidden.softmax(dim=0))}")

# 4. The whole model on two sequences of 5 and 3 symbols. The shorter one is padded and
#    still gets the same answer as without padding: the decoder starts from the state at
#    the last real symbol, and the padding has weight 0.
V, S = 12, 5
model = kata.Seq2Seq(V, embed_dim=16, hidden_size=32)
src, tgt_in, _ = kata.make_reversal_batch(2, S, V)
real = torch.arange(S) < torch.tensor([[5], [3]])
src = src.masked_fill(~real, kata.PAD)
with torch.no_grad():
    encoded, after_padding = model.encoder(model.embedding(src))
    last_real = encoded[1, 2]
    logits, weights = model(src, tgt_in, real)
    alone, _ = model(src[1:, :3], tgt_in[1:])
print("\n4. Seq2Seq: shapes and padding")
for name, tensor in {
    "src, (B, S)": src,
    "tgt_in, (B, T)": tgt_in,
    "encoder states: keys and values, (B, S, hidden)": encoded,
    "weights, (B, T, S)": weights,
    "logits, (B, T, V)": logits,
}.items():
    print(f"   {name:<52}{tuple(tensor.shape)}")
print(f"   weight on padding: {weights[1, :, 3:].sum():.2f}")
print(f"   padded or alone, logits differ by {(logits[1] - alone[0]).abs().max():.1e}")
difference = (last_real - after_padding[0, 1]).abs().max()
print(
    "   state at the last real symbol and state after the padding differ by "
    f"{difference:.2f}"
)

# 5. Writing sequences backwards, without and with attention. The plain decoder has one
#    state to work from, whose 32 numbers must hold all symbols and their order. The
#    decoder with attention can look the symbols up.
#    Attention also learns faster: compare the two at several numbers of steps.
print("\n5. Share of right symbols on 200 new sequences")
print(f"   {'length':<10}{'steps':<10}{'without attention':<22}with attention")
for steps, lengths in {80: [3, 8], 250: [8]}.items():
    # PAD, BOS and six symbols
    table = stretch(kata.compare_seq2seq, lengths, steps=steps, vocab_size=8)
    for length, row in (table or {}).items():
        print(
            f"   {length:<10}{steps:<10}{row['plain']['accuracy']:<22.2f}"
            f"{row['attention']['accuracy']:.2f}"
        )

# 6. Where the model looks. Trained for a little longer, it writes one sequence
#    backwards by itself. For each symbol that it writes, the lesson prints the position
#    with the largest weight.
torch.manual_seed(0)
model = kata.Seq2Seq(V, embed_dim=16, hidden_size=32)
print("\n6. One sequence, written backwards")
losses = stretch(
    kata.train_seq2seq,
    model,
    steps=150,
    length=6,
    lr=0.015,
    generator=torch.Generator().manual_seed(0),
)
src = kata.make_reversal_batch(200, 6, V, torch.Generator().manual_seed(1))[0]
# all different, so that each symbol names its position
src[0] = torch.tensor([7, 11, 6, 10, 5, 3])
tokens, weights = kata.greedy_decode(model, src, max_len=6)
if losses:
    right = (tokens == src.flip(1)).float().mean()
    print(
        f"   loss {losses[0]:.2f} → {losses[-1]:.3f}; right on 200 new sequences: "
        f"{right:.1%}"
    )
print("   read       ", src[0].tolist())
print("   wrote      ", tokens[0].tolist())
print(
    "   looked at  ", weights[0].argmax(dim=-1).tolist(), " (positions, counted from 0)"
)
print(
    "   weight on the mirrored position, step by step, mean of 200:",
    numbers(weights.mean(dim=0).flip(1).diagonal()),
)

# 7. The figure: the weights of that sequence and their mean over all 200. Each row is a
#    step of the decoder and adds up to 1. Nobody told the model in which order to read;
#    it found the anti-diagonal by itself.
figure = Figure(figsize=(6.6, 5.6))
above, mean = figure.subplots(2)
image = above.imshow(weights[0].numpy(), vmin=0, vmax=1)
above.set_xticks(range(6), src[0].tolist())
above.set_yticks(range(6), tokens[0].tolist())
above.set_xlabel("key: symbol of the source, as read")
above.set_ylabel("query: symbol written, first on top")
above.set_title("one sequence" if losses else "one sequence, model not trained")
mean.imshow(weights.mean(dim=0).numpy(), vmin=0, vmax=1)
mean.set_xticks(range(6))
mean.set_yticks(range(6))
mean.set_xlabel("position in the source, from 0")
mean.set_ylabel("step of the decoder, from 0")
mean.set_title("mean of 200 sequences")
figure.colorbar(image, ax=[above, mean], label="attention weight", shrink=0.85)
save_figure(figure, __file__)
