"""Masks expanded to (B, H, T, S) at once, one case of dimensions after the other,
checked by trying to expand.
"""


def prepare_mask(mask, key_padding_mask, shape):
    B, H, T, S = shape
    if mask is None and key_padding_mask is None:
        return None
    result = torch.ones(
        shape,
        dtype=torch.bool,
        device=(mask if mask is not None else key_padding_mask).device,
    )
    if mask is not None:
        if mask.dtype is not torch.bool:
            raise TypeError(f"`mask` must be a boolean tensor, got {mask.dtype}")
        wanted = {1: [S], 2: [T, S], 3: [B, T, S], 4: [B, H, T, S]}.get(
            mask.dim(), [B, H, T, S]
        )
        try:
            full = mask.expand(wanted)
        except RuntimeError as error:
            raise ValueError(
                f"`mask` of shape {list(mask.shape)} should be {wanted}"
            ) from error
        result &= full[:, None] if mask.dim() == 3 else full
    if key_padding_mask is not None:
        if key_padding_mask.dtype is not torch.bool:
            raise TypeError(
                "`key_padding_mask` must be a boolean tensor, got "
                f"{key_padding_mask.dtype}"
            )
        if list(key_padding_mask.shape) != [B, S]:
            raise ValueError(
                f"`key_padding_mask` of shape {list(key_padding_mask.shape)} should "
                f"be {[B, S]}"
            )
        result &= key_padding_mask.view(B, 1, 1, S)
    return result
