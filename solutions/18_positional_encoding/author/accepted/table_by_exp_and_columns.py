"""Frequencies through exp and log, columns filled one slice after the other, the table
as a buffer that is not saved.
"""

import math


def sinusoidal_encoding(max_len, d_model, base=10000.0, dtype=torch.float32):
    if max_len < 1:
        raise ValueError(f"max_len is {max_len}")
    if d_model < 1:
        raise ValueError(f"d_model is {d_model}")
    pe = torch.zeros(max_len, d_model)
    position = torch.arange(0, max_len, dtype=torch.float).unsqueeze(1)
    div_term = torch.exp(
        torch.arange(0, d_model, 2).float() * (-math.log(base) / d_model)
    )
    pe[:, 0::2] = torch.sin(position * div_term)
    pe[:, 1::2] = torch.cos(position * div_term[: d_model // 2])
    return pe.to(dtype)


class SinusoidalPositionalEncoding(nn.Module):
    def __init__(self, d_model, max_len=5000, dropout=0.0, mode="add"):
        super().__init__()
        if mode not in {"add", "concat"}:
            raise ValueError("unknown mode")
        self.d_model, self.max_len, self.p, self.concat = (
            d_model,
            max_len,
            dropout,
            mode == "concat",
        )
        self.register_buffer(
            "pe", sinusoidal_encoding(max_len, d_model)[None], persistent=False
        )

    def forward(self, x, offset=0):
        B, T, width = x.shape
        if not 0 <= offset <= self.max_len - T:
            raise ValueError("out of the table")
        if not self.concat and width != self.d_model:
            raise ValueError("wrong width")
        table = self.pe.narrow(1, offset, T).type_as(x)
        y = torch.cat((x, table.repeat(B, 1, 1)), dim=2) if self.concat else table + x
        return F.dropout(y, self.p, self.training)
