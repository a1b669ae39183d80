"""The trainer calls the model for its score matrix and clears after each step; measures
and BM25 go row by row.
"""

import math


def in_batch_loss(q, p, hard=None):
    scores = torch.cat([q @ p.T] + ([] if hard is None else [q @ hard.T]), dim=1)
    return -scores.log_softmax(dim=-1).diag().mean()


def in_batch_loss_numpy(q, p):
    losses = []
    for question, right in zip(q, p):
        scores = p @ question - question @ right
        top = scores.max()
        losses.append(top + np.log(np.exp(scores - top).sum()))
    return np.array(losses).mean()


def search(query_vectors, passage_vectors, k):
    if not 0 < k <= len(passage_vectors):
        raise ValueError(k)
    found = [passage_vectors.mv(query).sort(descending=True) for query in query_vectors]
    return torch.stack([row.values[:k] for row in found]), torch.stack(
        [row.indices[:k] for row in found]
    )


def recall_at_k(scores, gold, ks=(1, 5, 20)):
    found = {k: 0 for k in ks}
    for row, right in zip(scores, gold):
        rank = int((row >= row[right]).sum())
        for k in ks:
            found[k] += rank <= k
    return {k: count / len(gold) for k, count in found.items()}


def bm25_scores(questions, passages, k1=1.5, b=0.75):
    texts = [[word for word in row if word > 0] for row in passages.tolist()]
    average = sum(map(len, texts)) / len(texts)
    n = {}
    for text in texts:
        for word in set(text):
            n[word] = n.get(word, 0) + 1
    scores = torch.zeros(len(questions), len(passages))
    for i, question in enumerate(questions.tolist()):
        for j, text in enumerate(texts):
            for word in question:
                if word not in text:
                    continue
                tf = text.count(word)
                idf = math.log((len(texts) - n[word] + 0.5) / (n[word] + 0.5) + 1)
                scores[i, j] += (
                    idf * tf * (k1 + 1) / (tf + k1 * (1 - b + b * len(text) / average))
                )
    return scores


def train_retriever(
    model, *, steps, vocab_size=60, batch_size=32, lr=0.02, generator=None
):
    optimizer = torch.optim.Adam(list(model.parameters()), lr)
    model.train().zero_grad()
    losses = []
    for _ in range(steps):
        passages = make_corpus(batch_size, vocab_size, generator=generator)
        order = torch.arange(len(passages))
        scores = model(
            make_questions(passages, order, vocab_size, generator=generator), passages
        )
        loss = F.cross_entropy(scores, order)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.detach().item())
    return losses


def mean_reciprocal_rank(scores, gold):
    return sum(
        1 / (row >= row[right]).sum().item() for row, right in zip(scores, gold)
    ) / len(gold)
