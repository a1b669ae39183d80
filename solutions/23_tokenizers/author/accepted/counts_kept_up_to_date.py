"""Both trainings count once and then only correct the counts of chunks in which
something was merged.
"""

from collections import defaultdict


def train_bpe(text, vocab_size):
    if vocab_size < 256:
        raise ValueError(f"vocab_size={vocab_size}")
    words = Counter(match[0] for match in re.finditer(SPLIT_PATTERN, text))
    split = {word: [bytes([b]) for b in word.encode()] for word in words}
    counts, where = defaultdict(int), defaultdict(set)

    def add(word, sign):
        for pair, n in count_pairs(split[word]).items():
            counts[pair] += sign * n * words[word]
            (where[pair].add if sign > 0 else where[pair].discard)(word)

    for word in words:
        add(word, 1)
    merges = []
    while len(merges) + 256 < vocab_size and counts:
        ranked = sorted(counts.items(), key=lambda item: item[0])
        best, most = max(ranked, key=lambda item: item[1])
        if most <= 1:
            break
        merges.append(best)
        for word in list(where[best]):
            add(word, -1)
            split[word] = merge_pair(split[word], best, b"".join(best))
            add(word, 1)
    return merges


train_bpe_fast = train_bpe
