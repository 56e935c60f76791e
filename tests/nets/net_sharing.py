"""Modules used several times, dropout, scales, broadcasts and numbers of other types."""

import torch
from net_convolutions import conv
from net_kinds import Fn, Pick, kind, parameter
from torch import nn
from torch.nn import functional as F


@kind("shared.convolution")
def _(w: int, pick: Pick) -> nn.Module:
    shared = conv(w, bias=pick(True, False))
    return Fn(lambda m, x: F.relu(m.conv(F.relu(m.conv(x)) + x)), conv=shared)


@kind("shared.recurrent")
def _(w: int, pick: Pick) -> nn.Module:
    def forward(m, x):
        y = m.unit(x)
        for _ in range(2):
            y = m.unit(x + y)
        return y

    return Fn(forward, unit=nn.Sequential(conv(w, bias=pick(True, False)), nn.BatchNorm2d(w), nn.ReLU()))


@kind("shared.tied_weight")
def _(w: int, pick: Pick) -> nn.Module:
    first, second = conv(w), conv(w, bias=False)
    second.weight = first.weight
    return nn.Sequential(first, nn.ReLU(), second)


@kind("shared.tied_transposed")
def _(w: int, pick: Pick) -> nn.Module:
    return Fn(lambda m, x: F.conv_transpose2d(F.relu(m.conv(x)), m.conv.weight, padding=1), conv=conv(w))


@kind("shared.two_names")
def _(w: int, pick: Pick) -> nn.Module:
    one = nn.Sequential(conv(w), nn.PReLU())
    return Fn(lambda m, x: m.first(x) + m.second(-x), first=one, second=one)


@kind("shared.activation")
def _(w: int, pick: Pick) -> nn.Module:
    return Fn(
        lambda m, x: m.act(m.second(m.act(m.first(x)))),
        first=conv(w),
        second=conv(w),
        act=pick(nn.ReLU(True), nn.PReLU(), nn.LeakyReLU(0.1)),
    )


@kind("shared.ensemble")
def _(w: int, pick: Pick) -> nn.Module:
    """Self-ensemble over flips."""
    return Fn(lambda m, x: (m.body(x) + m.body(x.flip(-1)).flip(-1)) / 2, body=nn.Sequential(conv(w), nn.ReLU(), conv(w)))


@kind("shared.linear")
def _(w: int, pick: Pick) -> nn.Module:
    return Fn(
        lambda m, x: x * torch.sigmoid(m.fc(x.mean((2, 3))) + m.fc(x.amax((2, 3))))[:, :, None, None],
        fc=nn.Sequential(nn.Linear(w, w), nn.ReLU(), nn.Linear(w, w)),
    )


@kind("shared.lstm_gate")
def _(w: int, pick: Pick) -> nn.Module:
    """A convolutional GRU from a zero state, two steps."""

    def forward(m, x):
        h = torch.zeros_like(x)
        for _ in range(2):
            z, r = torch.sigmoid(m.gates(torch.cat([x, h], 1))).chunk(2, 1)
            h = (1 - z) * h + z * torch.tanh(m.new(torch.cat([x, r * h], 1)))
        return h

    return Fn(forward, gates=conv(2 * w, 2 * w), new=conv(2 * w, w))


@kind("mix.dropout")
def _(w: int, pick: Pick) -> nn.Module:
    return nn.Sequential(
        conv(w), pick(nn.Dropout(0.5), nn.Dropout2d(0.5), nn.AlphaDropout(0.3), nn.FeatureAlphaDropout(0.2)), nn.ReLU(), conv(w)
    )


@kind("mix.drop_path")
def _(w: int, pick: Pick) -> nn.Module:
    return Fn(
        lambda m, x: x + (m.conv(x) if not m.training else m.conv(x) * torch.bernoulli(torch.full((x.shape[0], 1, 1, 1), 0.9))),
        conv=conv(w),
    )


@kind("mix.layer_scale")
def _(w: int, pick: Pick) -> nn.Module:
    return Fn(lambda m, x: x * m.own + m.scale * m.conv(x), conv=conv(w), scale=parameter(1, w, 1, 1), own=parameter(1, around=1))


@kind("mix.scalar_first")
def _(w: int, pick: Pick) -> nn.Module:
    return Fn(lambda m, x: 1 - 0.5 * m.conv(x) / (2 + x.abs()), conv=conv(w))


@kind("mix.broadcast_map")
def _(w: int, pick: Pick) -> nn.Module:
    return Fn(lambda m, x: x * m.map(x) + m.row(x.mean(2, keepdim=True)), map=conv(w, 1), row=conv(w, size=1))


@kind("mix.broadcast_add")
def _(w: int, pick: Pick) -> nn.Module:
    """Sums of a map and a vector, of a map and one channel, and of a map with itself."""
    return Fn(lambda m, x: (y := m.conv(x)) + y.mean((2, 3), keepdim=True) + x[:, :1] + (x + x), conv=conv(w))


@kind("mix.coordinates")
def _(w: int, pick: Pick) -> nn.Module:
    def forward(m, x):
        h, width = x.shape[2:]
        ys, xs = torch.meshgrid(torch.linspace(-1, 1, h), torch.linspace(-1, 1, width), indexing="ij")
        return m.conv(torch.cat([x, ys.expand(x.shape[0], 1, -1, -1), xs.to(x).repeat(x.shape[0], 1, 1, 1)], 1))

    return Fn(forward, conv=conv(w + 2, w))


@kind("mix.position_parameter")
def _(w: int, pick: Pick) -> nn.Module:
    return Fn(
        lambda m, x: m.conv(x + F.interpolate(m.position, size=x.shape[2:], mode="bilinear")), position=parameter(1, w, 8, 8), conv=conv(w)
    )


@kind("mix.double")
def _(w: int, pick: Pick) -> nn.Module:
    to = pick(torch.float64, torch.float16, torch.bfloat16)
    return nn.Sequential(conv(w), Fn(lambda m, x: (x.to(to) * 0.5 + 0.25).float()), conv(w))


@kind("mix.autocast")
def _(w: int, pick: Pick) -> nn.Module:
    def forward(m, x):
        with torch.autocast("cpu", enabled=False):
            return m.conv(x.float())

    return Fn(forward, conv=conv(w))


@kind("mix.integer_mask")
def _(w: int, pick: Pick) -> nn.Module:
    """A checkerboard of integers."""

    def forward(m, x):
        board = (torch.arange(x.shape[2])[:, None] + torch.arange(x.shape[3])[None]) % 2
        return m.conv(x) * board + x * (1 - board)

    return Fn(forward, conv=conv(w))


@kind("mix.comparison")
def _(w: int, pick: Pick) -> nn.Module:
    return Fn(lambda m, x: m.conv(x) * (x.mean(1, keepdim=True) > -5).float() + x.gt(9).type_as(x), conv=conv(w))
