"""The table micro-batch by micro-batch, the bubble counted, the cut by binary search,
the last stage first per clock.
"""


def schedule_numpy(num_stages, num_micro):
    columns = []
    for k in range(num_stages):
        idle = [-1] * (num_stages - 1)
        columns.append(idle[:k] + list(range(num_micro)) + idle[k:])
    return np.array(columns, dtype=np.int64).T


def bubble_fraction(num_stages, num_micro):
    if min(num_stages, num_micro) < 1:
        raise ValueError("at least one stage and one micro-batch")
    return 1 - num_micro / (num_micro + num_stages - 1)


def _filled(costs, limit):
    """Cut only where the next layer would lift the stage above the limit."""
    stages, start, held = [], 0, 0.0
    for layer, cost in enumerate(costs):
        if layer > start and held + cost > limit:
            stages.append(range(start, layer))
            start, held = layer, 0.0
        held += cost
    return [*stages, range(start, len(costs))]


def partition(costs, num_stages):
    assert 0 < num_stages <= len(costs), "one layer per stage at least"
    low, high = max(costs), sum(costs)
    for _ in range(100):
        middle = (low + high) / 2
        if len(_filled(costs, middle)) <= num_stages:
            high = middle
        else:
            low = middle
    stages = _filled(costs, high)
    while len(stages) < num_stages:
        i = max(range(len(stages)), key=lambda j: len(stages[j]))
        long = stages[i]
        stages[i : i + 1] = [long[:1], long[1:]]
    return stages


class Pipeline(nn.Module):
    def __init__(self, stages, num_micro=1, recompute=False):
        nn.Module.__init__(self)
        self.stages, self.num_micro, self.recompute, self.trace = (
            nn.ModuleList(stages),
            num_micro,
            recompute,
            [],
        )

    def forward(self, x):
        if x.shape[0] < self.num_micro:
            raise RuntimeError(f"{x.shape[0]} rows for {self.num_micro} micro-batches")
        queue = {0: x.tensor_split(self.num_micro)}
        count, self.trace, done = len(self.stages), [], []
        waiting = [None] * count
        for clock in range(self.num_micro + count - 1):
            for k in reversed(range(count)):
                m = clock - k
                if not 0 <= m < self.num_micro:
                    continue
                piece = queue[0][m] if k == 0 else waiting[k]
                if self.recompute and torch.is_grad_enabled():
                    out = checkpoint(
                        self.stages[k].__call__, piece, use_reentrant=False
                    )
                else:
                    out = self.stages[k](piece)
                if k + 1 < count:
                    waiting[k + 1] = out
                else:
                    done.append(out)
                self.trace.append((clock, k, m))
        return torch.cat(done, dim=0)
