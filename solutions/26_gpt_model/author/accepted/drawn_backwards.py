# Start values scaled from one standard normal draw each, the last parameter first;
# loops over the names of the parts.


class GPT(nn.Module):
    def __init__(self, config, flash=True):
        super().__init__()
        self.config = config
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        parts = nn.ModuleDict()
        parts["wte"] = nn.Embedding(
            config.vocab_size, config.n_embd, _weight=self.lm_head.weight
        )
        parts["wpe"] = nn.Embedding(config.block_size, config.n_embd)
        parts["drop"] = nn.Dropout(config.dropout)
        parts["h"] = nn.ModuleList(
            [Block(config, flash) for _ in range(config.n_layer)]
        )
        parts["ln_f"] = nn.LayerNorm(config.n_embd, bias=config.bias)
        parts["wte"].weight = self.lm_head.weight
        self.transformer = parts
        norms = {
            id(p)
            for module in self.modules()
            if isinstance(module, nn.LayerNorm)
            for p in module.parameters()
        }
        with torch.no_grad():
            for name, p in reversed(list(self.named_parameters())):
                if name.rsplit(".", 1)[-1] == "bias":
                    p.zero_()
                elif id(p) not in norms:
                    p.copy_(torch.randn_like(p) * 0.02)
                    if "c_proj" in name:
                        p.div_((2 * config.n_layer) ** 0.5)

    def forward(self, idx, targets=None, cache=None):
        known = len(cache[0]) if cache else 0
        if known + idx.shape[1] > self.config.block_size:
            raise ValueError(f"more than {self.config.block_size} positions")
        positions = known + torch.arange(idx.shape[1], device=idx.device)
        x = self.transformer["drop"](
            self.transformer["wte"](idx) + self.transformer["wpe"](positions)
        )
        for block, memory in zip(
            self.transformer["h"], cache or [None] * self.config.n_layer
        ):
            x = block(x, memory)
        logits = self.lm_head(self.transformer["ln_f"](x))
        if targets is None:
            return logits, None
        return logits, F.cross_entropy(logits.transpose(1, 2), targets)

    def num_params(self, non_embedding=False):
        counts = {name: p.numel() for name, p in self.named_parameters()}
        return sum(counts.values()) - non_embedding * counts["transformer.wpe.weight"]


def gpt2_config(name="gpt2"):
    names = ["gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"]
    if name not in names:
        raise KeyError(name)
    place = names.index(name)
    return GPTConfig(
        block_size=1024,
        vocab_size=50257,
        n_layer=12 * (place + 1),
        n_head=(12, 16, 20, 25)[place],
        n_embd=64 * (12, 16, 20, 25)[place],
        dropout=0.0,
        bias=True,
    )
