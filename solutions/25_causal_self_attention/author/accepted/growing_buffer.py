# A cache with room for more than it holds, doubled when it is full; k and v are views
# of the filled part.


class LayerCache:
    def __init__(self):
        self._room = None
        self._used = 0

    def __len__(self):
        return self._used

    @property
    def k(self):
        return None if self._room is None else self._room[0][:, :, : self._used]

    @property
    def v(self):
        return None if self._room is None else self._room[1][:, :, : self._used]

    def append(self, k, v):
        end = self._used + k.shape[2]
        if self._room is None or end > self._room.shape[3]:
            batch, n_head, _, width = k.shape
            room = torch.empty(
                2, batch, n_head, 2 * end, width, dtype=k.dtype, device=k.device
            )
            if self._room is not None:
                room[:, :, :, : self._used] = self._room[:, :, :, : self._used]
            self._room = room
        self._room[0, :, :, self._used : end] = k
        self._room[1, :, :, self._used : end] = v
        self._used = end
        return self.k, self.v
