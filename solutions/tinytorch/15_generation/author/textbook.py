"""Generation: characters as tokens, embeddings, TinyGPT, sampling, training, and what
generating costs.
"""

import numpy as np

from tinytorch.advanced_optimizers import Adam, fused_cross_entropy
from tinytorch.autograd import backward_rule
from tinytorch.layers import Linear, Module, Parameter
from tinytorch.production import cosine_decay
from tinytorch.recorder import record
from tinytorch.setup import get_rng, scaling_exponent
from tinytorch.tensor import Tensor
from tinytorch.training import evaluating
from tinytorch.transformers import GPTBackbone

PASSAGE = (
    "To be, or not to be, that is the question: "
    "Whether 'tis nobler in the mind to suffer "
    "The slings and arrows of outrageous fortune, "
    "Or to take arms against a sea of troubles "
    "And by opposing end them. To die: to sleep; "
    "No more; and by a sleep to say we end "
    "The heart-ache and the thousand natural shocks "
    "That flesh is heir to, 'tis a consummation "
    "Devoutly to be wish'd. To die, to sleep; "
    "To sleep: perchance to dream: ay, there's the rub; "
    "For in that sleep of death what dreams may come "
    "When we have shuffled off this mortal coil, "
    "Must give us pause: there's the respect"
)


def as_array(values):
    """The array of a Tensor, an array or a list."""
    return np.asarray(values.data if isinstance(values, Tensor) else values)


class CharTokenizer:
    """Characters as numbers."""

    def __init__(self, text):
        """Number the different characters in sorted order."""
        self.chars = sorted(set(text))
        self.vocab_size = len(self.chars)

    def encode(self, text):
        """The ids of a text."""
        return np.array([self.chars.index(char) for char in text])

    def decode(self, ids):
        """The text of ids."""
        return "".join(self.chars[i] for i in as_array(ids))


def embedding(ids, weight):
    """Rows of a table."""
    ids = as_array(ids)
    return record(Tensor(weight.data[ids]), "embedding", (weight,), ids=ids)


@backward_rule("embedding")
def embedding_rule(node, grad):
    """Add each gradient to the row that it belongs to."""
    table = np.zeros_like(node.inputs[0].data)
    np.add.at(table, node.saved["ids"], grad)
    return (table,)


class Embedding(Module):
    """A learned table."""

    def __init__(self, num_embeddings, embedding_dim, *, rng=None):
        """Draw the table."""
        weight = get_rng(rng).normal(0, 0.02, size=(num_embeddings, embedding_dim))
        self.weight = Parameter(weight.astype(np.float32))

    def forward(self, ids):
        """Look up rows."""
        return embedding(ids, self.weight)


class TinyGPT(Module):
    """A GPT."""

    def __init__(
        self,
        vocab_size,
        block_size,
        *,
        embed_dim=32,
        num_heads=4,
        num_layers=2,
        rng=None,
    ):
        """Make embeddings, backbone and head."""
        self.vocab_size = vocab_size
        self.block_size = block_size
        self.tok_emb = Embedding(vocab_size, embed_dim, rng=rng)
        self.pos_emb = Embedding(block_size, embed_dim, rng=rng)
        self.backbone = GPTBackbone(embed_dim, num_heads, num_layers, rng=rng)
        self.head = Linear(embed_dim, vocab_size, bias=False, rng=rng)

    def forward(self, ids):
        """Logits of the next token, (B, T, V)."""
        ids = as_array(ids)
        positions = np.arange(ids.shape[1])
        x = self.tok_emb(ids) + self.pos_emb(positions)
        return self.head(self.backbone(x))

    def generate(self, ids, max_new_tokens, *, temperature=1.0, top_k=None, rng=None):
        """Continue prompts."""
        return generate(
            self, ids, max_new_tokens, temperature=temperature, top_k=top_k, rng=rng
        )


def next_token_probs(logits, *, temperature=1.0, top_k=None):
    """Softmax of the largest logits over the temperature."""
    logits = as_array(logits).astype(np.float64)
    if temperature == 0:
        return np.eye(logits.shape[-1])[logits.argmax(axis=-1)]
    if top_k is not None:
        smallest = np.sort(logits, axis=-1)[..., -top_k, None]
        logits = np.where(logits < smallest, -np.inf, logits)
    powers = np.exp((logits - logits.max(axis=-1, keepdims=True)) / temperature)
    return powers / powers.sum(axis=-1, keepdims=True)


def generate(model, ids, max_new_tokens, *, temperature=1.0, top_k=None, rng=None):
    """Append sampled tokens, one at a time."""
    ids = as_array(ids)
    rng = get_rng(rng)
    with evaluating(model):
        for _ in range(max_new_tokens):
            logits = model(ids[:, -model.block_size :])
            probs = next_token_probs(
                logits[:, -1], temperature=temperature, top_k=top_k
            )
            new = np.array([rng.choice(len(p), p=p) for p in probs])
            ids = np.concatenate([ids, new[:, None]], axis=1)
    return ids


def sample_batch(ids, batch_size, block_size, *, rng=None):
    """Windows, and the same windows one token later."""
    starts = get_rng(rng).integers(len(ids) - block_size, size=batch_size)
    x = np.stack([ids[i : i + block_size] for i in starts])
    y = np.stack([ids[i + 1 : i + block_size + 1] for i in starts])
    return x, y


def train_language_model(model, ids, steps, *, batch_size=16, lr=3e-3, rng=None):
    """Adam with warm-up and cosine decay."""
    optimizer = Adam(model.parameters(), lr)
    losses = []
    for step in range(steps):
        optimizer.lr = cosine_decay(step, lr, total=steps, warmup=min(20, steps // 10))
        x, y = sample_batch(ids, batch_size, model.block_size, rng=rng)
        logits = model(x)
        loss = fused_cross_entropy(logits.reshape(-1, model.vocab_size), y.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def text_quality(sample, corpus):
    """The shares of known words and pairs of words."""
    words, known = sample.split()[:-1], corpus.split()
    pairs, known_pairs = list(zip(words, words[1:])), set(zip(known, known[1:]))
    return {
        "known_words": sum(word in set(known) for word in words) / max(len(words), 1),
        "known_pairs": sum(pair in known_pairs for pair in pairs) / max(len(pairs), 1),
    }


def train_tiny_gpt(rng=None, *, steps=600, lr=8e-3):
    """Learn the passage and write."""
    tokenizer = CharTokenizer(PASSAGE)
    model = TinyGPT(tokenizer.vocab_size, 32, rng=rng)
    losses = train_language_model(
        model, tokenizer.encode(PASSAGE), steps, lr=lr, rng=rng
    )
    prompt = tokenizer.encode("To be")[None]
    sample = tokenizer.decode(model.generate(prompt, 200, temperature=0.5, rng=rng)[0])
    quality = text_quality(sample, PASSAGE)
    return {
        "model": model,
        "tokenizer": tokenizer,
        "losses": losses,
        "sample": sample,
        **quality,
    }


def generation_cost(prompt, new_tokens, block_size, *, cache=False):
    """Calls, tokens and pairs, counted in a loop."""
    positions = pairs = 0
    for length in range(prompt, prompt + new_tokens):
        keys = length if cache else min(length, block_size)
        queries = 1 if cache and length > prompt else keys
        positions += queries
        pairs += queries * keys
    return {
        "forward_calls": new_tokens,
        "token_positions": positions,
        "attention_pairs": pairs,
    }


def kv_cache_bytes(batch, length, embed_dim, num_layers, itemsize=4):
    """Keys and values of all layers."""
    return 2 * num_layers * batch * length * embed_dim * itemsize


def embedding_cost(vocab, dim, tokens, itemsize=4):
    """A lookup, and the product that it replaces."""
    return {
        "table_bytes": vocab * dim * itemsize,
        "lookup_bytes": tokens * dim * itemsize,
        "one_hot_bytes": tokens * vocab * itemsize,
        "one_hot_multiply_adds": tokens * vocab * dim,
    }


def generation_scaling(new_tokens):
    """Token positions over the number of new tokens."""
    found = {}
    for name, cache in (("full", False), ("cached", True)):
        costs = [generation_cost(1, n, n + 1, cache=cache) for n in new_tokens]
        values = [cost["token_positions"] for cost in costs]
        found[name] = {
            "sizes": list(new_tokens),
            "values": values,
            "exponent": scaling_exponent(new_tokens, values),
        }
    return found
