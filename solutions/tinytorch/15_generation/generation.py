"""Generation: a language model that writes, one token at a time. Milestone 4: TinyGPT."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytorch.advanced_optimizers import Adam, fused_cross_entropy
from tinytorch.autograd import Node, backward_rule
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


class CharTokenizer:
    """Characters as numbers."""

    def __init__(self, text: str):
        """Number the different characters of a text in sorted order."""
        if not text:
            raise ValueError("the text is empty")
        self.chars = sorted(set(text))
        self.vocab_size = len(self.chars)
        self._ids = {char: i for i, char in enumerate(self.chars)}

    def encode(self, text: str) -> np.ndarray:
        """The numbers of a text's characters."""
        unknown = set(text) - self._ids.keys()
        if unknown:
            raise ValueError(f"unknown characters: {sorted(unknown)}")
        return np.array([self._ids[char] for char in text], dtype=np.int64)

    def decode(self, ids: Any) -> str:
        """The text of some numbers."""
        numbers = np.asarray(ids.data if isinstance(ids, Tensor) else ids)
        if numbers.size and not (0 <= numbers.min() and numbers.max() < self.vocab_size):
            raise IndexError(f"ids must be from 0 to {self.vocab_size - 1}")
        return "".join(self.chars[i] for i in numbers)


def embedding(ids: Any, weight: Tensor) -> Tensor:
    """Look up the rows of a table."""
    numbers = np.asarray(ids.data if isinstance(ids, Tensor) else ids)
    if numbers.dtype.kind not in "iu":
        raise TypeError(f"ids must be integers, got {numbers.dtype}")
    if numbers.size and not (0 <= numbers.min() and numbers.max() < len(weight)):
        raise IndexError(f"ids must be from 0 to {len(weight) - 1}")
    return record(Tensor(weight.data[numbers]), "embedding", (weight,), ids=numbers)


@backward_rule("embedding")
def embedding_rule(node: Node, grad: np.ndarray) -> tuple[np.ndarray, ...]:
    """The gradient of the table: rows that were looked up twice get both."""
    table = np.zeros_like(node.inputs[0].data)
    np.add.at(table, node.saved["ids"], grad)
    return (table,)


class Embedding(Module):
    """A table that is learned."""

    def __init__(self, num_embeddings: int, embedding_dim: int, *, rng: np.random.Generator | None = None):
        """Draw the table."""
        self.weight = Parameter(get_rng(rng).normal(0, 0.02, (num_embeddings, embedding_dim)).astype(np.float32))

    def forward(self, ids: Any) -> Tensor:
        """Look up the rows."""
        return embedding(ids, self.weight)


class TinyGPT(Module):
    """A GPT."""

    def __init__(
        self,
        vocab_size: int,
        block_size: int,
        *,
        embed_dim: int = 32,
        num_heads: int = 4,
        num_layers: int = 2,
        rng: np.random.Generator | None = None,
    ):
        """Make embeddings, backbone and head."""
        rng = get_rng(rng)
        self.vocab_size, self.block_size = vocab_size, block_size
        self.tok_emb, self.pos_emb = (
            Embedding(vocab_size, embed_dim, rng=rng),
            Embedding(block_size, embed_dim, rng=rng),
        )
        self.backbone = GPTBackbone(embed_dim, num_heads, num_layers, rng=rng)
        self.head = Linear(embed_dim, vocab_size, bias=False, rng=rng)

    def forward(self, ids: Any) -> Tensor:
        """The logits of the next token at every position."""
        numbers = np.asarray(ids.data if isinstance(ids, Tensor) else ids)
        if numbers.ndim != 2 or numbers.shape[1] > self.block_size:
            raise ValueError(f"ids must be (B, T) with T ≤ {self.block_size}, got shape {numbers.shape}")
        x = self.tok_emb(numbers) + self.pos_emb(np.arange(numbers.shape[1]))
        return self.head(self.backbone(x))

    def generate(
        self,
        ids: Any,
        max_new_tokens: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        rng: np.random.Generator | None = None,
    ) -> np.ndarray:
        """Continue the prompts."""
        return generate(self, ids, max_new_tokens, temperature=temperature, top_k=top_k, rng=rng)


def next_token_probs(logits: Any, *, temperature: float = 1.0, top_k: int | None = None) -> np.ndarray:
    """The probabilities to sample from."""
    if temperature < 0 or (top_k is not None and top_k < 1):
        raise ValueError(f"temperature must be at least 0 and top_k 1, got {temperature} and {top_k}")
    scores = np.array(logits.data if isinstance(logits, Tensor) else logits, dtype=np.float64)
    vocab_size = scores.shape[-1]
    if temperature == 0:
        return np.eye(vocab_size)[scores.argmax(axis=-1)]
    if top_k is not None and top_k < vocab_size:
        dropped = np.argsort(-scores, axis=-1, kind="stable")[..., top_k:]
        np.put_along_axis(scores, dropped, -np.inf, axis=-1)
    powers = np.exp((scores - scores.max(axis=-1, keepdims=True)) / temperature)
    return powers / powers.sum(axis=-1, keepdims=True)


def generate(
    model: Module,
    ids: Any,
    max_new_tokens: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Continue prompts token by token."""
    tokens, rng = np.array(ids.data if isinstance(ids, Tensor) else ids), get_rng(rng)
    if tokens.ndim != 2 or tokens.shape[1] == 0 or max_new_tokens < 0:
        raise ValueError(f"need prompts (B, T) with T ≥ 1 and a count ≥ 0, got {tokens.shape} and {max_new_tokens}")
    with evaluating(model):
        for _ in range(max_new_tokens):
            logits = model(tokens[:, -model.block_size :])[:, -1]
            probs = next_token_probs(logits, temperature=temperature, top_k=top_k)
            drawn = [rng.choice(probs.shape[1], p=row) for row in probs]
            tokens = np.concatenate([tokens, np.array(drawn)[:, None]], axis=1)
    return tokens


def sample_batch(
    ids: np.ndarray, batch_size: int, block_size: int, *, rng: np.random.Generator | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Draw windows, and the same windows one token ahead."""
    if len(ids) <= block_size:
        raise ValueError(f"{len(ids)} tokens are too few for windows of {block_size} and their targets")
    starts = get_rng(rng).integers(0, len(ids) - block_size, batch_size)
    places = starts[:, None] + np.arange(block_size)
    return ids[places], ids[places + 1]


def train_language_model(
    model: TinyGPT,
    ids: np.ndarray,
    steps: int,
    *,
    batch_size: int = 16,
    lr: float = 3e-3,
    rng: np.random.Generator | None = None,
) -> list[float]:
    """Train on windows of a text and return the losses."""
    optimizer, rng, losses = Adam(model.parameters(), lr), get_rng(rng), []
    for step in range(steps):
        optimizer.lr = cosine_decay(step, lr, total=steps, warmup=min(20, steps // 10))
        x, y = sample_batch(ids, batch_size, model.block_size, rng=rng)
        optimizer.zero_grad()
        loss = fused_cross_entropy(model(x).reshape(-1, model.vocab_size), y.reshape(-1))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def generation_cost(prompt: int, new_tokens: int, block_size: int, *, cache: bool = False) -> dict[str, int]:
    """Count what generating costs."""
    if cache:
        lengths = [prompt] + [1] * (new_tokens - 1) if new_tokens else []
        pairs = [prompt**2] + [prompt + i for i in range(1, new_tokens)] if new_tokens else []
    else:
        lengths = [min(prompt + i, block_size) for i in range(new_tokens)]
        pairs = [n**2 for n in lengths]
    return {"forward_calls": new_tokens, "token_positions": sum(lengths), "attention_pairs": sum(pairs)}


def kv_cache_bytes(batch: int, length: int, embed_dim: int, num_layers: int, itemsize: int = 4) -> int:
    """Predict the bytes of all cached keys and values."""
    return 2 * batch * length * embed_dim * num_layers * itemsize


def embedding_cost(vocab: int, dim: int, tokens: int, itemsize: int = 4) -> dict[str, int]:
    """Compare a lookup with a product of one-hot rows."""
    return {
        "table_bytes": vocab * dim * itemsize,
        "lookup_bytes": tokens * dim * itemsize,
        "one_hot_bytes": tokens * vocab * itemsize,
        "one_hot_multiply_adds": tokens * vocab * dim,
    }


def generation_scaling(new_tokens: Sequence[int]) -> dict[str, Any]:
    """Count token positions over the number of new tokens, with and without a cache."""
    scaling = {}
    for name, cache in (("full", False), ("cached", True)):
        values = [generation_cost(1, n, max(new_tokens) + 1, cache=cache)["token_positions"] for n in new_tokens]
        scaling[name] = {
            "sizes": list(new_tokens),
            "values": values,
            "exponent": scaling_exponent(new_tokens, values),
        }
    return scaling


def text_quality(sample: str, corpus: str) -> dict[str, float]:  # stub: keep
    """The shares of the sample's words, and of its neighbouring words, that occur in the corpus."""
    words, known = sample.split()[:-1], corpus.split()
    pairs, known_pairs = list(zip(words, words[1:])), set(zip(known, known[1:]))
    return {
        "known_words": sum(word in set(known) for word in words) / max(len(words), 1),
        "known_pairs": sum(pair in known_pairs for pair in pairs) / max(len(pairs), 1),
    }


def train_tiny_gpt(rng: np.random.Generator | None = None, *, steps: int = 600, lr: float = 8e-3) -> dict[str, Any]:
    """Train a TinyGPT on a passage and let it write."""
    rng = get_rng(rng)
    tokenizer = CharTokenizer(PASSAGE)
    model = TinyGPT(tokenizer.vocab_size, 32, rng=rng)
    losses = train_language_model(model, tokenizer.encode(PASSAGE), steps, lr=lr, rng=rng)
    written = model.generate(tokenizer.encode("To be")[None], 200, temperature=0.5, rng=rng)
    sample = tokenizer.decode(written[0])
    return {"model": model, "tokenizer": tokenizer, "losses": losses, "sample": sample, **text_quality(sample, PASSAGE)}
