"""Activations, each after a convolution of its own."""

import math

import torch
from net_convolutions import conv
from net_kinds import Fn, Pick, kind
from torch import nn
from torch.nn import functional as F

MODULES = {
    "relu": nn.ReLU,
    "relu_in_place": lambda: nn.ReLU(inplace=True),
    "relu6": nn.ReLU6,
    "leaky": lambda: nn.LeakyReLU(0.2),
    "leaky_in_place": lambda: nn.LeakyReLU(0.1, inplace=True),
    "prelu": nn.PReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "celu": nn.CELU,
    "silu": nn.SiLU,
    "silu_in_place": lambda: nn.SiLU(inplace=True),
    "gelu": nn.GELU,
    "gelu_tanh": lambda: nn.GELU(approximate="tanh"),
    "hardswish": nn.Hardswish,
    "hardswish_in_place": lambda: nn.Hardswish(inplace=True),
    "hardsigmoid": nn.Hardsigmoid,
    "hardtanh": nn.Hardtanh,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "softplus": lambda: nn.Softplus(beta=2),
    "softsign": nn.Softsign,
    "mish": nn.Mish,
    "log_sigmoid": nn.LogSigmoid,
    "threshold": lambda: nn.Threshold(0.1, -0.2),
    "hardshrink": nn.Hardshrink,
    "softshrink": nn.Softshrink,
    "tanhshrink": nn.Tanhshrink,
    "rrelu": nn.RReLU,
    "softmax2d": nn.Softmax2d,
}

FUNCTIONS = {
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "maximum": lambda x: torch.maximum(x, 0.2 * x),
    "where": lambda x: torch.where(x > 0, x, 0.1 * x),
    "clamp_low": lambda x: x.clamp(min=0),
    "clamp": lambda x: torch.clamp(x, -1.5, 1.5),
    "clip_relu6": lambda x: (x + 3).clip(0, 6) / 6 * x,
    "squared_relu": lambda x: F.relu(x) ** 2,
    "absolute": lambda x: x.abs(),
    "sine": lambda x: torch.sin(2 * x),
    "snake": lambda x: x + torch.sin(x) ** 2,
    "gauss": lambda x: torch.exp(-(x**2)),
    "mish_by_hand": lambda x: x * torch.tanh(F.softplus(x)),
    "error_function": lambda x: 0.5 * x * (1 + torch.erf(x / math.sqrt(2))),
    "arc_tangent": torch.atan,
    "root": lambda x: torch.sqrt(x.abs() + 1e-4) * torch.sign(x),
    "log": lambda x: torch.log1p(x.abs()),
    "masked": lambda x: x * (x > 0),
    "pow": lambda x: (x.sigmoid() + 0.1).pow(1 / 2.2),
    "softmax_gate": lambda x: x * torch.softmax(x, 1) * 4,
}


@kind("act.module")
def _(w: int, pick: Pick) -> nn.Module:
    return nn.Sequential(conv(w, bias=pick(True, False)), MODULES[pick(*MODULES)]())


def _register() -> None:
    for name, make in MODULES.items():
        kind(f"act.{name}")(lambda w, pick, make=make: nn.Sequential(conv(w, size=pick(1, 3)), make()))
    for name, function in FUNCTIONS.items():
        kind(f"act.{name}")(lambda w, pick, function=function: nn.Sequential(conv(w, size=pick(1, 3)), Fn(lambda m, x: function(x))))


_register()


@kind("act.prelu_channels")
def _(w: int, pick: Pick) -> nn.Module:
    prelu = nn.PReLU(w)
    nn.init.uniform_(prelu.weight, -0.2, 0.6)
    return nn.Sequential(conv(w), prelu)


@kind("act.glu")
def _(w: int, pick: Pick) -> nn.Module:
    return nn.Sequential(conv(w, 2 * w), nn.GLU(dim=1))


@kind("act.simple_gate")
def _(w: int, pick: Pick) -> nn.Module:
    def forward(m, x):
        left, right = m.conv(x).chunk(2, dim=1)
        return left * right

    return nn.Sequential(Fn(forward, conv=conv(w, 2 * w)), conv(w, size=1))


@kind("act.maxout")
def _(w: int, pick: Pick) -> nn.Module:
    return Fn(lambda m, x: torch.max(*torch.split(m.conv(x), w, dim=1)), conv=conv(w, 2 * w))


@kind("act.concatenated_relu")
def _(w: int, pick: Pick) -> nn.Module:
    return Fn(lambda m, x: m.last(F.relu(torch.cat([y := m.first(x), -y], 1))), first=conv(w), last=conv(2 * w, w, 1))


@torch.jit.script  # as people once wrote fast activations
def scripted_swish(x: torch.Tensor) -> torch.Tensor:
    return x * torch.sigmoid(x)


@kind("act.scripted")
def _(w: int, pick: Pick) -> nn.Module:
    return nn.Sequential(conv(w), Fn(lambda m, x: scripted_swish(x)))


class StraightSwish(torch.autograd.Function):
    """As people write memory-saving activations."""

    @staticmethod
    def forward(ctx, x):
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[override]
        return gradient


@kind("act.autograd_function")
def _(w: int, pick: Pick) -> nn.Module:
    return nn.Sequential(conv(w), Fn(lambda m, x: StraightSwish.apply(x)))
