"""Retrievers trained with batches of 32 and of 4, and BM25, on 200 questions about 300
new passages.
"""

import torch

LIMITS = {
    "dense, recall at 1": "> 0.55",
    "dense, recall at 5": "> 0.88",
    "gain of batches of 32 over 4, at 1": "> 0.1",
    "BM25 on paraphrases, recall at 20": "< 0.05",
    "BM25 on unchanged words, recall at 1": "> 0.85",
}


def run(kata, seed) -> dict[str, float]:
    """Train both retrievers from the same seed; the first one and BM25 answer the
    same questions.
    """
    first = []
    for batch_size in (4, 32):
        torch.manual_seed(seed)
        model, generator = (
            kata.DualEncoder(121, 32),
            torch.Generator().manual_seed(seed),
        )
        kata.train_retriever(
            model, steps=300, batch_size=batch_size, generator=generator
        )
        passages = kata.make_corpus(300, generator=generator)
        gold = torch.randint(300, (200,), generator=generator)
        questions = kata.make_questions(passages, gold, generator=generator)
        with torch.no_grad():
            dense = kata.recall_at_k(model(questions, passages), gold)
        first.append(dense[1])
    unchanged = kata.make_questions(
        passages, gold, paraphrase=False, generator=generator
    )
    bm25 = [
        kata.recall_at_k(kata.bm25_scores(words, passages), gold)
        for words in (questions, unchanged)
    ]
    return dict(
        zip(
            LIMITS,
            (dense[1], dense[5], first[1] - first[0], bm25[0][20], bm25[1][1]),
            strict=True,
        )
    )
