"""Paper kata 28 in code: questions without a word of their passages, two encoders, and
a batch of wrong answers.
"""

import numpy as np
import torch
from matplotlib.figure import Figure

from grader.lesson import COLOURS, code, heading, save_figure, shown_code, stretch

kata = code(__file__)
torch.manual_seed(0)
torch.set_num_threads(1)  # with tensors this small, threads only wait for one another

# 2. Recap of the NumPy view
#
# Three questions and three passages, as arrays. If all vectors are 0, every passage has
# a share of 1/3, and the loss is ln 3 = 1.0986. If each question points to its own
# passage with a score of 4, and the others score 0, the share is e⁴ / (e⁴ + 2), and the
# loss is 0.036. With questions 0 and 1 exchanged, it is 4 more for two of the three.
heading("2. Recap of the NumPy view")
own = 2 * np.eye(3)
for label, vectors in (
    ("all zero", 0 * own),
    ("each to its own", own),
    ("two exchanged", own[[1, 0, 2]]),
):
    loss = stretch(kata.in_batch_loss_numpy, vectors, own)
    if loss is not None:
        print(f"   {label:<16} loss {loss:.4f}")

# 3. Data
#
# A passage is 8 words from a vocabulary of 60, given as numbers from 1 to 60. A
# question takes 4 of them and replaces each by its synonym, whose number is greater
# by 60. A question has no word in common with any passage, so counting shared words
# gives 0 everywhere.
heading("3. Data")
generator = torch.Generator().manual_seed(0)
passages = kata.make_corpus(300, generator=generator)
gold = torch.randint(300, (200,), generator=generator)
questions = kata.make_questions(passages, gold, generator=generator)
unchanged = kata.make_questions(passages, gold, paraphrase=False, generator=generator)
for number in range(3):
    print(
        f"   question {questions[number].tolist()}, its passage "
        f"{passages[gold[number]].tolist()}"
    )
shared = (questions[:, :, None, None] == passages).any(dim=3).sum(dim=1)
print(f"   words shared by 200 questions and 300 passages: {shared.sum().item()}")

# 4. Model
#
# The code below is the one that runs here. Ids from 0 to 120 give two tables of 121
# word vectors each.
heading("4. Model")
model = kata.DualEncoder(121, 32)
shown_code(kata.DualEncoder.forward)
with torch.no_grad():
    print(
        f"   questions {tuple(questions.shape)} → "
        f"{tuple(model.encode_questions(questions).shape)}"
    )
    print(
        f"   passages  {tuple(passages.shape)} → "
        f"{tuple(model.encode_passages(passages).shape)}"
    )
    untrained = model(questions, passages)
print(
    f"   scores {tuple(untrained.shape)}, parameters "
    f"{sum(table.numel() for table in model.parameters())}"
)

# Before training, the right passage should be anywhere among the 300: a recall of about
# 1/300 at 1 and 20/300 at 20.
print(f"   recall of the untrained model: {kata.recall_at_k(untrained, gold)}")

# 5. Training loop
#
# Each step has 32 fresh pairs. The loss is written as log probabilities here, one level
# lower than you write it: a softmax per row of the 32 · 32 scores, of which the
# diagonal is right. A model that gives all the same score has a loss of ln 32 = 3.47.
heading("5. Training loop")
STEPS, BATCH = 300, 32
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
losses = []
for step in range(STEPS):
    texts = kata.make_corpus(BATCH, generator=generator)
    asked = kata.make_questions(texts, torch.arange(BATCH), generator=generator)
    log_shares = model(asked, texts).log_softmax(dim=1)
    loss = -log_shares.diagonal().sum() / BATCH
    model.zero_grad()
    loss.backward()
    losses.append(loss.item())
    if step == 0:
        for label, table in model.named_parameters():
            print(
                f"   gradient of {label:<23} {tuple(table.shape)} norm "
                f"{table.grad.norm().item():.3f}"
            )
        word = int(asked[0, 0])
        before = model.question_encoder.weight[word, 0].item()
    optimizer.step()
    if step == 0:
        print(f"   first number of word {word}, before and after: ", end="")
        print(f"{before:.4f} → {model.question_encoder.weight[word, 0]:.4f}")

# The loss as it falls, in means over 20 steps.
for first in (0, 20, 60, 140, 280):
    print(
        f"   steps {first:>3} to {first + 19:>3}: loss "
        f"{sum(losses[first : first + 20]) / 20:.3f}"
    )

# 6. Evaluation and figure
#
# The key result, on the 300 passages and 200 questions from above, none of which were
# in the training. The paper predicts that a retriever trained on pairs finds
# paraphrases. BM25 should find none of them, because all of its scores are 0, and
# nearly all questions whose words are unchanged.
heading("6. Evaluation and figure")
with torch.no_grad():
    found = {"two encoders, paraphrases": model(questions, passages)}
for label, words in (
    ("BM25, unchanged words", unchanged),
    ("BM25, paraphrases", questions),
):
    scores = stretch(kata.bm25_scores, words, passages)
    if scores is not None:
        found[label] = scores


# The same steps with batches of 4: three wrong passages per question instead of 31, and
# an eighth of the pairs. It should learn less per step.
def trained(dim=32, **options):
    torch.manual_seed(0)
    other, draws = kata.DualEncoder(121, dim), torch.Generator().manual_seed(1)
    kata.train_retriever(other, generator=draws, **options)
    with torch.no_grad():
        return other(questions, passages)


found["two encoders, batches of 4"] = trained(steps=STEPS, batch_size=4)
reciprocal = {}
for label, scores in found.items():
    recall = kata.recall_at_k(scores, gold)
    reciprocal[label] = stretch(kata.mean_reciprocal_rank, scores, gold)
    shown = (
        ""
        if reciprocal[label] is None
        else f", mean reciprocal rank {reciprocal[label]:.3f}"
    )
    print(
        f"   {label:<27} recall "
        + ", ".join(f"@{k} {value:.3f}" for k, value in recall.items())
        + shown
    )

# More wrong passages, or simply more pairs? Batches of 4 in 300 steps are 1200 pairs.
# Batches of 32 have seen as many after 38 steps. If only the wrong passages mattered,
# they should be ahead already.
print(
    "   batches of 32, 38 steps     recall @1 "
    f"{kata.recall_at_k(trained(steps=38), gold)[1]:.3f}"
)

# Why are not all of them found? What is learned is a dictionary. With 32 numbers, 60
# words cannot all be at right angles, so each word sounds a bit like others. With 128
# numbers there is room, and recall should rise.
with torch.no_grad():
    dictionary = (
        model.question_encoder.weight[61:] @ model.passage_encoder.weight[1:61].T
    )
right = (dictionary.argmax(dim=1) == torch.arange(60)).sum().item()
print(f"   words whose synonym is the best match, of 60: {right}")
print(
    "   128 numbers per vector      recall @1 "
    f"{kata.recall_at_k(trained(128, steps=STEPS), gold)[1]:.3f}"
)

# One question with both rankings. Vectors of all passages are computed once; `search`
# takes the three best. For the count of shared words, all passages are equal.
with torch.no_grad():
    q, p = model.encode_questions(questions), model.encode_passages(passages)
best, indices = kata.search(q[:1], p, 3)
print(
    f"   question {questions[0].tolist()}: synonyms of "
    f"{(questions[0] - 60).tolist()}, passage {gold[0].item()}"
)
for score, index in zip(best[0], indices[0], strict=True):
    both = len(set((questions[0] - 60).tolist()) & set(passages[index].tolist()))
    print(
        f"      passage {index.item():>3}, score {score:.2f}, {both} of 4 meanings, "
        f"{shared[0, index]} shared words"
    )

# The figure. Left: recall over k. Right: 30 questions and their passages in the two
# directions in which the vectors of both encoders differ most. A line joins each
# question to its passage.
figure = Figure(figsize=(6.6, 5.6))
above, below = figure.subplots(2)
ks = range(1, 21)
for (label, scores), colour in zip(
    sorted(found.items(), reverse=True), COLOURS, strict=False
):
    recall = kata.recall_at_k(scores, gold, ks)
    shown = "" if reciprocal[label] is None else f" (MRR {reciprocal[label]:.2f})"
    above.plot(
        ks,
        recall.values(),
        "--" if "BM25" in label else "-",
        color=colour,
        label=label + shown,
    )
above.set(
    xlabel="k",
    ylabel="recall at k, of 300 passages",
    ylim=(-0.03, 1.03),
    xticks=(1, 5, 10, 15, 20),
)
above.legend(loc="center right", bbox_to_anchor=(1, 0.3))
above.set_title("paraphrases: found by two encoders, not by words")
some = torch.cat([q[:30], p[gold[:30]]])
centred = some - some.mean(dim=0)
flat = (centred @ torch.linalg.svd(centred, full_matrices=False).Vh[:2].T).numpy()
for start, end in zip(flat[:30], flat[30:], strict=True):
    below.plot(*zip(start, end, strict=True), color="0.7", linewidth=0.9, zorder=1)
below.scatter(*flat[:30].T, color=COLOURS[1], s=22, marker="^", label="question")
below.scatter(*flat[30:].T, color=COLOURS[0], s=18, label="passage")
below.set(xlabel="first principal component", ylabel="second principal component")
below.set_title("each question lies roughly the way of its passage")
below.legend()
save_figure(figure, __file__)

# 7. NumPy against PyTorch
#
# The same loss in NumPy and in PyTorch, for the trained vectors of the first 32
# questions and their passages.
heading("7. NumPy against PyTorch")
ours = kata.in_batch_loss(q[:32], p[gold[:32]]).item()
theirs = stretch(
    kata.in_batch_loss_numpy, q[:32].double().numpy(), p[gold[:32]].double().numpy()
)
if theirs is not None:
    print(
        f"   NumPy {theirs:.6f}, PyTorch {ours:.6f}, difference "
        f"{abs(theirs - ours):.1e}"
    )

# In NumPy the gradient would have to be worked out by hand: for question i it is the
# mean of all passages, weighted by their shares, minus the right passage, over B.
# Autograd gives that for free, on to the word vectors.
vectors = q[:32].double().requires_grad_()
targets = p[gold[:32]].double()
(gradient,) = torch.autograd.grad(kata.in_batch_loss(vectors, targets), vectors)
by_hand = ((vectors @ targets.T).softmax(dim=1) @ targets - targets).detach() / 32
print(
    "   gradient of the questions by hand and by autograd: largest difference "
    f"{(gradient - by_hand).abs().max():.1e}"
)

# Batching replaced the loop over pairs of question and passage: one matrix product
# scores all of them. `nn.EmbeddingBag` replaced looking up words and averaging, and
# `nn.Module` the list of tables.
