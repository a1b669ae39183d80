# A layer norm of its own with an optional bias, initialised module by module; the block
# keeps what it adds in names.


class LayerNorm(nn.Module):
    def __init__(self, width, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None

    def forward(self, x):
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, 1e-5)


class MLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd, bias=config.bias)
        self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd, bias=config.bias)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x):
        return self.dropout(self.c_proj(gelu_tanh(self.c_fc(x))))


class Block(nn.Module):
    def __init__(self, config, flash=True):
        super().__init__()
        self.ln_1 = LayerNorm(config.n_embd, config.bias)
        self.attn = CausalSelfAttention(config, flash=flash)
        self.ln_2 = LayerNorm(config.n_embd, config.bias)
        self.mlp = MLP(config)

    def forward(self, x, cache=None):
        talked = x + self.attn(self.ln_1(x), cache=cache)
        thought = self.mlp(self.ln_2(talked))
        return talked + thought


class GPT(nn.Module):
    def __init__(self, config, flash=True):
        super().__init__()
        self.config = config
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.transformer = nn.ModuleDict()
        self.transformer["wte"] = nn.Embedding(config.vocab_size, config.n_embd)
        self.transformer["wpe"] = nn.Embedding(config.block_size, config.n_embd)
        self.transformer["drop"] = nn.Dropout(config.dropout)
        self.transformer["h"] = nn.ModuleList(
            [Block(config, flash) for _ in range(config.n_layer)]
        )
        self.transformer["ln_f"] = LayerNorm(config.n_embd, config.bias)
        self.lm_head.weight = self.transformer["wte"].weight
        with torch.no_grad():
            for table in (self.transformer["wte"], self.transformer["wpe"]):
                table.weight.copy_(torch.randn_like(table.weight) * 0.02)
            for block in self.transformer["h"]:
                inner, outer = (
                    (block.attn.c_attn, block.mlp.c_fc),
                    (block.attn.c_proj, block.mlp.c_proj),
                )
                for layers, std in (
                    (inner, 0.02),
                    (outer, 0.02 / (2 * config.n_layer) ** 0.5),
                ):
                    for layer in layers:
                        layer.weight.normal_(0.0, std)
                        if config.bias:
                            layer.bias.fill_(0.0)

    def forward(self, idx, targets=None, cache=None):
        caches = [None] * self.config.n_layer if cache is None else cache
        start = 0 if cache is None else max(len(one) for one in cache)
        if start + idx.shape[1] > self.config.block_size:
            raise ValueError(
                f"more than block_size = {self.config.block_size} positions"
            )
        where = torch.arange(idx.shape[1]).to(idx.device) + start
        x = self.transformer["drop"](
            self.transformer["wpe"](where)[None] + self.transformer["wte"](idx)
        )
        for block, one in zip(self.transformer["h"], caches, strict=True):
            x = block(x, one)
        logits = self.lm_head(self.transformer["ln_f"](x))
        loss = None
        if targets is not None:
            loss = F.cross_entropy(
                logits.view(-1, logits.size(-1)), targets.reshape(-1)
            )
        return logits, loss

    def num_params(self, non_embedding=False):
        kept = {id(p): p.numel() for p in self.state_dict(keep_vars=True).values()}
        return sum(kept.values()) - (
            self.transformer["wpe"].weight.numel() if non_embedding else 0
        )
