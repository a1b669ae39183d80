"""A loader around a generator of places that is started anew for a state, reading
slices of files; chained streams.
"""

import itertools


def tokenize_documents(docs, encode, eot):
    ids = list(itertools.chain.from_iterable([eot] + list(encode(doc)) for doc in docs))
    if any(not 0 <= i <= np.iinfo(np.uint16).max for i in ids):
        raise ValueError("an id needs more than 16 bits")
    return np.fromiter(ids, dtype=np.uint16, count=len(ids))


def sequential_batch(tokens, batch_size, block_size, start=0):
    need = batch_size * block_size + 1
    if start < 0 or len(tokens) - start < need:
        raise ValueError("not enough tokens")
    ids = torch.tensor(tokens[start : start + need].tolist())
    x, y = ids[: need - 1], ids[1:need]
    return torch.stack(x.split(block_size)), torch.stack(y.split(block_size))


def split_documents(docs, val_fraction, generator=None):
    if not (val_fraction > 0 and val_fraction < 1):
        raise ValueError("bad fraction")
    groups = {}
    for i, doc in enumerate(docs):
        groups.setdefault(doc, []).append(i)
    if len(groups) <= 1:
        raise ValueError("too few documents")
    places = list(groups.values())
    held = max(1, min(len(places) - 1, round(len(places) * val_fraction)))
    chosen = torch.randperm(len(places), generator=generator)[-held:].tolist()
    val = sorted(i for c in chosen for i in places[c])
    train = sorted(set(range(len(docs))).difference(val))
    return [docs[i] for i in train], [docs[i] for i in val]


class DataLoaderLite:
    def __init__(self, shard_paths, batch_size, block_size, rank=0, world_size=1):
        if not -1 < rank < world_size:
            raise ValueError("rank")
        self.paths = [str(path) for path in shard_paths]
        self.B, self.T, self.rank = batch_size, block_size, rank
        self.stride = batch_size * block_size * world_size
        self.lengths = [np.load(path).size for path in self.paths]
        if all(length <= self.stride for length in self.lengths):
            raise ValueError("short shards")
        self.reset()

    def places(self, shard, position):
        while True:
            while position + self.stride < self.lengths[shard]:
                yield shard, position
                position += self.stride
            shard, position = (shard + 1) % len(self.lengths), 0

    def reset(self):
        self._go_to(0, 0)

    def _go_to(self, shard, position):
        self.coming = self.places(shard, position)
        self.next_place = next(self.coming)

    def next_batch(self):
        shard, position = self.next_place
        self.next_place = next(self.coming)
        tokens = torch.from_numpy(
            np.load(self.paths[shard], mmap_mode="r")[position:].astype(np.int64)
        )
        return sequential_batch(tokens, self.B, self.T, self.rank * self.B * self.T)

    def state_dict(self):
        shard, position = self.next_place
        return {"position": position, "shard": shard}

    def load_state_dict(self, state):
        if (
            state["shard"] >= len(self.lengths)
            or state["shard"] < 0
            or state["position"] % self.stride > 0
        ):
            raise ValueError("bad state")
        self._go_to(**state)
