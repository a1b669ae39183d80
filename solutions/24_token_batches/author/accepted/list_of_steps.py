"""A loader with a list of all steps of a pass and one counter; shards are
memory-mapped, and none is kept.
"""


def load_shard(path):
    ids = np.load(path, mmap_mode="r")
    if (ids.ndim, ids.dtype) != (1, np.dtype(np.uint16)):
        raise ValueError("not a file of tokens")
    return torch.tensor(ids.astype("int64"))


class DataLoaderLite:
    def __init__(self, shard_paths, batch_size, block_size, rank=0, world_size=1):
        if rank not in range(world_size):
            raise ValueError(f"rank {rank} of {world_size}")
        self.shards = [np.load(path, mmap_mode="r") for path in shard_paths]
        self.shape, self.rank = (batch_size, block_size), rank
        self.own = batch_size * block_size
        self.all = self.own * world_size
        self.steps = []
        for s, ids in enumerate(self.shards):
            self.steps += [(s, i * self.all) for i in range((len(ids) - 1) // self.all)]
        if not self.steps:
            raise ValueError("no shard is long enough")
        self.step = 0

    def next_batch(self):
        shard, position = self.steps[self.step]
        first = position + self.rank * self.own
        ids = torch.from_numpy(
            self.shards[shard][first : first + self.own + 1].astype(np.int64)
        )
        self.step = (self.step + 1) % len(self.steps)
        return ids[:-1].view(self.shape), ids[1:].view(self.shape)

    def reset(self):
        self.step = 0

    def state_dict(self):
        return dict(zip(("shard", "position"), self.steps[self.step]))

    def load_state_dict(self, state):
        place = state["shard"], state["position"]
        if place not in self.steps:
            raise ValueError(f"no step begins at {place}")
        self.step = self.steps.index(place)
