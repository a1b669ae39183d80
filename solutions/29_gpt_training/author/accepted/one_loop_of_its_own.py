"""train without train_step or evaluate: the whole loop in one function, the model back
in training mode after each look, pairs as lists; batch sizes in floats.
"""


def batch_size_at(tokens_seen, start, full, ramp_tokens, multiple=1):
    if start < 1 or full < start:
        raise ValueError(f"{start} … {full}")
    if ramp_tokens <= 0 or tokens_seen >= ramp_tokens:
        return full
    size = int(start + (full - start) * (tokens_seen / ramp_tokens))
    return min(full, max(start, size // multiple * multiple))


def accumulation_steps(total_tokens, batch_size, block_size, world_size=1):
    steps, rest = divmod(total_tokens, batch_size * block_size * world_size)
    if rest != 0:
        raise ValueError(f"{rest} tokens are left over")
    return steps


def train(
    model, optimizer, loader, config, val_batches=None, start_step=0, sample=None
):
    history = {
        "samples": [],
        "val": [],
        "grad_norm": [],
        "lr": [],
        "loss": [],
        "step": [],
    }
    last, step = config.max_steps - 1, start_step
    where = model.lm_head.weight.device
    while step <= last:
        if not step % config.eval_every or step == last:
            model.eval()
            if sample is not None:
                history["samples"].append([step, sample(model)])
            model.eval()
            if val_batches is not None:
                with torch.inference_mode():
                    losses, weights = [], []
                    for x, y in val_batches:
                        x, y = x.to(where), y.to(where)
                        weights.append((y >= 0).sum().item())
                        losses.append(model(x, y)[1].item() * weights[-1])
                history["val"].append([step, sum(losses) / sum(weights)])
        model.train()
        lr = cosine_lr(
            step, config.max_lr, config.min_lr, config.warmup_steps, config.max_steps
        )
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.zero_grad(set_to_none=True)
        loss_sum = 0.0
        for _ in range(config.accum_steps):
            x, y = (ids.to(where, non_blocking=True) for ids in loader.next_batch())
            loss = model(x, y)[1]
            (loss / config.accum_steps).backward()
            loss_sum += loss.detach().item()
        norm = torch.nn.utils.clip_grad_norm_(
            [p for p in model.parameters() if p.grad is not None], config.max_norm
        )
        optimizer.step()
        for key, value in (
            ("step", step),
            ("loss", loss_sum / config.accum_steps),
            ("lr", lr),
            ("grad_norm", norm.item()),
        ):
            history[key].append(value)
        step += 1
    return history
