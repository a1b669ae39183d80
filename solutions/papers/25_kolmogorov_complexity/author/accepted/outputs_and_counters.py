"""Breadth-first over outputs, counters and a loop over places; gradients are cleared
after each step, in two parts.
"""

from collections import Counter


def shortest_programs(max_length):
    found = {"": ""}
    level = [""]
    for _ in range(max_length):
        following = []
        for output in level:
            for longer, instruction in (
                (2 * output, "D"),
                (output + "1", "1"),
                (output + "0", "0"),
            ):
                if longer not in found:
                    found[longer] = found[output] + instruction
                    following.append(longer)
        level = following
    return found


def compressed_bits(data):
    best = len(data)
    for module, options in (
        (zlib, {"level": 9}),
        (bz2, {"compresslevel": 9}),
        (lzma, {"preset": 9}),
    ):
        best = min(best, len(module.compress(data, **options)))
    return best * 8 + 2


def normalized_compression_distance(x, y):
    low, high = sorted([len(zlib.compress(x, level=9)), len(zlib.compress(y, level=9))])
    return (len(zlib.compress(b"".join([x, y]), level=9)) - low) / high


def entropy_bits(symbols, alphabet_size):
    n = symbols.numel()
    return sum(
        count * math.log2(n / count) for count in Counter(symbols.tolist()).values()
    )


def entropy_bits_numpy(symbols, alphabet_size):
    _, counts = np.unique(symbols, return_counts=True)
    return np.sum(counts) * np.log2(np.sum(counts)) - np.sum(counts * np.log2(counts))


class ContextModel(nn.Module):
    def __init__(self, alphabet_size, context, hidden_size):
        super().__init__()
        self.alphabet_size, self.context = alphabet_size, context
        into = nn.Linear(context * (alphabet_size + 1), hidden_size)
        self.net = nn.Sequential(into, nn.Tanh(), nn.Linear(hidden_size, alphabet_size))

    def forward(self, contexts):
        rows = torch.eye(self.alphabet_size + 1, dtype=self.net[0].weight.dtype)[
            contexts
        ]
        return self.net(rows.reshape(len(contexts), -1))


def prequential_bits(model, symbols, *, chunk=32, lr=1e-2, updates=2):
    padded = [model.alphabet_size] * model.context + symbols.tolist()
    contexts = torch.tensor(
        [padded[place : place + model.context] for place in range(len(symbols))]
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    optimizer.zero_grad()
    bits = torch.zeros(len(symbols))
    for start in range(0, len(symbols), chunk):
        stop = min(start + chunk, len(symbols))
        for place in range(start, stop):
            chances = model(contexts[place : place + 1]).detach().softmax(dim=1)[0]
            bits[place] = -torch.log2(chances[symbols[place]])
        places = torch.arange(max(0, start - 512), stop)
        for _ in range(updates):
            for part in places.tensor_split(2):  # half of the symbols at a time
                loss = F.cross_entropy(
                    model(contexts[part]), symbols[part], reduction="sum"
                )
                (loss / len(places)).backward()
            optimizer.step()
            optimizer.zero_grad()
    return bits
