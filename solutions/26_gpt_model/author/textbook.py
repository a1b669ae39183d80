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
    """Apply GPT-2's GELU to every value: 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))."""
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


class MLP(nn.Module):
    """Process each position on its own: four times as many features, GELU, back to C
    features, dropout.
    """

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd, bias=config.bias)
        self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd, bias=config.bias)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(self.c_proj(gelu_tanh(self.c_fc(x))))


class Block(nn.Module):
    """One layer of GPT-2: attention, then MLP, each reading normalised input and added
    to the residual path.
    """

    def __init__(self, config: GPTConfig, flash: bool = True):
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, bias=config.bias)
        self.attn = CausalSelfAttention(config, flash)
        self.ln_2 = nn.LayerNorm(config.n_embd, bias=config.bias)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, cache: LayerCache | None = None) -> Tensor:
        x = x + self.attn(self.ln_1(x), cache)
        x = x + self.mlp(self.ln_2(x))
        return x


class GPT(nn.Module):
    """GPT-2: token ids in, a score for every possible next token out, at
    every position.
    """

    def __init__(self, config: GPTConfig, flash: bool = True):
        super().__init__()
        self.config = config
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(config.vocab_size, config.n_embd),
                "wpe": nn.Embedding(config.block_size, config.n_embd),
                "drop": nn.Dropout(config.dropout),
                "h": nn.ModuleList(
                    [Block(config, flash) for _ in range(config.n_layer)]
                ),
                "ln_f": nn.LayerNorm(config.n_embd, bias=config.bias),
            }
        )
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.lm_head.weight = self.transformer.wte.weight

        self.apply(self._init_weights)
        for name, parameter in self.named_parameters():
            if name.endswith("c_proj.weight"):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * config.n_layer))

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def forward(
        self,
        idx: Tensor,
        targets: Tensor | None = None,
        cache: list[LayerCache] | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        start = len(cache[0]) if cache is not None else 0
        positions = torch.arange(start, start + idx.shape[1], device=idx.device)
        x = self.transformer.drop(
            self.transformer.wte(idx) + self.transformer.wpe(positions)
        )
        for i, block in enumerate(self.transformer.h):
            x = block(x, cache[i] if cache is not None else None)
        logits = self.lm_head(self.transformer.ln_f(x))
        loss = None
        if targets is not None:
            loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        return logits, loss

    def num_params(self, non_embedding: bool = False) -> int:
        """Count the parameters; the weight that wte and lm_head share counts once."""
        n = sum(parameter.numel() for parameter in self.parameters())
        if non_embedding:
            n -= self.transformer.wpe.weight.numel()
        return n


def new_cache(model: GPT) -> list[LayerCache]:
    """Make one empty cache for every block of a model."""
    return [LayerCache() for _ in model.transformer.h]


def gpt2_config(name: str = "gpt2") -> GPTConfig:
    """Look up the sizes of one of the four published GPT-2 models."""
    n_layer, n_head, n_embd = {
        "gpt2": (12, 12, 768),
        "gpt2-medium": (24, 16, 1024),
        "gpt2-large": (36, 20, 1280),
        "gpt2-xl": (48, 25, 1600),
    }[name]
    return GPTConfig(n_layer=n_layer, n_head=n_head, n_embd=n_embd)


def parameter_count(config: GPTConfig) -> int:
    """Count the parameters of a GPT without allocating them."""
    with torch.device("meta"):
        return GPT(config).num_params()
