"""Padding of any dimensions."""

from torch import Tensor
from torch.nn import functional

from ..kernels import ints, kernel


@kernel("pad", "iOS15")
def pad(x: Tensor, pad: Tensor, mode: str = "constant", constant_val: float | Tensor = 0.0) -> Tensor:
    """(*leading, *padded) with ``pad`` of two amounts for each of the last dimensions, the outermost first -> the padded tensor.

    ``reflect`` leaves out the border's own value.
    """
    flat = ints(pad)
    amounts = list(zip(flat[::2], flat[1::2], strict=True))
    if min(flat, default=0) < 0:
        raise ValueError(f"pad {flat} has negative amounts")
    if mode == "constant":
        return functional.pad(x, [amount for pair in reversed(amounts) for amount in pair], value=float(constant_val))
    if mode not in ("reflect", "replicate"):
        raise ValueError(f"mode '{mode}' is none of constant, reflect, replicate")
    for axis, (before, after) in enumerate(amounts, start=x.dim() - len(amounts)):
        if before == after == 0:
            continue
        size = x.shape[axis]
        limit = size - 1 if mode == "reflect" else size
        if max(before, after) > limit:
            raise ValueError(f"pad ({before}, {after}) of dimension {axis}, which has {size}: mode '{mode}' allows {limit} at most")
        # PyTorch pads only certain dimensions of certain ranks in these modes: the one to pad becomes the third of four.
        shape = x.shape
        rows = x.reshape(1, shape[:axis].numel(), size, shape[axis + 1 :].numel())
        x = functional.pad(rows, [0, 0, before, after], mode=mode).reshape(*shape[:axis], -1, *shape[axis + 1 :])
    return x
