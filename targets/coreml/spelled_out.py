"""Operators that coremltools 9.0 has not, or only in part, in terms of others."""

from math import pi
from typing import Any

import torch
from torch import Tensor
from torch._decomp import decomposition_table
from torch.export import ExportedProgram

from .bicubic import enlarge_bicubic


def spelled_out() -> dict[Any, Any]:
    """Operators with a keyword that coremltools 9.0 leaves out without a word, and some that it has not, in others."""
    aten = torch.ops.aten

    def gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
        if approximate == "none":
            return NotImplemented  # it stays as it is
        # Which coremltools knows as its own operator.
        return 0.5 * x * (1 + torch.tanh((2 / pi) ** 0.5 * (x + 0.044715 * x**3)))

    def add(x: Tensor, y: Tensor, *, alpha: float = 1) -> Tensor:
        return NotImplemented if alpha == 1 else x + y * alpha

    def sub(x: Tensor, y: Tensor, *, alpha: float = 1) -> Tensor:
        return NotImplemented if alpha == 1 else x - y * alpha

    def rsub(x: Tensor, y: Tensor, *, alpha: float = 1) -> Tensor:
        return NotImplemented if alpha == 1 else y - x * alpha

    def lerp(x: Tensor, y: Tensor, weight: Tensor | float) -> Tensor:
        return x + weight * (y - x)

    def instance_norm(
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        mean: Tensor | None,
        variance: Tensor | None,
        use_input_stats: bool,
        momentum: float,
        eps: float,
        cudnn_enabled: bool,
    ) -> Tensor:
        if use_input_stats or mean is None or variance is None:
            return NotImplemented
        # coremltools takes the image's own statistics in any case.
        return torch.batch_norm(x, weight, bias, mean, variance, training=False, momentum=momentum, eps=eps, cudnn_enabled=False)

    def batch_norm(
        x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, variance: Tensor, momentum: float, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        if weight is not None and bias is not None:
            return NotImplemented
        # Without both, coremltools writes out a difference and a quotient and folds them wrongly into the convolution before.
        scale = torch.ones_like(mean) if weight is None else weight
        shift = torch.zeros_like(mean) if bias is None else bias
        return aten._native_batch_norm_legit_no_training.default(x, scale, shift, mean, variance, momentum, eps)

    spelled = {aten.instance_norm.default: instance_norm, aten._native_batch_norm_legit_no_training.default: batch_norm}
    spelled |= {aten.upsample_bicubic2d.vec: enlarge_bicubic, aten.lerp.Scalar: lerp, aten.lerp.Tensor: lerp}
    # Of a grid that is made by it, coremltools takes no other mode of sampling than bilinear, and that not from torch.export.
    spelled |= {aten.affine_grid_generator.default: decomposition_table[aten.affine_grid_generator.default]}
    spelled |= {aten.log_sigmoid.default: lambda x: -torch.nn.functional.softplus(-x), aten.erfc.default: lambda x: 1 - torch.erf(x)}
    return spelled | {aten.gelu.default: gelu, aten.add.Tensor: add, aten.sub.Tensor: sub, aten.rsub.Tensor: rsub}


def say_strides(program: ExportedProgram) -> None:
    """coremltools 9.0 refuses a maximum pooling whose stride is left to its default, the window."""
    for node in program.graph.nodes:
        if node.target is torch.ops.aten.max_pool2d.default and len(node.args) == 2:
            node.args = (*node.args, node.args[1])
