"""Training on one flat list of ids with a separator between chunks; pairs counted and
merged by index.
"""


def count_pairs(tokens):
    counts = {}
    for i in range(1, len(tokens)):
        pair = tokens[i - 1], tokens[i]
        counts[pair] = counts.get(pair, 0) + 1
    return counts


def merge_pair(tokens, pair, merged):
    result, skip = [], False
    for i, token in enumerate(tokens):
        if skip:
            skip = False
        elif token == pair[0] and i + 1 < len(tokens) and tokens[i + 1] == pair[1]:
            result.append(merged)
            skip = True
        else:
            result.append(token)
    return result


def train_bpe(text, vocab_size):
    if vocab_size - 256 < 0:
        raise ValueError(vocab_size)
    flat, spelled, merges = [], [bytes((i,)) for i in range(256)], []
    for chunk in re.findall(SPLIT_PATTERN, text):
        flat.extend(chunk.encode("utf-8"))
        flat.append(-1)
    for _ in range(vocab_size - 256):
        counts = {
            pair: n for pair, n in count_pairs(flat).items() if -1 not in pair and n > 1
        }
        if not counts:
            return merges
        most = max(counts.values())
        left, right = min(
            (spelled[a], spelled[b]) for (a, b), n in counts.items() if n == most
        )
        flat = merge_pair(
            flat, (spelled.index(left), spelled.index(right)), len(spelled)
        )
        if left + right in spelled:
            flat = [
                spelled.index(left + right) if i == len(spelled) else i for i in flat
            ]
        else:
            spelled.append(left + right)
        merges.append((left, right))
    return merges
