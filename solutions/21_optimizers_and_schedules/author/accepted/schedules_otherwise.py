"""The cosine as sin², rates multiplied at the boundaries, base rates kept in the
groups, the ramp in floats.
"""


def warmup_cosine(step, *, max_lr, min_lr, warmup_steps, max_steps):
    if warmup_steps < 0 or warmup_steps > max_steps:
        raise ValueError("the warm-up does not fit")
    if step < warmup_steps:
        return (step + 1) * (max_lr / warmup_steps)
    if max_steps == warmup_steps:
        return min_lr
    left = 1 - min(1.0, (step - warmup_steps) / (max_steps - warmup_steps))
    return min_lr + (max_lr - min_lr) * math.sin(math.pi / 2 * left) ** 2


class StepLR:
    def __init__(self, optimizer, step_size, gamma=0.1):
        if step_size <= 0:
            raise ValueError("step_size must be positive")
        self.optimizer, self.step_size, self.gamma, self.last_epoch = (
            optimizer,
            step_size,
            gamma,
            0,
        )

    def step(self):
        self.last_epoch += 1
        if self.last_epoch % self.step_size == 0:
            for group in self.optimizer.param_groups:
                group["lr"] *= self.gamma

    def get_last_lr(self):
        return list(group["lr"] for group in self.optimizer.param_groups)

    def state_dict(self):
        return {
            key: value for key, value in self.__dict__.items() if key != "optimizer"
        }

    def load_state_dict(self, state):
        self.__dict__.update(state)


def batch_size_schedule(tokens_seen, *, start, end, ramp_tokens, multiple_of=1):
    if start < 1 or end < start:
        raise ValueError(f"{start}, {end}")
    if tokens_seen < ramp_tokens:
        exact = start + (end - start) * tokens_seen / ramp_tokens
        return max(start, math.floor(exact) // multiple_of * multiple_of)
    return end
