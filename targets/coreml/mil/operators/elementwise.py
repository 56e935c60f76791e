"""Elementwise arithmetic, comparisons, logic, unary functions and casts."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..kernels import kernel

# How the evaluator holds the types that MIL names by a string; wide unsigned integers are int64, as constants of that type are.
DTYPES = {
    "fp16": torch.float32,
    "fp32": torch.float32,
    "bool": torch.bool,
    "int8": torch.int8,
    "uint8": torch.uint8,
    "int16": torch.int16,
    "uint16": torch.int64,
    "int32": torch.int32,
}
_RANGES = {
    "int8": (-(2**7), 2**7 - 1),
    "uint8": (0, 2**8 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "uint16": (0, 2**16 - 1),
    "int32": (-(2**31), 2**31 - 1),
}


def dtype_of(name: str) -> torch.dtype:
    """The dtype in which the evaluator holds MIL's type of that name."""
    if name not in DTYPES:
        raise ValueError(f"dtype '{name}' is none of {', '.join(DTYPES)}")
    return DTYPES[name]


def real_div(x: Tensor, y: Tensor) -> Tensor:
    """x / y.

    The quotient of integers is declared to be an integer, but nothing says how it is rounded: only exact ones are known.
    """
    if x.is_floating_point():
        return x / y
    quotient = torch.div(x, y, rounding_mode="floor")
    if not torch.equal(quotient * y, x + torch.zeros_like(quotient)):
        raise ValueError("real_div of integers that do not divide evenly: how the result is rounded is not documented")
    return quotient


def power(x: Tensor, y: Tensor) -> Tensor:
    """x ** y."""
    if not y.is_floating_point() and bool((y < 0).any()):
        raise ValueError("pow of integers with a negative exponent: the result is not documented")
    return torch.pow(x, y)


def exp2(x: Tensor) -> Tensor:
    """2 ** x."""
    if x.is_floating_point():
        return torch.exp2(x)
    if bool(((x < 0) | (x > 30)).any()):
        raise ValueError("exp2 of integers outside 0 to 30: the result, an int32, is not documented")
    return torch.ones_like(x) << x


# floor_div and mod round towards negative infinity for both types, as Python's operators in the definitions' value inference do.
# maximum and minimum let a NaN through, as the value inference does; the docstring's `x > y ? x : y` would hide one in x.
_BINARY: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "real_div": real_div,
    "floor_div": torch.floor_divide,
    "mod": torch.remainder,
    "pow": power,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "equal": torch.eq,
    "not_equal": torch.ne,
    "greater": torch.gt,
    "greater_equal": torch.ge,
    "less": torch.lt,
    "less_equal": torch.le,
    "logical_and": torch.logical_and,
    "logical_or": torch.logical_or,
    "logical_xor": torch.logical_xor,
}
# round takes ties to the even neighbour, as NumPy's does in the value inference ("0.5 is rounded to 0").
_UNARY: dict[str, Callable[[Tensor], Tensor]] = {
    "abs": torch.abs,
    "acos": torch.acos,
    "asin": torch.asin,
    "atan": torch.atan,
    "atanh": torch.atanh,
    "ceil": torch.ceil,
    "cos": torch.cos,
    "cosh": torch.cosh,
    "erf": torch.erf,
    "exp": torch.exp,
    "exp2": exp2,
    "floor": torch.floor,
    "logical_not": torch.logical_not,
    "round": torch.round,
    "sign": torch.sign,
    "sin": torch.sin,
    "sinh": torch.sinh,
    "sqrt": torch.sqrt,
    "square": torch.square,
    "tan": torch.tan,
    "tanh": torch.tanh,
}


def _register_binary(name: str, function: Callable[[Tensor, Tensor], Tensor]) -> None:
    @kernel(name, "iOS15")
    def _(x: Tensor, y: Tensor) -> Tensor:
        return function(x, y)


def _register_unary(name: str, function: Callable[[Tensor], Tensor]) -> None:
    @kernel(name, "iOS15")
    def _(x: Tensor) -> Tensor:
        return function(x)


for _name, _binary in _BINARY.items():
    _register_binary(_name, _binary)
for _name, _unary in _UNARY.items():
    _register_unary(_name, _unary)


@kernel("clip", "iOS15", "iOS17")
def clip(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """min(max(x, alpha), beta)."""
    return x.clamp(float(alpha), float(beta))


@kernel("inverse", "iOS15", "iOS17")
def inverse(x: Tensor, epsilon: Tensor) -> Tensor:
    """1 / (x + epsilon)."""
    return torch.reciprocal(x + epsilon)


@kernel("log", "iOS15", "iOS17")
def log(x: Tensor, epsilon: Tensor) -> Tensor:
    """ln(x + epsilon)."""
    return torch.log(x + epsilon)


@kernel("rsqrt", "iOS15", "iOS17")
def rsqrt(x: Tensor, epsilon: Tensor) -> Tensor:
    """1 / sqrt(x + epsilon)."""
    return torch.rsqrt(x + epsilon)


@kernel("threshold", "iOS15")
def threshold(x: Tensor, alpha: Tensor) -> Tensor:
    """max(x, alpha)."""
    return torch.maximum(x, alpha)


@kernel("select", "iOS15")
def select(cond: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """a where cond, else b; all three broadcast."""
    return torch.where(cond, a, b)


@kernel("cast", "iOS15", "iOS17")
def cast(x: Tensor, dtype: str) -> Tensor:
    """Floats lose their fraction (towards zero) on the way to an integer, and are True where not 0."""
    target = dtype_of(dtype)
    if dtype in _RANGES and x.dtype != torch.bool and x.numel():
        low, high = _RANGES[dtype]
        least, most = (float(value) for value in torch.aminmax(x))
        if not low - 1 < least <= most < high + 1:
            raise ValueError(
                f"cast to {dtype} of values from {least} to {most}: what becomes of values that it cannot hold is not documented"
            )
    return x.to(target)
