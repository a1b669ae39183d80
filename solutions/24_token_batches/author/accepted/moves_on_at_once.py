"""A loader that goes on to the next shard right after the last step of the old one,
with all shards in memory and one dict for its place; loops over lists in the
other exercises.
"""

import os


def write_shards(tokens, folder, shard_size, split):
    if shard_size <= 0:
        raise ValueError("shards need a size")
    rest = [int(token) for token in tokens]
    for token in rest:
        if token not in range(65536):
            raise ValueError(f"{token} is no uint16")
    os.makedirs(folder, exist_ok=True)
    paths = []
    while rest:
        path = Path(folder) / (split + "_" + str(len(paths)).zfill(6) + ".npy")
        with open(path, "wb") as file:
            np.save(file, np.array(rest[:shard_size], dtype=np.uint16))
        paths.append(path)
        del rest[:shard_size]
    return paths


class DataLoaderLite:
    def __init__(self, shard_paths, batch_size, block_size, rank=0, world_size=1):
        if rank < 0 or rank >= world_size:
            raise ValueError("there is no such rank")
        self.streams = [load_shard(Path(path)) for path in shard_paths]
        self.B, self.T, self.rank, self.world_size = (
            batch_size,
            block_size,
            rank,
            world_size,
        )
        if max(map(len, self.streams), default=0) < self.B * self.T * world_size + 1:
            raise ValueError("there is no step to take")
        self.reset()

    def fits(self):
        left = len(self.streams[self.place["shard"]]) - self.place["position"]
        return left >= self.B * self.T * self.world_size + 1

    def advance(self):
        while not self.fits():
            self.place["position"] = 0
            self.place["shard"] += 1
            if self.place["shard"] == len(self.streams):
                self.place["shard"] = 0

    def reset(self):
        self.place = {"shard": 0, "position": 0}
        self.advance()

    def next_batch(self):
        begin = self.place["position"] + self.rank * self.B * self.T
        stream = self.streams[self.place["shard"]]
        x = torch.stack(
            [
                stream[begin + b * self.T : begin + (b + 1) * self.T]
                for b in range(self.B)
            ]
        )
        y = torch.stack(
            [
                stream[begin + b * self.T + 1 : begin + (b + 1) * self.T + 1]
                for b in range(self.B)
            ]
        )
        self.place["position"] += self.B * self.T * self.world_size
        self.advance()
        return x, y

    def state_dict(self):
        return self.place.copy()

    def load_state_dict(self, state):
        if state["shard"] not in range(len(self.streams)):
            raise ValueError("there is no such shard")
        if state["position"] % (self.B * self.T * self.world_size) != 0:
            raise ValueError("no step begins there")
        self.place = {**state}


def mixture_epochs(dataset_tokens, weights, total_tokens):
    if set(dataset_tokens) ^ set(weights):
        raise ValueError("the names differ")
    if any(weight < 0 for weight in weights.values()) or not any(weights.values()):
        raise ValueError("these weights are no proportions")
    names = sorted(weights)
    shares = np.array([weights[name] for name in names], dtype=np.float64)
    sizes = np.array([dataset_tokens[name] for name in names], dtype=np.float64)
    return dict(zip(names, (shares / shares.sum() * total_tokens / sizes).tolist()))
