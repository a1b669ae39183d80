# to_device by torch's own walk over nested containers, and torch.accelerator for the
# choice of the device.
from torch.utils import _pytree


def to_device(batch, device=None):
    if device is None:
        device = (
            torch.accelerator.current_accelerator()
            if torch.accelerator.is_available()
            else "cpu"
        )
    return _pytree.tree_map_only(
        Tensor, lambda x: x.to(device=device, non_blocking=True), batch
    )
