"""The run with LambdaLR, hand-made clipping, windows by indexing; the loss of a stream
from logits, row by row summed.
"""

import torch.nn.functional as F


def evaluate_stream(model, stream, batch_size=32):
    T = model.config.block_size
    if len(stream) <= T:
        raise ValueError(f"{len(stream)} tokens are no window")
    starts = torch.arange(0, len(stream) - T, T)
    mode, losses = model.training, []
    model.train(False)
    try:
        with torch.inference_mode():
            for some in starts.split(batch_size):
                windows = stream[some[:, None] + torch.arange(T + 1)]
                logits = model(windows[:, :-1])[0]
                losses += (
                    F.cross_entropy(
                        logits.transpose(1, 2), windows[:, 1:], reduction="none"
                    )
                    .flatten()
                    .tolist()
                )
    finally:
        model.train(mode)
    return sum(losses) / len(losses)


def train_capstone(data, config, generator=None):
    if config.steps <= 0:
        raise ValueError(config.steps)
    if config.eval_every <= 0:
        raise ValueError(config.eval_every)
    T = config.block_size
    offsets = len(data.train) - T
    if offsets < 1 or len(data.val) < T + 1:
        raise ValueError(f"streams of {len(data.train)} and {len(data.val)} tokens")
    shape = GPTConfig(
        T, data.eot + 1, config.n_layer, config.n_head, config.n_embd, config.dropout
    )
    model = GPT(shape).to(data.train.device)
    decayed = [p for p in model.parameters() if p.dim() > 1]
    rest = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [
            {"params": rest, "weight_decay": 0.0},
            {"params": decayed, "weight_decay": config.weight_decay},
        ],
        lr=1.0,
        betas=(0.9, 0.95),
    )

    def rate(step):
        return cosine_lr(
            step, config.max_lr, config.min_lr, config.warmup_steps, config.steps
        )

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    history = {"loss": [], "step": [], "val": [], "lr": []}
    for step in range(config.steps):
        if step % config.eval_every == 0:
            history["val"].append((step, evaluate_stream(model, data.val)))
        model.train()
        starts = (
            torch.rand(config.batch_size, 1, generator=generator) * offsets
        ).long()
        windows = data.train[starts + torch.arange(T + 1)]
        loss = model(windows[:, :-1], targets=windows[:, 1:])[1]
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        norm = torch.stack([g.norm() for g in gradients]).norm()
        for p, g in zip(model.parameters(), gradients, strict=True):
            p.grad = g * torch.clamp(1.0 / (norm + 1e-6), max=1.0)
        optimizer.step()
        history["lr"].append(schedule.get_last_lr()[0])
        schedule.step()
        history["loss"].append(float(loss))
        history["step"].append(step)
    model.eval()
    history["val"].append((config.steps, evaluate_stream(model, data.val)))
    return model, history
