# split, view and permute; nn.Dropout for the weights with an own fused call; the limit
# checked in a method of its own.


class CausalSelfAttention(nn.Module):
    def __init__(self, config, flash=True):
        super().__init__()
        if config.n_embd % config.n_head != 0:
            raise ValueError(f"{config.n_head} heads for {config.n_embd} features")
        self.config = config
        self.n_embd = config.n_embd
        self.n_head = config.n_head
        self.c_attn = nn.Linear(self.n_embd, 3 * self.n_embd, bias=config.bias)
        self.c_proj = nn.Linear(self.n_embd, self.n_embd, bias=config.bias)
        self.attn_dropout = nn.Dropout(config.dropout)
        self.resid_dropout = nn.Dropout(config.dropout)
        self.flash = flash

    def check_length(self, x, cache):
        total = x.shape[1] + (len(cache) if cache is not None else 0)
        if total > self.config.block_size:
            raise ValueError(
                f"{total} positions are more than the {self.config.block_size} of the "
                "block"
            )

    def forward(self, x, cache=None):
        self.check_length(x, cache)
        B, T, C = x.size()
        q, k, v = self.c_attn(x).split(self.n_embd, dim=2)
        q = q.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        k = k.view(B, T, self.n_head, C // self.n_head).permute(0, 2, 1, 3)
        v = v.reshape(B, T, self.n_head, -1).swapaxes(1, 2)
        if cache is not None:
            k, v = cache.append(k, v)
        if self.flash:
            y = flash_attention(
                q, k, v, dropout_p=self.attn_dropout.p if self.training else 0.0
            )
        else:
            _, weights = manual_attention(q, k, v, return_weights=True)
            y = self.attn_dropout(weights) @ v
        y = y.transpose(1, 2).contiguous().view(B, T, C)
        return self.resid_dropout(self.c_proj(y))
