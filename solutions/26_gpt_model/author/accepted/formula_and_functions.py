# Layers as functional calls, activations as submodules, positions by slicing the table,
# loss by log_softmax and gather.


def gelu_tanh(x):
    cubic = torch.pow(x, 3)
    return (
        x * 0.5 * (torch.tanh((2.0 / torch.pi) ** 0.5 * (x + 0.044715 * cubic)) + 1.0)
    )


class MLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        width = config.n_embd
        self.c_fc = nn.Linear(width, width * 4, bias=config.bias)
        self.gelu = nn.GELU(approximate="tanh")
        self.c_proj = nn.Linear(width * 4, width, bias=config.bias)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x):
        x = self.c_fc(x)
        x = self.gelu(x)
        x = self.c_proj(x)
        return self.dropout(x)


class GPT(nn.Module):
    def __init__(self, config, flash=True):
        super().__init__()
        self.config = config
        self.transformer = nn.ModuleDict(
            dict(
                wte=nn.Embedding(config.vocab_size, config.n_embd),
                wpe=nn.Embedding(config.block_size, config.n_embd),
                drop=nn.Dropout(config.dropout),
                h=nn.ModuleList(
                    [Block(config, flash=flash) for _ in range(config.n_layer)]
                ),
                ln_f=nn.LayerNorm(config.n_embd, bias=config.bias),
            )
        )
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.transformer.wte.weight = self.lm_head.weight
        self.apply(self._start)
        for name, parameter in self.named_parameters():
            if name.endswith("c_proj.weight"):
                torch.nn.init.normal_(
                    parameter, mean=0.0, std=0.02 * (2 * config.n_layer) ** -0.5
                )

    def _start(self, module):
        if isinstance(module, nn.Linear):
            torch.nn.init.normal_(module.weight, mean=0.0, std=0.02)
            if module.bias is not None:
                torch.nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            torch.nn.init.normal_(module.weight, mean=0.0, std=0.02)

    def forward(self, idx, targets=None, cache=None):
        B, T = idx.shape
        past = len(cache[0]) if cache else 0
        if past + T > self.config.block_size:
            raise ValueError(
                f"sequence of {past + T} does not fit into {self.config.block_size}"
            )
        x = (
            F.embedding(idx, self.transformer.wte.weight)
            + self.transformer.wpe.weight[past : past + T]
        )
        x = self.transformer.drop(x)
        for block, own in zip(
            self.transformer.h, cache or [None] * len(self.transformer.h), strict=True
        ):
            x = block(x, cache=own)
        logits = F.linear(self.transformer.ln_f(x), self.transformer.wte.weight)
        if targets is None:
            return logits, None
        counts = targets != -100
        picked = (
            logits.log_softmax(-1)
            .gather(-1, targets.masked_fill(~counts, 0).unsqueeze(-1))
            .squeeze(-1)
        )
        return logits, -(picked * counts).sum() / counts.sum()

    def num_params(self, non_embedding=False):
        n = sum(p.numel() for p in self.parameters())
        if non_embedding:
            n -= self.config.block_size * self.config.n_embd
        return n
