"""Paper kata 29 in code: documents that are found and read, learned from answers alone,
then swapped for others.
"""

import copy

import numpy as np
import torch
from matplotlib.figure import Figure

from grader.lesson import COLOURS, code, heading, save_figure, shown_code, stretch

kata = code(__file__)
torch.manual_seed(0)
torch.set_num_threads(1)  # with tensors this small, threads only wait for one another

# 2. Recap of the NumPy view
#
# Two documents with equal weights. Document 0 says "red fox", document 1 says "blue
# whale", each with probability 0.9 per word and 0.1 to the other words. One document
# per answer should give "red fox" ½ · 0.81 + ½ · 0.01 = 0.41, and the mixed "red whale"
# only 0.9 · 0.1 = 0.09.
heading("2. Recap of the NumPy view")
words = {"red fox": [[0.9, 0.9], [0.1, 0.1]], "red whale": [[0.9, 0.1], [0.1, 0.9]]}
for text, probabilities in words.items():
    found = stretch(
        kata.rag_sequence_log_likelihood_numpy,
        np.zeros((1, 2)),
        np.log([probabilities]),
    )
    if found is not None:
        print(f"   {text:<10} one document per answer: {np.exp(found[0]):.3f}")

# If every word may come from another document, each word has ½ · 0.9 + ½ · 0.1 = ½, and
# both answers have ½ · ½.
for text, probabilities in words.items():
    found = stretch(
        kata.rag_token_log_likelihood,
        torch.zeros(1, 2),
        torch.tensor([probabilities]).log(),
    )
    if found is not None:
        print(f"   {text:<10} one document per word:   {found.exp().item():.3f}")

# 3. Data
#
# A document has a key and a value of two tokens. A question is a key, too, but from a
# table of its own: which question vector belongs to which document vector is unknown at
# first. Values are redrawn for every training step, so nobody can learn them by heart.
# Three documents of a base, as sentences.
heading("3. Data")
generator = torch.Generator().manual_seed(0)
keys, values = kata.make_knowledge_base(8, 20, 10, generator=generator)
for key, value in zip(keys[:3].tolist(), values[:3].tolist(), strict=True):
    print(f"   document: the answer to question {key:>2} is {value}")

# 4. Model
#
# The code below is the one that runs here. The retriever has one table for questions
# and one for documents. The generator reads single value tokens of a document that was
# found, and sees neither question nor key.
heading("4. Model")
torch.manual_seed(0)
model = kata.RAG(20, 10, 32)
print("   RAG.retrieve and RAG.forward:")
shown_code(kata.RAG.retrieve)
shown_code(kata.RAG.forward)
doc_logits, log_probs = model(keys[:3], keys, values, 4)
print(
    f"   questions {tuple(keys[:3].shape)}, keys {tuple(keys.shape)}, values "
    f"{tuple(values.shape)}"
)
print(f"   doc_logits {tuple(doc_logits.shape)}, log_probs {tuple(log_probs.shape)}")
print(
    f"   weights of the 4 documents for question {keys[0]}: "
    f"{doc_logits[0].softmax(dim=0).detach().numpy().round(3)}"
)


# The encoders start small, so all scores are near 0 and all weights near ¼. That leaves
# every document a chance. The same weights for all documents and all questions, for the
# figure, sorted by key:
def weights_of_all(model):
    """p(z | x) for 20 questions (rows) and 20 documents (columns)."""
    everything = torch.arange(20)
    with torch.no_grad():
        scores, indices = model.retrieve(everything, everything, 20)
        return torch.zeros(20, 20).scatter(1, indices, scores.softmax(dim=1))


before = weights_of_all(model)
print(
    f"   weights of 20 documents before training: {before.min():.3f} to "
    f"{before.max():.3f}"
)

# 5. Training loop
#
# The loss is written with probabilities here, one level lower than you write it. A
# model that guesses both tokens has a loss of 2 ln 10 = 4.61. Who learns first, the
# generator to copy or the retriever to find? Two measures on the way: the probability
# of the token that was read, and the weight of the right one among all 20 documents.
heading("5. Training loop")
STEPS = 400
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
losses, progress = [], {}
for step in range(STEPS):
    if step in (0, 20, 40, 80, 160, 380):
        copies = model.generate_log_probs(torch.arange(10)).exp().diag().mean().item()
        progress[step] = copies, weights_of_all(model).diag().mean().item()
    keys, values = kata.make_knowledge_base(8, 20, 10, generator=generator)
    places = torch.randint(8, (32,), generator=generator)
    doc_logits, log_probs = model(keys[places], keys, values, 4)
    # (32, 4) per token
    spoken = [
        log_probs[torch.arange(32), :, t, values[places, t]].exp() for t in range(2)
    ]
    weight = doc_logits.exp() / doc_logits.exp().sum(dim=1, keepdim=True)
    loss = -(weight * spoken[0] * spoken[1]).sum(dim=1).log().mean()
    model.zero_grad()
    loss.backward()
    losses.append(loss.item())
    if step == 0:
        for label, parameter in model.named_parameters():
            norm = parameter.grad.norm().item()
            print(
                f"   gradient of {label:<23} {str(tuple(parameter.shape)):<9} norm "
                f"{norm:.5f}"
            )
        old = model.query_encoder.weight[keys[places[0]], 0].item()
    optimizer.step()
    if step == 0:
        new = model.query_encoder.weight[keys[places[0]], 0].item()
        print(
            "   one weight of query_encoder before and after the first step: "
            f"{old:.4f} → {new:.4f}"
        )

# The loss as it falls, in means over 20 steps, and both measures before the first of
# them. Reading comes first: as long as the generator cannot copy, an answer does not
# tell from which document it is.
print("   steps         loss    copies    right document")
for first, (copies, weight) in progress.items():
    mean = sum(losses[first : first + 20]) / 20
    print(
        f"   {first:>3} to {first + 19:>3}   {mean:5.3f}   {copies:7.3f}   "
        f"{weight:15.3f}"
    )

# 6. Evaluation and figure
#
# The key result. All 20 documents at once, 4 of them retrieved per question; training
# had 8. Then all values are replaced, and no weight is touched. The paper predicts that
# the answers follow. A closed book, which has its answers in its weights, should know
# the old values and be right about the new ones once in a hundred.
heading("6. Evaluation and figure")
keys, values = kata.make_knowledge_base(20, 20, 10, generator=generator)
_, replaced = kata.make_knowledge_base(20, 20, 10, generator=generator)
torch.manual_seed(0)
book = kata.ClosedBook(20, 10, 2, 32)
kata.train_closed_book(book, keys, values, steps=100)
with torch.no_grad():
    _, indices = model.retrieve(keys, keys, 4)
for n in range(3):
    found = [
        kata.answer(model, keys[n : n + 1], keys, table, 4)[0].tolist()
        for table in (values, replaced)
    ]
    print(
        f"   question {keys[n]:>2}: found {keys[indices[n]].tolist()}, answer "
        f"{found[0]}, after the swap {found[1]}"
    )


def share_right(answers, table):
    """The share of answers of which both tokens are right."""
    return (answers == table).all(dim=1).float().mean().item()


remembered = book(keys).argmax(dim=-1)
right = {
    "RAG": [
        share_right(kata.answer(model, keys, keys, table, 4), table)
        for table in (values, replaced)
    ],
    "closed book": [share_right(remembered, table) for table in (values, replaced)],
}
for name, (first, then) in right.items():
    print(f"   {name:<12} right answers {first:.2f}, after the swap {then:.2f}")
print(
    "   right document ranked first: "
    f"{(indices[:, 0] == torch.arange(20)).float().mean():.2f}, chance 0.05"
)

# Knowledge comes from documents, so it goes with them as well. This retriever always
# finds four documents, and nothing tells the generator that the right one is missing.
# Then it should be right about once in a hundred.
left = []
for n in range(20):
    others = torch.arange(20) != n
    left.append(kata.answer(model, keys[n : n + 1], keys[others], values[others], 4))
print(
    "   right answers if the document of the question is missing: "
    f"{share_right(torch.cat(left), values):.2f}"
)

# Is it the retriever that was trained? The same generator, with both encoders put back
# to where they started, reads documents at random.
untaught = copy.deepcopy(model)
torch.manual_seed(0)
start = kata.RAG(20, 10, 32)
untaught.query_encoder, untaught.document_encoder = (
    start.query_encoder,
    start.document_encoder,
)
share = share_right(kata.answer(untaught, keys, keys, values, 4), values)
print(f"   right answers with the encoders put back to their start: {share:.2f}")

# The figure: p(z | x) of all 20 documents for all 20 questions, before and after
# training, and the answers before and after the swap. Nobody labelled the diagonal.
after = weights_of_all(model)
print(
    f"   weight of the right document: {before.diag().mean():.3f} before training, "
    f"{after.diag().mean():.3f} after"
)
figure = Figure(figsize=(6.6, 6.2))
first, then, bars = figure.subplot_mosaic(
    [["first", "then"], ["bars", "bars"]]
).values()
panels = (
    (first, before, "before training: 0.05 each"),
    (then, after, "trained on answers: a diagonal"),
)
for axes, table, title in panels:
    image = axes.imshow(table, vmin=0, vmax=1)
    axes.set(
        title=title,
        xlabel="document, by key",
        ylabel="question",
        xticks=[0, 9, 19],
        yticks=[0, 9, 19],
    )
figure.colorbar(image, ax=[first, then], label="p(document | question)", shrink=0.8)
for place, (name, shares) in enumerate(right.items()):
    bars.bar(np.arange(2) + 0.4 * place - 0.2, shares, width=0.36, color=COLOURS[place])
    for when, share in enumerate(shares):
        x = when + 0.4 * place - 0.2
        label = name.replace(" ", "\n") + f"\n{share:.2f}"
        bars.text(x, share + 0.02, label, ha="center", color=COLOURS[place])
bars.set_yticks([0, 0.5, 1])
bars.set_xticks([0, 1], ["documents\nas learned", "all values\nreplaced"])
bars.set(
    xlim=(-0.5, 1.5),
    ylim=(0, 1.25),
    ylabel="share of right answers",
    title="only RAG follows the documents",
)
save_figure(figure, __file__)

# 7. NumPy against PyTorch
#
# The same likelihood in NumPy and in PyTorch, for four questions to a model after 30
# steps. It can read, but does not know yet where.
heading("7. NumPy against PyTorch")
torch.manual_seed(3)
beginner = kata.RAG(20, 10, 32)
kata.train_rag(
    beginner, steps=30, num_docs=8, num_keys=20, top_k=4, generator=generator
)
with torch.no_grad():
    scores, log_probs = beginner(keys[:4], keys, values, 5)
logs = log_probs.gather(3, values[:4, None, :, None].expand(-1, 5, -1, 1))[..., 0]
scores.requires_grad_()
ours = kata.rag_sequence_log_likelihood(scores, logs)
theirs = stretch(
    kata.rag_sequence_log_likelihood_numpy,
    scores.detach().double().numpy(),
    logs.double().numpy(),
)
if theirs is not None:
    print(f"   NumPy:   {theirs.round(4)}")
    print(f"   PyTorch: {ours.detach().numpy().round(4)}")
    print(f"   largest difference: {np.abs(theirs - ours.detach().numpy()).max():.1e}")

# Torch gives the gradient at the scores for free. Bayes' rule gives the probability of
# each document after the answer is known. The gradient should be that posterior minus
# the prior: documents that explain the answer better than expected go up, the others
# go down.
(gradient,) = torch.autograd.grad(ours.sum(), scores)
prior = scores.detach().softmax(dim=1)
evidence = prior * logs.sum(dim=2).exp()
posterior = evidence / evidence.sum(dim=1, keepdim=True)
print(f"   prior     {prior[0].numpy().round(3)}")
print(f"   posterior {posterior[0].numpy().round(3)}")
print(f"   gradient  {gradient[0].numpy().round(3)}")
print(
    "   largest difference to posterior − prior: "
    f"{(gradient - (posterior - prior)).abs().max():.1e}"
)

# Batching replaced the loops over questions, documents and tokens. Autograd replaced
# Bayes' rule by hand, and carried the difference on into both encoders.
