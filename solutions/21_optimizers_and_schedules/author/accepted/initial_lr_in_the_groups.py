"""StepLR as PyTorch does it, with the base rate in each group under "initial_lr", where
a checkpoint keeps it too.
"""


class StepLR:
    def __init__(self, optimizer, step_size, gamma=0.1):
        if not step_size >= 1:
            raise ValueError(step_size)
        self.optimizer, self.step_size, self.gamma = optimizer, step_size, gamma
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.last_epoch = 0
        self._last = [group["lr"] for group in optimizer.param_groups]

    def step(self):
        self.last_epoch += 1
        falls = self.last_epoch // self.step_size
        self._last = []
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"] * self.gamma**falls
            self._last.append(group["lr"])

    def get_last_lr(self):
        return self._last[:]

    def state_dict(self):
        return {"last_epoch": self.last_epoch, "rates": self._last[:]}

    def load_state_dict(self, state):
        self.last_epoch, self._last = state["last_epoch"], list(state["rates"])
