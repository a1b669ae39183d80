"""Generation: a language model that writes, one token at a time. Milestone
4: TinyGPT.
"""

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


def as_array(values: Any) -> np.ndarray:
    """The array of a Tensor, an array or a list."""
    return np.asarray(values.data if isinstance(values, Tensor) else values)


class CharTokenizer:
    """A vocabulary of characters, each of which is a number.

    Args:
        text: the vocabulary is made of its characters.

    - `chars` is the list of the different characters in sorted order, `vocab_size`
      their number V. A character's id is its place in `chars`: "banana" has the chars
      a, b, n.
    - `encode(text)` returns the ids, an int64 array (T,): "nab" becomes [2, 0, 1].
    - `decode(ids)` undoes it. ids are an array, a list or a Tensor, of any
      integer type.

    Edge cases ★
        An empty text for the vocabulary is an error. `encode` names a character that is
        not in the vocabulary. `decode` refuses ids outside 0 … V - 1, negative ones,
        too. Nothing to encode is an int64 array (0,).
    """

    def __init__(self, text: str):
        raise NotImplementedError

    def encode(self, text: str) -> np.ndarray:
        raise NotImplementedError

    def decode(self, ids: Any) -> str:
        raise NotImplementedError


def embedding(ids: Any, weight: Tensor) -> Tensor:
    """Look up one row of a table per id.

    Args:
        ids: integers of any shape, in a Tensor, an array or a list. `as_array` makes an
            array of all three.
        weight: (V, C), one row per id.
    Returns:
        A Tensor ids.shape + (C,) of weight's dtype: ids (B, T) give (B, T, C). It
        announces itself as "embedding" with the input weight, and saves `ids`,
        an array.

    Edge cases ★
        Ids that are not integers, and ids outside 0 … V - 1, negative ones, too,
        are errors.
    """
    raise NotImplementedError


@backward_rule("embedding")
def embedding_rule(node: Node, grad: np.ndarray) -> tuple[np.ndarray, ...]:
    """Give each row of the table the sum of the gradients of all places that it was
    copied to.

    Args:
        node: of an embedding; `node.inputs[0]` is the table (V, C), and
            `node.saved["ids"]` what was looked up.
        grad: of the result, ids.shape + (C,).
    Returns:
        A tuple of one array (V, C). After the ids [2, 0, 2], row 2 has
        grad[0] + grad[2], row 0 has grad[1], and row 1 has zeros.
    """
    raise NotImplementedError


class Embedding(Module):
    """A table of learned rows: call it with ids, and it looks them up.

    Args:
        num_embeddings: V, the number of rows.
        embedding_dim: C, their length.
        rng: the source of the draw. None means the framework's generator.

    - `weight` is a Parameter (V, C), float32, drawn from a normal distribution with
      mean 0 and standard deviation 0.02.
    - Called with ids of any shape, it returns ids.shape + (C,).
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        *,
        rng: np.random.Generator | None = None,
    ):
        raise NotImplementedError

    def forward(self, ids: Any) -> Tensor:
        raise NotImplementedError


class TinyGPT(Module):
    """A language model: for every position of a sequence, the logits of the token that
    comes next.
    """

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
        """Make the parts of the model.

        Args:
            vocab_size: V, the number of different tokens.
            block_size: the longest sequence that the model can read.
            embed_dim: C, the features of each position.
            num_heads, num_layers: of the backbone.
            rng: the source of all draws. None means the framework's generator.

        - `tok_emb` is an Embedding with one row of C numbers per token, `pos_emb` one
          with a row per position.
        - `backbone` is a GPTBackbone, `head` a Linear from C to V without a bias.
        - `vocab_size` and `block_size` are attributes.
        """
        raise NotImplementedError

    def forward(self, ids: Any) -> Tensor:
        """Compute the logits of the next token at every position.

        Args:
            ids: (B, T) integers, T ≤ block_size.
        Returns:
            (B, T, V). Token and position embeddings are added and go through backbone
            and head. Positions count from 0 to T - 1 in every sequence. The logits at t
            depend on the tokens 0 to t alone.

        Edge cases ★
            T > block_size, and ids that are not 2-D, are errors that name the shape's
            last size.
        """
        raise NotImplementedError

    def generate(
        self,
        ids: Any,
        max_new_tokens: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        rng: np.random.Generator | None = None,
    ) -> np.ndarray:
        """Continue the prompts (B, T) by the function `generate`."""
        return generate(
            self, ids, max_new_tokens, temperature=temperature, top_k=top_k, rng=rng
        )


def next_token_probs(
    logits: Any, *, temperature: float = 1.0, top_k: int | None = None
) -> np.ndarray:
    """Turn logits into the probabilities to sample the next token from: softmax(logits
    / temperature).

    Args:
        logits: (..., V), a Tensor or an array.
        temperature: 0 puts all probability on the first of the largest logits.
        top_k: keep the k largest logits; the others get the probability 0. None
            keeps all.
    Returns:
        A float64 array (..., V), each row of which sums to 1. [log 1, log 2, log 3]
        gives [1/6, 2/6, 3/6], with temperature 0.5 [1/14, 4/14, 9/14], and with
        top_k=2 [0, 2/5, 3/5].

    - Logits of ±10,000 give finite probabilities.
    - Of logits that tie at the cut, any may survive.

    Edge cases ★
        A top_k above V keeps all. A temperature below 0 and a top_k below 1 are errors.
        The logits are not written to.
    """
    raise NotImplementedError


def generate(
    model: Module,
    ids: Any,
    max_new_tokens: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Continue prompts token by token. Each sampled token is appended, and read in the
    next step.

    Args:
        model: any Module with a `block_size` that maps ids (B, T) to logits (B, T, V).
        ids: (B, T) prompts, T ≥ 1.
        max_new_tokens: n, the number of tokens to append.
        temperature, top_k: as for next_token_probs.
        rng: the source of the draws. None means the framework's generator.
    Returns:
        An int array (B, T + n), with the prompts in front. The rows are
        sampled independently.

    - The logits at the last position say what comes next.
    - The model reads the last block_size tokens at most.
    - It runs in eval mode without a graph, and has its mode back afterwards.

    Edge cases ★
        n = 0 returns the prompts alone. A prompt without tokens, ids that are not 2-D,
        and a negative n are errors. The ids are not written to.
    """
    raise NotImplementedError


def sample_batch(
    ids: np.ndarray,
    batch_size: int,
    block_size: int,
    *,
    rng: np.random.Generator | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw windows of a text as inputs, and the tokens that follow each position
    as targets.

    Args:
        ids: (N,) the text.
        batch_size: B, the number of windows.
        block_size: T, their length, below N.
        rng: the source of the draws. None means the framework's generator.
    Returns:
        (x, y), arrays (B, T). A row of x is ids[i : i + T], and that of y is
        ids[i + 1 : i + T + 1].

    - Every start i for which both exist is equally likely, the last one, too. A text of
      T + 1 tokens has exactly one.
    - Starts may repeat.

    Edge cases ★
        A text of T tokens or fewer is an error that names T.
    """
    raise NotImplementedError


def train_language_model(
    model: TinyGPT,
    ids: np.ndarray,
    steps: int,
    *,
    batch_size: int = 16,
    lr: float = 3e-3,
    rng: np.random.Generator | None = None,
) -> list[float]:
    """Teach a model to predict the next token of a text at every position.

    Args:
        model: with `block_size` and `vocab_size`; it maps ids (B, T) to
            logits (B, T, V).
        ids: (N,) the text.
        steps: the number of updates, each on one `sample_batch` of windows of
            block_size tokens.
        batch_size: B.
        lr: the base rate of Adam.
        rng: the source of the batches. None means the framework's generator.
    Returns:
        The loss of each step, before its update, as Python numbers.

    - The loss is fused_cross_entropy over all B · T positions.
    - Adam's rate follows `cosine_decay` from step 0, with `total` = steps and a warm-up
      of min(20, steps // 10) steps.
    """
    raise NotImplementedError


def text_quality(sample: str, corpus: str) -> dict[str, float]:
    """Measure which shares of the sample's words, and of its pairs of neighbouring
    words, occur in the corpus.

    The sample's last word is left out, since it may be cut. Returns "known_words" and
    "known_pairs", from 0 to 1.
    """
    words, known = sample.split()[:-1], corpus.split()
    pairs, known_pairs = list(zip(words, words[1:])), set(zip(known, known[1:]))
    return {
        "known_words": sum(word in set(known) for word in words) / max(len(words), 1),
        "known_pairs": sum(pair in known_pairs for pair in pairs) / max(len(pairs), 1),
    }


def train_tiny_gpt(
    rng: np.random.Generator | None = None, *, steps: int = 600, lr: float = 8e-3
) -> dict[str, Any]:
    """Milestone 4: train a TinyGPT on PASSAGE, and let it write.

    Args:
        rng: the source of all draws: parameters, batches and sampling. None means the
            framework's generator.
        steps: the number of updates. 600 take 5 to 20 seconds.
        lr: the base rate.
    Returns:
        A dict with six keys:

        - "model": the TinyGPT, with a block of 32 tokens, else with its defaults.
          "tokenizer": that of PASSAGE.
        - "losses": of each step.
        - "sample": a text that begins with "To be", and 200 characters generated at
          temperature 0.5.
        - "known_words" and "known_pairs": the sample's `text_quality` against PASSAGE.

    150 steps bring the mean of the last 20 losses below the bigram entropy, 1.94. After
    600 it is 0.14, and nearly all words are known.
    """
    raise NotImplementedError


def generation_cost(
    prompt: int, new_tokens: int, block_size: int, *, cache: bool = False
) -> dict[str, int]:
    """Count what it costs to generate, with one forward pass per new token.

    Without a cache, each pass reads the last min(length, block_size) tokens, and
    compares each with each. With a cache of keys and values, the first pass reads the
    prompt. Each later one reads the newest token alone, and compares it with all tokens
    so far, itself included.

    Args:
        prompt, new_tokens: numbers of tokens.
        block_size: the longest input. With a cache, prompt + new_tokens do not
            exceed it.
    Returns:
        Three ints: "forward_calls"; "token_positions", the tokens read in all calls;
        "attention_pairs", of a query and a key per layer and head, masked ones
        included. A prompt of 3 and 2 new tokens are 3 + 4 tokens in 9 + 16 pairs, and
        with a cache 3 + 1 tokens in 9 + 4 pairs.

    Edge cases ★
        No new tokens cost nothing.
    """
    raise NotImplementedError


def kv_cache_bytes(
    batch: int, length: int, embed_dim: int, num_layers: int, itemsize: int = 4
) -> int:
    """Predict the bytes of a cache that holds the keys and values of all layers.

    Args:
        batch, length, embed_dim: B, T and C. In each layer, keys and values are
            (B, T, C) each, all heads together.
        num_layers: the number of layers.
        itemsize: bytes per number.
    Returns:
        An int.
    """
    raise NotImplementedError


def embedding_cost(
    vocab: int, dim: int, tokens: int, itemsize: int = 4
) -> dict[str, int]:
    """Compare an embedding with what it is equal to: a product of one-hot rows (tokens,
    V) and the table (V, C).

    Args:
        vocab, dim: V and C.
        tokens: the number of ids.
        itemsize: bytes per number.
    Returns:
        Four ints: "table_bytes"; "lookup_bytes", of the result; "one_hot_bytes", of the
        one-hot rows; "one_hot_multiply_adds", of the product. (A lookup has none.)
    """
    raise NotImplementedError


def generation_scaling(new_tokens: Sequence[int]) -> dict[str, Any]:
    """Show how the tokens that the model reads grow with the tokens that it writes,
    with and without a cache.

    Args:
        new_tokens: numbers of tokens to generate from a prompt of one token. The block
            is long enough for each.
    Returns:
        "full" (without a cache) and "cached", each a dict: "sizes", the list of
        new_tokens; "values", the list of token_positions; "exponent", by
        `scaling_exponent`. It nears 2 without a cache, and is 1 with it.
    """
    raise NotImplementedError
