"""None-indexing and `squeeze(0)` for batches of one, `movedim` for channels,
`flatten(1)` with a case of its own for numbers.
"""


def to_rows(x, columns):
    return x.view(-1, columns)


def swap_axes(x):
    return x.permute(1, 0)


def add_batch_dim(sample):
    return sample[None]


def drop_batch_dim(batch):
    if not batch.dim() or len(batch) != 1:
        raise ValueError(f"{list(batch.shape)} is not a batch of one")
    return batch.squeeze(0)


def nhwc_to_nchw(images):
    if images.dim() != 4:
        raise ValueError("expected (N, H, W, C)")
    return images.movedim(-1, 1).contiguous()


def flatten_samples(x):
    if x.dim() == 0:
        raise ValueError("no batch")
    return (x.unsqueeze(1) if x.dim() == 1 else x.flatten(start_dim=1)), tuple(
        int(n) for n in x.size()[1:]
    )


def unflatten_samples(flat, sample_shape):
    if (
        flat.dim() != 2
        or any(n < 0 for n in sample_shape)
        or torch.Size(sample_shape).numel() != flat.size(1)
    ):
        raise ValueError(
            f"{list(flat.shape)} does not unflatten to {list(sample_shape)}"
        )
    return (
        flat.unflatten(1, tuple(sample_shape)) if len(sample_shape) else flat.squeeze(1)
    )
