"""RAG after 400 steps and a closed book after 100: whole answers that are right, before
and after all values change.
"""

import torch

LIMITS = {
    "RAG, new documents": "> 0.9",
    "RAG, after the values were replaced": "> 0.9",
    "right document ranked first (chance 0.05)": "> 0.9",
    "closed book, the documents it learned": "> 0.9",
    "closed book, after the values were replaced": "< 0.3",
}


def run(kata, seed) -> dict[str, float]:
    """Train both from the same seed: 20 keys, 10 values; 8 documents per step for RAG,
    all 20 for the measurement.
    """
    torch.manual_seed(seed)
    rag, book = kata.RAG(20, 10, 32), kata.ClosedBook(20, 10, 2, 32)
    generator = torch.Generator().manual_seed(seed)
    kata.train_rag(
        rag, steps=400, num_docs=8, num_keys=20, top_k=4, generator=generator
    )
    keys, old = kata.make_knowledge_base(20, 20, 10, generator=generator)
    kata.train_closed_book(book, keys, old, steps=100)
    _, new = kata.make_knowledge_base(20, 20, 10, generator=generator)

    def right(answers, values):
        return (answers == values).all(dim=1).float().mean().item()

    found = [
        right(kata.answer(rag, keys, keys, values, 4), values) for values in (old, new)
    ]
    _, indices = rag.retrieve(keys, keys, 4)
    found.append((indices[:, 0] == torch.arange(20)).float().mean().item())
    found += [right(book(keys).argmax(dim=-1), values) for values in (old, new)]
    return dict(zip(LIMITS, found, strict=True))
