"""GPT-2 from its parts: embeddings, pre-norm blocks, a last layer norm, and the token embedding again as output layer.

Sizes: B rows of T tokens, C = n_embd features, V = vocab_size, L = n_layer blocks. Token ids are torch.long.
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
    """Bend every value with GPT-2's form of GELU: 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))).

    Args:
        x: floats of any shape, contiguous or not.
    Returns:
        The same shape, dtype and device. Large positive values stay themselves, large negative ones become 0;
        gelu_tanh(1) is 0.841192, where the exact form x·Φ(x) gives 0.841345.

    Gradients flow back to x, and x is not written to. Write the formula yourself: F.gelu and nn.GELU may not be called
    here (in `MLP` they may).
    """
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


class MLP(nn.Module):
    """The part of a block that works on each position alone: widen four times, bend, narrow, drop.

    Args:
        config: uses n_embd (C), dropout and bias.
    Shapes:
        x (..., C) → (..., C), any leading dims: dropout(c_proj(gelu(c_fc(x)))), with GELU in the tanh form.
    Attributes:
        c_fc: nn.Linear(C, 4C).
        c_proj: nn.Linear(4C, C).
        dropout: nn.Dropout(config.dropout), the only dropout here.

    With config.bias = False neither linear layer has a bias. c_fc and c_proj hold all the parameters there are, and
    there are no buffers. In eval mode nothing is dropped. x is not written to.
    """

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd, bias=config.bias)
        self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd, bias=config.bias)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.c_proj(F.gelu(self.c_fc(x), approximate="tanh")))


class Block(nn.Module):
    """One layer of GPT-2: attention and MLP, each behind a layer norm, each added to what came in.

    Args:
        config: for all four parts.
        flash: handed to the attention.
    Shapes:
        x (B, T, C) → (B, T, C): x = x + attn(ln_1(x)), then x = x + mlp(ln_2(x)). The norms stay off the residual path.
    Attributes:
        ln_1, ln_2: nn.LayerNorm(C, bias=config.bias), with the default eps.
        attn: CausalSelfAttention.
        mlp: MLP.

    These four hold all the parameters there are. `cache` is for the attention: with one, x holds the positions that
    follow the cached ones; without, the call knows nothing of earlier calls. x is not written to.
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
    """GPT-2: token ids in, a score for every possible next token out, at every position.

    Args:
        config: the sizes.
        flash: handed to every block.
    Attributes:
        config: the config that was given.
        transformer: nn.ModuleDict with
            wte: nn.Embedding(V, C), the token embedding,
            wpe: nn.Embedding(block_size, C), the position embedding,
            drop: nn.Dropout(config.dropout), on the sum of the two,
            h: nn.ModuleList of L Blocks,
            ln_f: nn.LayerNorm(C, bias=config.bias), after the last block.
        lm_head: nn.Linear(C, V, bias=False). `lm_head.weight is transformer.wte.weight`: one Parameter under two names,
            both in the state dict, once in parameters(). It stays one when a state dict is loaded, and it learns
            through both uses.

    There are no buffers. Building under `with torch.device("meta")` works, and so does running such a model: what
    forward makes for itself, positions for instance, goes to the device of idx.

    The start values are GPT-2's, drawn with torch's global generator: weights of Linear and Embedding from a normal
    distribution with mean 0 and standard deviation 0.02, but those named `c_proj`, the two of each block that write to
    the residual path, with 0.02 / √(2L); biases 0; layer norms multiply by 1.

    forward(idx, targets, cache):
        idx: (B, T) token ids.
        targets: (B, T) the token that should follow each position. They come shifted already: position t of idx is
            judged by position t of targets. −100 = this position does not count.
        cache: one LayerCache a block, or None. With one, idx holds the tokens that follow the cached ones, and their
            positions go on where those end. Chunks of any length come out as in a single full pass.
    Returns:
        (logits, loss): logits (B, T, V), for every position, with or without targets, in the dtype of the weights;
        loss the cross entropy, a scalar, the mean over all positions that count, or None without targets.

    idx and targets may be non-contiguous and are not written to. In eval mode nothing is random.

    Raises:
        ValueError: the cached positions and T are more than block_size together (the message has the word
            "block_size" in it). Exactly block_size are allowed. The cache is as before after the error.
    """

    def __init__(self, config: GPTConfig, flash: bool = True):
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
        self, idx: Tensor, targets: Tensor | None = None, cache: list[LayerCache] | None = None
    ) -> tuple[Tensor, Tensor | None]:
        start = 0 if cache is None else len(cache[0])
        end = start + idx.size(1)
        if end > self.config.block_size:
            raise ValueError(f"{start} cached and {idx.size(1)} new tokens exceed block_size {self.config.block_size}")
        positions = torch.arange(start, end, device=idx.device)
        x = self.transformer.drop(self.transformer.wte(idx) + self.transformer.wpe(positions))  # (B, T, C)
        for i, block in enumerate(self.transformer.h):
            x = block(x, None if cache is None else cache[i])
        logits = self.lm_head(self.transformer.ln_f(x))  # (B, T, V)
        if targets is None:
            return logits, None
        return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())  # skips -100

    def num_params(self, non_embedding: bool = False) -> int:
        """Count the parameters; the weight that wte and lm_head share counts once.

        Args:
            non_embedding: leave out wpe. (wte stays: it is the output layer too.)
        """
        count = sum(parameter.numel() for parameter in self.parameters())
        return count - self.transformer.wpe.weight.numel() if non_embedding else count

    def _init_weights(self) -> None:
        for name, parameter in self.named_parameters():
            if name.endswith("c_proj.weight"):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * self.config.n_layer))
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.ndim == 2:  # linear and embedding weights; those of layer norms are 1 already
                nn.init.normal_(parameter, std=0.02)


def new_cache(model: GPT) -> list[LayerCache]:
    """Give every block of a model an empty cache of its own.

    Args:
        model: a GPT of any depth.
    Returns:
        A new list of L empty LayerCaches, in the order of the blocks, as GPT.forward takes it.
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
        A new GPTConfig with these, vocab_size 50257, block_size 1024, dropout 0.0 and bias True.
    Raises:
        ValueError: another name; the message names it.
    """
    sizes = {
        "gpt2": (12, 12, 768),
        "gpt2-medium": (24, 16, 1024),
        "gpt2-large": (36, 20, 1280),
        "gpt2-xl": (48, 25, 1600),
    }
    if name not in sizes:
        raise ValueError(f"there is no GPT-2 called {name!r}; known are {', '.join(sizes)}")
    n_layer, n_head, n_embd = sizes[name]
    return GPTConfig(n_layer=n_layer, n_head=n_head, n_embd=n_embd)  # the other defaults are GPT-2's


def parameter_count(config: GPTConfig) -> int:
    """Count the parameters of a GPT without the memory for them.

    Args:
        config: any sizes, with or without bias; GPT-3's, for instance, which would need 650 GiB.
    Returns:
        What `GPT(config).num_params()` would be, as an int.

    No weight may be allocated on the way. A formula does it; so does a model on the "meta" device, whose tensors have
    shapes and no data.
    """
    c, bias = config.n_embd, config.bias  # True counts as 1
    attention = c * 3 * c + c * c + bias * (3 * c + c)
    mlp = c * 4 * c + 4 * c * c + bias * (4 * c + c)
    norm = c + bias * c
    embeddings = (config.vocab_size + config.block_size) * c
    return embeddings + config.n_layer * (attention + mlp + 2 * norm) + norm
