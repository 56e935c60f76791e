"""Masks that only a softmax reads fit into float16, and nothing else changes."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from instantstyle.capture.trace import capture_float
from instantstyle.model.graph import single_graph

SIZE = (16, 16)
LATER = torch.ones(16, 16).triu(1).bool()
Attend = Callable[[Tensor], Tensor]


class Rows(nn.Module):
    """Attention between the rows of a picture."""

    def __init__(self, attend: Attend) -> None:
        super().__init__()
        self.first, self.attend = nn.Conv2d(3, 3, 3, padding=1), attend
        self.register_buffer("mask", torch.zeros(16, 16).masked_fill(LATER, -1e9))

    def forward(self, image: Tensor) -> Tensor:
        x = self.first(image)
        return self.attend(x) if self.attend.__code__.co_argcount == 1 else self.attend(x, self.mask)  # type: ignore[call-arg,attr-defined]


def scores(x: Tensor) -> Tensor:
    return x @ x.transpose(2, 3)


def shifted(x: Tensor) -> Tensor:
    """As Swin builds it: from slices of a tensor of zeros, for windows."""
    places = torch.zeros(1, 16)
    places[:, 8:] = 1
    apart = places.unsqueeze(1) - places.unsqueeze(2)
    mask = apart.masked_fill(apart != 0, -1e9).masked_fill(apart == 0, 0.0)
    return (scores(x).view(1, 3, 1, 16, 16) + mask.unsqueeze(1)).view(-1, 3, 16, 16).softmax(3) @ x


def in_place(x: Tensor) -> Tensor:
    s = scores(x)
    s.masked_fill_(LATER, torch.finfo(s.dtype).min)
    return s.softmax(3) @ x


BOUNDED: dict[str, Callable[..., Tensor]] = {
    "masked_fill": lambda x: scores(x).masked_fill(LATER, -1e9).softmax(3) @ x,
    "in place, the least float32": in_place,
    "where": lambda x: torch.where(LATER, torch.tensor(-1e9), scores(x)).softmax(3) @ x,
    "where, a number": lambda x: torch.where(~LATER, scores(x), -1e9).softmax(3) @ x,
    "full_like": lambda x: torch.where(LATER, torch.full_like(s := scores(x), -1e9), s).softmax(3) @ x,
    "a factor": lambda x: (scores(x) + (1.0 - (~LATER).float()) * -1e9).softmax(3) @ x,
    "a difference": lambda x: (scores(x) - LATER.float() * 1e9).softmax(3) @ x,
    "a buffer": lambda x, mask: (scores(x) + mask).softmax(3) @ x,
    "slices": shifted,
    "fused": lambda x, mask: functional.scaled_dot_product_attention(x, x, x, attn_mask=mask),
}


def largest_finite(attend: Callable[..., Tensor]) -> tuple[float, float]:
    """Of all numbers in the captured program, and how far its results are from the module's."""
    torch.manual_seed(0)
    net = Rows(attend).eval()
    program = capture_float(single_graph(net).graphs[0], SIZE)
    image = torch.rand(1, 3, *SIZE) * 2 - 1
    seen: list[float] = []

    class Recorder(torch.fx.Interpreter):
        def run_node(self, n: torch.fx.Node):
            value = super().run_node(n)
            if isinstance(value, Tensor) and value.is_floating_point():
                seen.append(float(value[value.isfinite()].abs().max()))
            return value

    with torch.no_grad():
        result = Recorder(program.module(check_guards=False)).run(image)  # type: ignore[arg-type]
        return max(seen), float((result - net(image)).abs().max())


@pytest.mark.parametrize("name", BOUNDED)
def test_a_mask_of_softmax_is_bounded_and_masks_the_same(name: str) -> None:
    largest, difference = largest_finite(BOUNDED[name])
    assert largest < 10_100 and difference < 1e-6


KEPT: dict[str, tuple[Callable[..., Tensor], float]] = {
    "not softmax alone": (lambda x: (s := scores(x).masked_fill(LATER, -1e9)).softmax(3) @ x + s.clamp(-1, 1), 1e9),
    "rows masked as a whole": (lambda x: (scores(x) + torch.zeros(16, 1).masked_fill(LATER[:, 5:6], -1e9)).softmax(3) @ x, 1e9),
    "a sharp softmax": (lambda x: (scores(x) * 5e4).softmax(3) @ x, 5e4),
    "no softmax": (lambda x: (x * 1e9).clamp(-1, 1), 1e9),
}  # fmt: skip


@pytest.mark.parametrize("name", KEPT)
def test_other_large_numbers_stay(name: str) -> None:
    attend, wanted = KEPT[name]
    largest, difference = largest_finite(attend)
    assert largest > 0.1 * wanted and difference < 1e-6
