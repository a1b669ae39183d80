"""Different: one-hot rows times the table, Gumbel noise instead of a draw, a dict as
vocabulary, costs in closed form.
"""


class CharTokenizer:
    def __init__(self, text):
        if not len(text):
            raise ValueError("empty")
        self.char_to_id = {}
        for char in sorted(text):
            self.char_to_id.setdefault(char, len(self.char_to_id))
        self.id_to_char = {i: char for char, i in self.char_to_id.items()}

    @property
    def chars(self):
        return list(self.char_to_id)

    @property
    def vocab_size(self):
        return len(self.char_to_id)

    def encode(self, text):
        return np.fromiter((self.char_to_id[char] for char in text), dtype=np.int64)

    def decode(self, ids):
        return "".join(map(self.id_to_char.__getitem__, as_array(ids).tolist()))


def embedding(ids, weight):
    ids = as_array(ids)
    if not np.issubdtype(ids.dtype, np.integer):
        raise TypeError(ids.dtype)
    if ids.size and (ids.min() < 0 or ids.max() >= weight.shape[0]):
        raise IndexError("no such row")
    one_hot = (ids[..., None] == np.arange(weight.shape[0])).astype(weight.dtype)
    return (Tensor(one_hot.reshape(-1, weight.shape[0])) @ weight).reshape(
        *ids.shape, weight.shape[1]
    )


def generate(model, ids, max_new_tokens, *, temperature=1.0, top_k=None, rng=None):
    out, rng = as_array(ids).tolist(), get_rng(rng)
    shape = np.shape(out)
    if len(shape) != 2 or shape[1] < 1 or max_new_tokens < 0:
        raise ValueError(shape)
    for _ in range(max_new_tokens):
        with evaluating(model):
            window = np.array([row[-model.block_size :] for row in out])
            logits = model(Tensor(window)).data[:, -1, :]
        with np.errstate(divide="ignore"):
            scores = np.log(
                next_token_probs(logits, temperature=temperature, top_k=top_k)
            )
        chosen = np.argmax(scores + rng.gumbel(size=scores.shape), axis=1)
        for row, token in zip(out, chosen):
            row.append(int(token))
    return np.array(out)


def generation_cost(prompt, new_tokens, block_size, *, cache=False):
    n = new_tokens
    if n == 0:
        return dict(forward_calls=0, token_positions=0, attention_pairs=0)
    if cache:
        later = sum(range(prompt + 1, prompt + n))
        return dict(
            forward_calls=n,
            token_positions=prompt + n - 1,
            attention_pairs=prompt * prompt + later,
        )
    lengths = np.minimum(np.arange(prompt, prompt + n), block_size)
    return dict(
        forward_calls=n,
        token_positions=int(lengths.sum()),
        attention_pairs=int((lengths**2).sum()),
    )
