"""Kata 16 in code: the shapes of multi-head attention, its masks, the proof against
PyTorch, heads that specialise.
"""

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from torch import nn

from grader.lesson import code, save_figure, stretch

kata = code(__file__)
torch.manual_seed(0)


# 1. The shapes at every step: B = 2 batch elements, T = 5 queries, S = 7 keys, C = 12
#    features, H = 3 heads of D = 4.
B, T, S, C, H = 2, 5, 7, 12, 3
mha = kata.MultiHeadAttention(C, H)
query, memory = torch.randn(B, T, C), torch.randn(B, S, C)
q, k, v = mha.W_q(query), mha.W_k(memory), mha.W_v(memory)
heads = [kata.split_heads(x, H) for x in (q, k, v)]
scores = heads[0] @ heads[1].mT / mha.d_k**0.5
found = scores.softmax(dim=-1) @ heads[2]
merged = kata.merge_heads(found)
output = mha.W_o(merged)

print("1. Shapes, for 5 queries and 7 keys of 12 features, and 3 heads")
for name, tensor in {
    "query, (B, T, C)": query,
    "key and value, (B, S, C)": memory,
    "q = W_q(query), still (B, T, C)": q,
    "q split, (B, H, T, D)": heads[0],
    "k and v split, (B, H, S, D)": heads[1],
    "scores q kᵀ / √D, (B, H, T, S)": scores,
    "what each head found, (B, H, T, D)": found,
    "merged, (B, T, C)": merged,
    "output W_o(merged), (B, T, C)": output,
}.items():
    print(f"   {name:<36} {tuple(tensor.shape)}")
print(
    "   the layer gives the same:",
    torch.allclose(mha(query, memory), output, atol=1e-6),
)

# 2. Splitting is a slice, not a reshape: head 1 of position 0 holds features 4 to 7 of
#    position 0. A reshape straight to (B, H, T, D) has the same shape and puts features
#    of position 1 there.
numbers = torch.arange(T * C).reshape(1, T, C)
print("\n2. Head 1 at position 0, when position t holds the numbers 12·t to 12·t + 11")
print("   split_heads:          ", kata.split_heads(numbers, H)[0, 1, 0].tolist())
print("   reshaped to (B,H,T,D):", numbers.reshape(1, H, T, C // H)[0, 1, 0].tolist())

# 3. Heads cost nothing: they share the d_model features, so the four matrices are as
#    large as for a single head.
print("\n3. Parameters")
for num_heads in (1, 3):
    layer = kata.MultiHeadAttention(C, num_heads)
    count = sum(parameter.numel() for parameter in layer.parameters())
    print(f"   H = {num_heads}, heads of {layer.d_k:2} features: {count} parameters")

# 4. Four kinds of mask, True = may attend. The number of dimensions says which is
#    meant. Three dimensions are one mask for each batch element; only four can tell
#    heads apart. Printed is how many keys the first and the last query see.
causal = torch.ones(T, T, dtype=torch.bool).tril()
# element 1 sees itself and the position before
window = torch.stack([causal, causal & ~causal.tril(-2)])
per_head = torch.stack([causal, causal.mT, torch.eye(T, dtype=torch.bool)]).unsqueeze(0)
real = torch.arange(T) < torch.tensor([[T], [3]])  # element 1 has three real tokens
kinds = [
    ("causal, (T, S)", causal, None),
    ("one for each batch element, (B, T, S)", window, None),
    ("one for each head, (1, H, T, S)", per_head, None),
    ("key padding, (B, S)", None, real),
]
print("\n4. Masks in self-attention over 5 positions: how many keys a query sees")
print(f"   {'':<40} {'query':<6} {'element 0, heads 0 1 2':<24} element 1, heads 0 1 2")
for name, mask, padding in kinds:
    visible = (
        (kata.attention_patterns(mha, query, None, mask, padding) > 0)
        .sum(dim=-1)
        .tolist()
    )
    for place, t in (("first", 0), ("last", -1)):
        left, right = ("  ".join(str(row[t]) for row in element) for element in visible)
        print(f"   {name if t == 0 else '':<40} {place:<6} {left:<24} {right}")

nowhere = torch.zeros(T, dtype=torch.bool)
blind = mha(query, mask=nowhere)
print(
    "   a query without any key gets the bias of W_o:",
    torch.equal(blind, mha.W_o.bias.expand_as(blind)),
)

# 5. The proof. PyTorch's own layer with the same weights; its masks mean the opposite,
#    so they are inverted on the way.
print("\n5. Largest difference to nn.MultiheadAttention")
for name, mask, padding in [("no mask", None, None), *kinds]:
    difference = stretch(kata.compare_with_torch, mha, query, None, None, mask, padding)
    if difference is None:
        break
    print(
        f"   {name:<40} output {difference['output']:.1e}   weights "
        f"{difference['weights']:.1e}"
    )
twin = stretch(kata.to_torch_mha, mha)
if twin is not None:
    first_three = (torch.arange(T) < 3).expand(T, T)
    wrong = (
        (
            twin(query, query, query, attn_mask=first_three)[0]
            - mha(query, mask=first_three)
        )
        .abs()
        .max()
    )
    print(f"   the same mask given to both, not inverted: {wrong:.2f}")

# 6. Why more than one head. A layer is trained to name two words at every position of a
#    random sentence: the one before and the first of all. One head has one set of
#    weights for both; two heads can share the work.
torch.set_num_threads(1)  # with tensors this small, threads only wait for one another
WORDS = ["the", "ship", "sails", "at", "dawn", "without", "a", "crew"]
WIDTH = 24


class Namer(nn.Module):
    """Words and learned positions, one attention layer, and two guesses at each
    position: previous word, first word.
    """

    def __init__(self, num_heads: int):
        super().__init__()
        self.words = nn.Embedding(len(WORDS), WIDTH)
        self.positions = nn.Embedding(len(WORDS), WIDTH)
        self.mha = kata.MultiHeadAttention(WIDTH, num_heads)
        self.guess = nn.Linear(WIDTH, 2 * len(WORDS))

    def embed(self, sentences: torch.Tensor) -> torch.Tensor:
        return self.words(sentences) + self.positions.weight

    def forward(self, sentences: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.guess(self.mha(self.embed(sentences))).chunk(2, dim=-1)


def targets(sentences: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The previous word (of positions 1 and later) and the first word (of
    all positions).
    """
    return sentences[:, :-1], sentences[:, :1].expand_as(sentences)


def train(num_heads: int) -> Namer:
    torch.manual_seed(0)
    model = Namer(num_heads)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(400):
        sentences = torch.randint(len(WORDS), (32, len(WORDS)))
        previous, first = model(sentences)
        before, start = targets(sentences)
        loss = F.cross_entropy(previous[:, 1:].flatten(0, 1), before.flatten())
        loss = loss + F.cross_entropy(first.flatten(0, 1), start.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


def judge(model: Namer) -> None:
    """Print how often it is right in 1000 new sentences, and where its heads
    look there.
    """
    sentences = torch.randint(len(WORDS), (1000, len(WORDS)))
    previous, first = (guesses.argmax(dim=-1) for guesses in model(sentences))
    before, start = targets(sentences)
    right = [
        (previous[:, 1:] == before).float().mean(),
        (first == start).float().mean(),
    ]
    print(
        f"   H = {model.mha.num_heads}: right about the previous word {right[0]:.1%}, "
        f"about the first {right[1]:.1%}"
    )
    weights = kata.attention_patterns(model.mha, model.embed(sentences))
    for h in range(model.mha.num_heads):
        # from the third position on, the previous word is not also the first
        later = weights[:, h, 2:]
        on_previous, on_first = later.diagonal(1, 1, 2).mean(), later[:, :, 0].mean()
        print(
            f"          head {h}: {on_previous:.2f} of its weight on the previous "
            f"word, {on_first:.2f} on the first"
        )


print("\n6. Naming the previous and the first word")
for num_heads in (1, 2):
    model = train(num_heads)
    judge(model)

# 7. The figure: the two heads of the last model on one sentence. Each row is one query
#    and adds up to 1. The first word has no previous one, so nothing has trained its
#    row of that head.
sentence = torch.arange(len(WORDS)).unsqueeze(0)  # the words in the order of the list
weights = kata.attention_patterns(model.mha, model.embed(sentence))
statistics = stretch(kata.head_statistics, weights)
figure = Figure(figsize=(6.6, 4.6))
panels = figure.subplots(1, len(weights[0]), sharey=True)
for h, (axes, pattern) in enumerate(zip(panels, weights[0], strict=True)):
    image = axes.imshow(pattern.numpy(), vmin=0, vmax=1)
    axes.set_xticks(
        range(len(WORDS)), WORDS, rotation=45, ha="right", rotation_mode="anchor"
    )
    axes.set_yticks(range(len(WORDS)), WORDS)
    axes.set_xlabel("key: the word looked at")
    title = f"head {h}"
    if statistics:
        entropy, distance = statistics["entropy"][h], statistics["mean_distance"][h]
        title += f"\nentropy {entropy:.2f} nats,\nmean distance {distance:.2f}"
    axes.set_title(title)
panels[0].set_ylabel("query: the word that looks")
figure.colorbar(image, ax=list(panels), label="attention weight", shrink=0.8)
save_figure(figure, __file__)
