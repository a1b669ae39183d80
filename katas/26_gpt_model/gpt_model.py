"""GPT-2 from its parts: embeddings, pre-norm blocks, a final layer norm, and the token
embedding as output layer.

Sizes: B rows of T tokens, C = n_embd features, V = vocab_size, L = n_layer blocks.
Token ids are torch.long.
Names are GPT-2's own, so that its weights load.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from grader.loading import prerequisite

GPTConfig = prerequisite("25_causal_self_attention").GPTConfig
CausalSelfAttention = prerequisite("25_causal_self_attention").CausalSelfAttention
LayerCache = prerequisite("25_causal_self_attention").LayerCache


def gelu_tanh(x: Tensor) -> Tensor:
    """Apply GPT-2's GELU to every value: 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))).

    Args:
        x: floats of any shape.
    Returns:
        The same shape. gelu_tanh(1) is 0.841192; the exact form x·Φ(x) gives 0.841345.

    Write the formula yourself, without F.gelu and nn.GELU. (In `MLP` they are allowed.)

    Edge cases ★
        Values of ±1000 give 1000 and 0. The dtype of `x` is kept, bfloat16 included.
        `x` may be non-contiguous and is not changed.
    """
    raise NotImplementedError


class MLP(nn.Module):
    """Process each position on its own: four times as many features, GELU, back to C
    features, dropout.

    forward(x): (B, T, C) → (B, T, C), dropout(c_proj(gelu(c_fc(x)))), with GELU in the
    tanh form.

    Args:
        config: uses n_embd (C), dropout and bias.
    Attributes:
        c_fc: nn.Linear(C, 4C), with a bias if config.bias.
        c_proj: nn.Linear(4C, C), likewise.
        dropout: nn.Dropout(config.dropout), the only dropout.

    The state dict holds c_fc and c_proj, nothing else.
    """

    def __init__(self, config: GPTConfig):
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class Block(nn.Module):
    """One layer of GPT-2: attention, then MLP, each reading normalised input and added
    to the residual path.

    forward(x, cache=None): (B, T, C) → (B, T, C), x = x + attn(ln_1(x)), then
    x = x + mlp(ln_2(x)).
    The cache goes to the attention. With a cache, x holds the positions that follow the
    cached ones.

    Args:
        config: passed on to all four parts.
        flash: passed on to the attention.
    Attributes:
        ln_1, ln_2: nn.LayerNorm(C, bias=config.bias).
        attn: CausalSelfAttention.
        mlp: MLP.

    The state dict holds these four, nothing else.

    Edge cases ★
        `x` may be non-contiguous and is not changed.
    """

    def __init__(self, config: GPTConfig, flash: bool = True):
        raise NotImplementedError

    def forward(self, x: Tensor, cache: LayerCache | None = None) -> Tensor:
        raise NotImplementedError


class GPT(nn.Module):
    """GPT-2: token ids in, a score for every possible next token out, at
    every position.
    """

    def __init__(self, config: GPTConfig, flash: bool = True):
        """Build the parts under GPT-2's names, share one weight, and draw the
        start values.

        Args:
            config: the sizes; kept as `self.config`.
            flash: passed on to every block.

        `self.transformer` is an nn.ModuleDict with
            wte: nn.Embedding(V, C), the token embedding,
            wpe: nn.Embedding(block_size, C), the position embedding,
            drop: nn.Dropout(config.dropout),
            h: nn.ModuleList of L Blocks,
            ln_f: nn.LayerNorm(C, bias=config.bias).
        `self.lm_head` is nn.Linear(C, V, bias=False), and
        `lm_head.weight is transformer.wte.weight`: one Parameter under two names, also
        after load_state_dict. There are no buffers.

        Start values: weights of Linear and Embedding from a normal distribution with
        mean 0 and std 0.02. The weights named `c_proj`, which write to the residual
        path, have std 0.02 / √(2L). Biases 0, layer norm weights 1.

        Edge cases ★
            Construction under `with torch.device("meta")` works.
        """
        raise NotImplementedError

    def forward(
        self,
        idx: Tensor,
        targets: Tensor | None = None,
        cache: list[LayerCache] | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Score every token of the vocabulary at every position, and compute the loss
        if targets are given.

        The path: dropout of token plus position embedding, the blocks, ln_f, lm_head.

        Args:
            idx: (B, T) token ids.
            targets: (B, T), the token that should follow each position. They are
                shifted already: targets[:, t] belongs to the logits at t. −100 marks a
                position to ignore.
            cache: one LayerCache per block. idx then holds the tokens after the cached
                ones, and their positions start at the cached length. Chunks give the
                logits of one full pass.
        Returns:
            (logits, loss): logits (B, T, V); loss the mean cross-entropy over all
            positions not ignored, None without targets.

        Edge cases ★
            More than block_size positions, cached ones included, are an error that
            names the limit and leaves the cache unchanged. Positions are created on the
            device of `idx`. `idx` and `targets` may be non-contiguous and are
            not changed.
        """
        raise NotImplementedError

    def num_params(self, non_embedding: bool = False) -> int:
        """Count the parameters; the weight that wte and lm_head share counts once.

        Args:
            non_embedding: leave out wpe. (wte stays: it is the output layer too.)
        Returns:
            An int: 124,439,808 for the smallest GPT-2, GPT(GPTConfig()).

        Edge cases ★
            Frozen parameters count too.
        """
        raise NotImplementedError


def new_cache(model: GPT) -> list[LayerCache]:
    """Make one empty cache for every block of a model.

    Args:
        model: a GPT.
    Returns:
        A new list of L empty LayerCaches, as GPT.forward takes it.
    """
    raise NotImplementedError


def gpt2_config(name: str = "gpt2") -> GPTConfig:
    """Look up the sizes of one of the four published GPT-2 models.

    Args:
        name: one of

            ===========  =======  ======  ======
            name         n_layer  n_head  n_embd
            ===========  =======  ======  ======
            gpt2              12      12     768
            gpt2-medium       24      16    1024
            gpt2-large        36      20    1280
            gpt2-xl           48      25    1600
            ===========  =======  ======  ======
    Returns:
        A GPTConfig with these sizes, vocab_size 50257, block_size 1024, dropout 0.0 and
        bias True.

    Edge cases ★
        Every call returns a new config. Any other name is an error that mentions it.
    """
    raise NotImplementedError


def parameter_count(config: GPTConfig) -> int:
    """Count the parameters of a GPT without allocating them.

    Args:
        config: any sizes, with or without bias; GPT-3's would need 650 GiB.
    Returns:
        An int, equal to `GPT(config).num_params()`.

    Use a formula, or a model on the "meta" device, where tensors have shapes and no
    data. No weight may be allocated.
    """
    raise NotImplementedError
