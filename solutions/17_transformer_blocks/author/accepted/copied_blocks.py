# The stack deep-copies its first block, as PyTorch's own does, and keeps the states
# only when asked.
import copy


class TransformerEncoder(nn.Module):
    def __init__(
        self,
        num_layers,
        d_model,
        num_heads,
        d_ff=None,
        dropout=0.1,
        norm_first=False,
        activation="relu",
    ):
        super().__init__()
        if not num_layers >= 1:
            raise ValueError(f"a stack of {num_layers} blocks")
        block = TransformerEncoderBlock(
            d_model, num_heads, d_ff, dropout, norm_first, activation
        )
        self.blocks = nn.ModuleList([copy.deepcopy(block) for _ in range(num_layers)])
        self.norm = nn.LayerNorm(d_model) if norm_first else nn.Identity()

    def forward(self, x, mask=None, key_padding_mask=None, return_all=False):
        if return_all:
            states = [x]
            for block in self.blocks:
                x = block(x, mask=mask, key_padding_mask=key_padding_mask)
                states += [x]
            return self.norm(x), states
        for block in self.blocks:
            x = block(x, mask=mask, key_padding_mask=key_padding_mask)
        return self.norm(x)
