"""Packing as a dataclass, by boolean selection on the transposed batch; memory on the
meta device; axes by eigh.
"""

from dataclasses import dataclass


@dataclass
class PackedBatch:
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor
    total_length: int

    @classmethod
    def pack(cls, padded, lengths):
        if tuple(lengths.shape) != (padded.shape[0],):
            raise ValueError("lengths: one for each sequence")
        if not all(1 <= n <= padded.shape[1] for n in lengths.tolist()):
            raise ValueError("lengths: from 1 to T")
        ordered, order = torch.sort(lengths, descending=True, stable=True)
        real = torch.arange(padded.shape[1]) < ordered.unsqueeze(1)
        sizes = real.sum(0)
        return cls(
            padded[order].transpose(0, 1)[real.T],
            sizes[sizes > 0],
            order,
            padded.shape[1],
        )

    def unpack(self, padding_value=0):
        count = self.sorted_indices.numel()
        real = torch.zeros(self.total_length, count, dtype=torch.bool)
        real[: len(self.batch_sizes)] = torch.arange(
            count
        ) < self.batch_sizes.unsqueeze(1)
        time_first = torch.full(
            (self.total_length, count, *self.data.shape[1:]),
            padding_value,
            dtype=self.data.dtype,
        )
        time_first = time_first.index_put((real,), self.data)
        back = torch.argsort(self.sorted_indices)
        return time_first.transpose(0, 1)[back], real.sum(0)[back]


def memory_comparison(vocab_size, embedding_dim, num_tokens, dtype=torch.float32):
    def size(*shape, of=dtype):
        return float(torch.empty(shape, dtype=of, device="meta").nbytes)

    one_hot, ids = size(num_tokens, vocab_size), size(num_tokens, of=torch.int64)
    return {
        "input_ratio": one_hot / ids if ids else 0.0,
        "output_bytes": size(num_tokens, embedding_dim),
        "table_bytes": size(vocab_size, embedding_dim),
        "id_bytes": ids,
        "one_hot_bytes": one_hot,
    }


@torch.no_grad()
def project_2d(vectors):
    if vectors.dim() != 2 or vectors.size(0) < 2 or vectors.size(1) < 2:
        raise ValueError("a table of at least two vectors of two features")
    centred = vectors - vectors.mean(0, keepdim=True)
    _, directions = torch.linalg.eigh(centred.T @ centred / len(vectors))
    return centred @ directions[:, [-1, -2]]
