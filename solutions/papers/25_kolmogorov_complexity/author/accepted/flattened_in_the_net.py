"""Programs level by level, entropies from one-hot means, a Flatten in `net`, and one
model pass per chunk that pays.
"""


def shortest_programs(max_length):
    programs, found = [""], {}
    for _ in range(max_length + 1):
        for program in programs:
            output = run_program(program)
            if output not in found:
                found[output] = program
        programs = [program + character for program in programs for character in "D10"]
    return {
        output: program
        for output, program in found.items()
        if len(program) <= max_length
    }


def compressed_bits(data):
    sizes = [len(data)]
    sizes.append(len(zlib.compress(data, 9)))
    sizes.append(len(bz2.compress(data)))  # 9 is its default
    sizes.append(len(lzma.compress(data, format=lzma.FORMAT_XZ, preset=9)))
    return min(sizes) * 8 + 2


def entropy_bits(symbols, alphabet_size):
    shares = F.one_hot(symbols, alphabet_size).double().mean(dim=0)
    return float(torch.special.entr(shares).sum() / math.log(2)) * symbols.shape[0]


def entropy_bits_numpy(symbols, alphabet_size):
    p = (symbols[:, None] == np.arange(alphabet_size)).mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return -np.nansum(p * np.log2(p)) * symbols.size


class ContextModel(nn.Module):
    def __init__(self, alphabet_size, context, hidden_size):
        super().__init__()
        self.alphabet_size = alphabet_size
        self.context = context
        width = context * (alphabet_size + 1)
        self.net = nn.Sequential(
            nn.Flatten(),
            nn.Linear(width, hidden_size),
            nn.Tanh(),
            nn.Linear(hidden_size, alphabet_size),
        )

    def forward(self, contexts):
        values = torch.arange(self.alphabet_size + 1)
        return self.net((contexts[..., None] == values).type_as(self.net[1].bias))


def prequential_bits(model, symbols, *, chunk=32, lr=1e-2, updates=2):
    n, size = len(symbols), model.context
    padded = F.pad(symbols, (size, 0), value=model.alphabet_size)
    contexts = torch.stack([padded[place : n + place] for place in range(size)], dim=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    bits = symbols.new_zeros(n, dtype=torch.float32)
    for places in torch.arange(n).split(chunk):
        with torch.inference_mode():
            chances = (
                model(contexts[places])
                .log_softmax(dim=1)
                .gather(1, symbols[places, None])[:, 0]
            )
        bits[places] = -chances / math.log(2)
        last = int(places[-1]) + 1
        if last == n:
            break  # nobody pays after the last chunk
        recent = slice(max(last - 512 - chunk, 0), last)
        for _ in range(updates):
            optimizer.zero_grad()
            F.nll_loss(
                model(contexts[recent]).log_softmax(dim=1), symbols[recent]
            ).backward()
            optimizer.step()
    return bits
