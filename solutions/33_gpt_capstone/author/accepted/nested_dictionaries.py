"""Counts in a dictionary of dictionaries, from the longest context down; words letter
by letter; paragraphs line by line.
"""

from collections import defaultdict


def split_prose(docs, every=5):
    if every < 2:
        raise ValueError(f"every is {every}")
    if len(docs) < every:
        raise ValueError(f"only {len(docs)} documents")

    def paragraphs(doc):
        found, lines = [], []
        for line in [*doc.split("\n"), ""]:
            if not line or line.isspace():
                found += ["\n".join(lines)] if lines else []
                lines = []
            else:
                lines.append(line)
        return found

    sides = {True: [], False: []}
    for i, doc in enumerate(docs):
        sides[i % every == every // 2].append(doc)
    seen = set()
    for doc in sides[False]:
        seen.update(map(str.strip, paragraphs(doc)))
    kept = [
        "\n\n".join(p for p in paragraphs(doc) if p.strip() not in seen)
        for doc in sides[True]
    ]
    return sides[False], list(filter(None, kept))


def ngram_loss(train, val, n, vocab_size, strength=5.0):
    if n < 1:
        raise ValueError(f"n is {n}")
    if strength <= 0:
        raise ValueError(f"strength is {strength}")
    if len(val) < n:
        raise ValueError(f"{len(val)} tokens for n = {n}")
    followers = defaultdict(lambda: defaultdict(int))
    tokens = [int(token) for token in train]
    for i, token in enumerate(tokens):
        for k in range(min(n - 1, i) + 1):
            followers[tuple(tokens[i - k : i])][token] += 1
    totals = {context: sum(found.values()) for context, found in followers.items()}

    def probability(context, token):
        if context in totals:
            below = probability(context[1:], token) if context else 1.0 / vocab_size
            return (followers[context].get(token, 0) + strength * below) / (
                totals[context] + strength
            )
        return probability(context[1:], token) if context else 1.0 / vocab_size

    told = [int(token) for token in val]
    total = 0.0
    for i in range(n - 1, len(told)):
        total -= math.log(probability(tuple(told[i - n + 1 : i]), told[i]))
    return total / (len(told) - n + 1)


def lexicon(docs):
    words = set()
    for doc in docs:
        word = ""
        for character in doc.lower() + " ":
            if "a" <= character <= "z":
                word += character
            else:
                if len(word) > 2:
                    words.add(word)
                word = ""
    return words


def known_word_rate(text, lexicon):
    letters = "".join(c if "a" <= c <= "z" else " " for c in text.lower())
    known = [word in lexicon for word in letters.split() if len(word) > 2]
    return known.count(True) / len(known) if known else 0.0
