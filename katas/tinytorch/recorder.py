"""The place where every operation announces its result. Nobody listens until module 05
installs its listener.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinytorch.tensor import Tensor

Recorder = Callable[["Tensor", str, tuple["Tensor", ...], dict[str, Any]], None]

_recorder: Recorder | None = None


def set_recorder(recorder: Recorder | None) -> Recorder | None:
    """Install the function that `record` calls, or None for nobody, and return the
    one before.
    """
    global _recorder
    previous, _recorder = _recorder, recorder
    return previous


def record(
    out: "Tensor", op: str, inputs: tuple["Tensor", ...], **saved: Any
) -> "Tensor":
    """Announce that the operation `op` made `out` from `inputs`, and return `out`.

    Args:
        out: the result.
        op: the operation's name, such as "mul". Gradient rules are found by it.
        inputs: the input tensors, in the order in which they are written.
        saved: what else the gradient needs, such as exponent=2.
    """
    if _recorder is not None:
        _recorder(out, op, inputs, saved)
    return out
