# (B, T, 3, H, D) in one reshape, which is the same order of rows; the dropout
# probability read from resid_dropout.


class CausalSelfAttention(nn.Module):
    def __init__(self, config, flash=True):
        super().__init__()
        if config.n_embd % config.n_head:
            raise ValueError(
                f"n_embd={config.n_embd} is not divisible by n_head={config.n_head}"
            )
        self.n_head, self.block_size, self.flash = (
            config.n_head,
            config.block_size,
            flash,
        )
        self.c_attn = nn.Linear(config.n_embd, config.n_embd * 3, config.bias)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd, config.bias)
        self.resid_dropout = nn.Dropout(config.dropout)

    def forward(self, x, cache=None):
        B, T, C = x.shape
        past = len(cache) if cache is not None else 0
        if past + T > self.block_size:
            raise ValueError(
                f"block_size is {self.block_size}, there are {past + T} positions"
            )
        q, k, v = (
            self.c_attn(x)
            .reshape(B, T, 3, self.n_head, C // self.n_head)
            .permute(2, 0, 3, 1, 4)
        )
        if cache is not None:
            k, v = cache.append(k, v)
        p = self.resid_dropout.p if self.training else 0.0
        path = flash_attention if self.flash else manual_attention
        y = path(q, k, v, p)
        return self.resid_dropout(self.c_proj(y.permute(0, 2, 1, 3).reshape(B, T, C)))
