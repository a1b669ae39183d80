"""Recomputation as an autograd.Function that restores the random state; gradients by
autograd.grad; SGD by hand.
"""


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, stage, x, *parameters):
        ctx.stage, ctx.state = stage, torch.get_rng_state()
        ctx.save_for_backward(x)
        with torch.no_grad():
            return stage(x)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        x = x.detach().requires_grad_(ctx.needs_input_grad[1])
        parameters = list(ctx.stage.parameters())
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.set_rng_state(ctx.state)
            out = ctx.stage(x)
        wanted = [x, *parameters] if x.requires_grad else parameters
        found = torch.autograd.grad(out, wanted, gradient)
        return (None, *found) if x.requires_grad else (None, None, *found)


class Pipeline(nn.Module):
    def __init__(self, stages, num_micro=1, recompute=False):
        super().__init__()
        self.stages = nn.ModuleList()
        for stage in stages:
            self.stages.append(stage)
        self.m = num_micro
        self.again = recompute
        self.trace = []

    def forward(self, x):
        if self.m > x.size(0):
            raise ValueError(f"num_micro={self.m}, batch={x.size(0)}")
        at = {
            (-1, m): piece
            for m, piece in enumerate(torch.tensor_split(x, self.m, dim=0))
        }
        self.trace = []
        table = schedule_numpy(len(self.stages), self.m)
        for clock, k in zip(*np.nonzero(table >= 0)):
            m = int(table[clock, k])
            stage, piece = self.stages[int(k)], at.pop((k - 1, m))
            at[k, m] = (
                _Recomputed.apply(stage, piece, *stage.parameters())
                if self.again
                else stage(piece)
            )
            self.trace += [(int(clock), int(k), m)]
        return torch.cat([at[len(self.stages) - 1, m] for m in range(self.m)])


def accumulate_gradients(model, x, y, loss_fn, num_micro):
    if num_micro > len(x):
        raise ValueError("more micro-batches than rows")
    parameters = [p for p in model.parameters() if p.requires_grad]
    loss_sum = torch.zeros((), dtype=torch.float64)
    for a, b in zip(torch.tensor_split(x, num_micro), torch.tensor_split(y, num_micro)):
        loss = loss_fn(model(a), b)
        weight = a.size(0) / x.size(0)
        for p, g in zip(parameters, torch.autograd.grad(loss, parameters)):
            p.grad = g * weight if p.grad is None else p.grad + g * weight
        loss_sum += loss.detach().double() * a.size(0)
    return float(loss_sum / x.size(0))


def train_pipeline(
    model, x, y, *, steps=100, batch=50, lr=0.05, num_micro=1, generator=None
):
    model.train()
    velocity = {p: torch.zeros_like(p) for p in model.parameters()}
    losses = []
    for _ in range(steps):
        model.zero_grad()
        rows = torch.randperm(len(x), generator=generator)[:batch]
        losses += [
            accumulate_gradients(
                model, x[rows], y[rows], nn.CrossEntropyLoss(), num_micro
            )
        ]
        with torch.no_grad():
            for p, v in velocity.items():
                v.mul_(0.9).add_(p.grad)
                p.sub_(lr * v)
    return losses
