"""The loss of a GPT's last layer, with its gradients computed in the forward pass,
chunk by chunk.
"""

import torch
from torch import Tensor


class LossWithGradients(torch.autograd.Function):
    """The mean cross entropy of rows @ weight.T, with the logits of `chunk` rows at
    a time.

    Each chunk's logits are written once by the product. What is compiled around it
    turns them into their gradient, from which both products of the backward pass follow
    at once. Backward itself only multiplies by a factor.

    rows: (N, C), weight: (V, C), of one dtype; targets: (N,), −100 where nothing is to
    be predicted. Only the first vocab_size columns are tokens. The loss is float32; the
    weight's gradient is summed up in float32.
    """

    @staticmethod
    def forward(
        ctx, rows: Tensor, weight: Tensor, targets: Tensor, vocab_size: int, chunk: int
    ) -> Tensor:
        counted = targets != -100
        share = 1.0 / counted.sum().clamp(min=1)
        columns = torch.arange(weight.size(0), device=rows.device)
        total = torch.zeros((), device=rows.device)
        d_weight = torch.zeros_like(weight, dtype=torch.float32)
        d_rows = []
        for part, y, counts in zip(
            rows.split(chunk), targets.split(chunk), counted.split(chunk)
        ):
            logits = (
                (part @ weight.T).float().masked_fill(columns >= vocab_size, -torch.inf)
            )
            log_z = logits.logsumexp(-1)
            picked = logits.gather(-1, y.clamp(min=0)[:, None])[:, 0]
            total = total + ((log_z - picked) * counts).sum()
            is_target = columns == y[:, None]
            d_logits = (
                ((logits - log_z[:, None]).exp() - is_target.float())
                * (counts * share)[:, None]
            ).to(rows.dtype)
            d_rows.append(d_logits @ weight)
            d_weight = d_weight + d_logits.T @ part
        ctx.save_for_backward(torch.cat(d_rows), d_weight.to(weight.dtype))
        return total * share

    @staticmethod
    def backward(ctx, factor: Tensor):
        d_rows, d_weight = ctx.saved_tensors
        return (
            (factor * d_rows).to(d_rows.dtype),
            (factor * d_weight).to(d_weight.dtype),
            None,
            None,
            None,
        )
