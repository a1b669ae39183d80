"""GPT-2 from its parts: embeddings, pre-norm blocks, a final layer norm, and the token
embedding as output layer.

Sizes: B rows of T tokens, C = n_embd features, V = vocab_size, L = n_layer blocks.
Token ids are torch.long.
Names are GPT-2's own, so that its weights load.
"""

import math  # stub: keep

import torch  # stub: keep
import torch.nn.functional as F  # stub: keep
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
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


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
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd, bias=config.bias)
        self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd, bias=config.bias)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.c_proj(F.gelu(self.c_fc(x), approximate="tanh")))


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
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, bias=config.bias)
        self.attn = CausalSelfAttention(config, flash)
        self.ln_2 = nn.LayerNorm(config.n_embd, bias=config.bias)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, cache: LayerCache | None = None) -> Tensor:
        x = x + self.attn(self.ln_1(x), cache)
        return x + self.mlp(self.ln_2(x))


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
        super().__init__()
        self.config = config
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(config.vocab_size, config.n_embd),
                "wpe": nn.Embedding(config.block_size, config.n_embd),
                "drop": nn.Dropout(config.dropout),
                "h": nn.ModuleList(Block(config, flash) for _ in range(config.n_layer)),
                "ln_f": nn.LayerNorm(config.n_embd, bias=config.bias),
            }
        )
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.lm_head.weight = self.transformer.wte.weight
        self._init_weights()

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
        start = 0 if cache is None else len(cache[0])
        end = start + idx.size(1)
        if end > self.config.block_size:
            raise ValueError(
                f"{start} cached and {idx.size(1)} new tokens exceed block_size "
                f"{self.config.block_size}"
            )
        positions = torch.arange(start, end, device=idx.device)
        # (B, T, C)
        x = self.transformer.drop(
            self.transformer.wte(idx) + self.transformer.wpe(positions)
        )
        for i, block in enumerate(self.transformer.h):
            x = block(x, None if cache is None else cache[i])
        logits = self.lm_head(self.transformer.ln_f(x))  # (B, T, V)
        if targets is None:
            return logits, None
        # skips -100
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    def num_params(self, non_embedding: bool = False) -> int:
        """Count the parameters; the weight that wte and lm_head share counts once.

        Args:
            non_embedding: leave out wpe. (wte stays: it is the output layer too.)
        Returns:
            An int: 124,439,808 for the smallest GPT-2, GPT(GPTConfig()).

        Edge cases ★
            Frozen parameters count too.
        """
        count = sum(parameter.numel() for parameter in self.parameters())
        return count - self.transformer.wpe.weight.numel() if non_embedding else count

    def _init_weights(self) -> None:
        for name, parameter in self.named_parameters():
            if name.endswith("c_proj.weight"):
                nn.init.normal_(
                    parameter, std=0.02 / math.sqrt(2 * self.config.n_layer)
                )
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.ndim == 2:
                # linear and embedding weights; those of layer norms are 1 already
                nn.init.normal_(parameter, std=0.02)


def new_cache(model: GPT) -> list[LayerCache]:
    """Make one empty cache for every block of a model.

    Args:
        model: a GPT.
    Returns:
        A new list of L empty LayerCaches, as GPT.forward takes it.
    """
    return [LayerCache() for _ in model.transformer.h]


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
    sizes = {
        "gpt2": (12, 12, 768),
        "gpt2-medium": (24, 16, 1024),
        "gpt2-large": (36, 20, 1280),
        "gpt2-xl": (48, 25, 1600),
    }
    if name not in sizes:
        raise ValueError(
            f"there is no GPT-2 called {name!r}; known are {', '.join(sizes)}"
        )
    n_layer, n_head, n_embd = sizes[name]
    # the other defaults are GPT-2's
    return GPTConfig(n_layer=n_layer, n_head=n_head, n_embd=n_embd)


def parameter_count(config: GPTConfig) -> int:
    """Count the parameters of a GPT without allocating them.

    Args:
        config: any sizes, with or without bias; GPT-3's would need 650 GiB.
    Returns:
        An int, equal to `GPT(config).num_params()`.

    Use a formula, or a model on the "meta" device, where tensors have shapes and no
    data. No weight may be allocated.
    """
    c, bias = config.n_embd, config.bias  # True counts as 1
    attention = c * 3 * c + c * c + bias * (3 * c + c)
    mlp = c * 4 * c + 4 * c * c + bias * (4 * c + c)
    norm = c + bias * c
    embeddings = (config.vocab_size + config.block_size) * c
    return embeddings + config.n_layer * (attention + mlp + 2 * norm) + norm
