"""Changes in place, through views and of buffers."""

import torch
from net_convolutions import conv
from net_kinds import Fn, Pick, kind
from torch import nn
from torch.nn import functional as F


def _block(name: str):
    """A function ``(x, y, m) -> result`` of the features and of a fresh convolution of them, which it may change."""

    def register(function):
        kind(f"inplace.{name}")(
            lambda w, pick: Fn(lambda m, x: m.last(function(x, m.first(x), m)), first=conv(w), last=conv(w, size=1), pick=pick)
        )
        return function

    return register


@_block("relu_read_by_others")
def _(x, y, m):
    z = m.last(y)
    y.relu_()
    return y + z


@_block("relu_before_others")
def _(x, y, m):
    """Both readers see the change."""
    z = F.relu_(y)
    return y - 0.5 * z + x


@_block("add")
def _(x, y, m):
    y += x
    return y.mul_(0.7)


@_block("add_scaled")
def _(x, y, m):
    return y.add_(x, alpha=0.5).sub_(0.1).div_(1.2)


@_block("clamped")
def _(x, y, m):
    return y.clamp_(-1, 1).neg_()


@_block("slice_of_channels")
def _(x, y, m):
    y[:, : y.shape[1] // 2] += 2 * x[:, : y.shape[1] // 2]
    y[:, -2:] *= -1.5
    return y


@_block("slice_of_pixels")
def _(x, y, m):
    y[:, :, :3] = 0
    y[..., -3:].mul_(0.5)
    y[:, :, ::2, 1::2] = x[:, :, ::2, 1::2]
    return y


@_block("chunks")
def _(x, y, m):
    left, right = y.chunk(2, 1)
    left.sigmoid_()
    right.mul_(left)
    return y


@_block("split_and_back")
def _(x, y, m):
    parts = list(torch.split(y, y.shape[1] // 4, dim=1))
    for index in range(1, 4):
        parts[index] += parts[index - 1]
    return torch.cat(parts, 1)


@_block("view")
def _(x, y, m):
    flat = y.view(y.shape[0], -1)
    flat += 0.1
    y.permute(0, 2, 3, 1)[..., 0] = 0.3
    return y


@_block("masked_fill")
def _(x, y, m):
    y.masked_fill_(x > 0.5, 0.25)
    return y


@_block("boolean_index")
def _(x, y, m):
    y[y < -0.5] = -0.5
    return y


@_block("new_tensor")
def _(x, y, m):
    """Filled part by part."""
    z = torch.empty_like(y)
    half = y.shape[1] // 2
    z[:, :half], z[:, half:] = y[:, half:], x[:, :half]
    return z


@_block("new_zeros")
def _(x, y, m):
    z = x.new_zeros(x.shape[0], x.shape[1], x.shape[2] + 2, x.shape[3] + 2)
    z[:, :, 1:-1, 1:-1] = y
    return z[:, :, 2:, 2:] + z[:, :, 1:-1, 1:-1]


@_block("interleaved")
def _(x, y, m):
    z = torch.zeros(x.shape[0], x.shape[1], x.shape[2], x.shape[3])
    z[:, 0::2] = y[:, 0::2]
    z[:, 1::2] = x[:, 1::2].abs()
    return z


@_block("copied")
def _(x, y, m):
    z = x.clone()
    z.copy_(y)
    z[:, 0].fill_(0.5)
    return z + y


@_block("indexed")
def _(x, y, m):
    order = torch.arange(y.shape[1] - 1, -1, -1)
    y[:, order[:2]] = x[:, order[2:4]]
    return y.index_select(1, order)


@_block("detached")
def _(x, y, m):
    z = y.detach()
    z += 0.5
    return y * z


@_block("own_input")
def _(x, y, m):
    """The block changes what it was given."""
    x += 0.3 * y
    return x + y


@_block("loop")
def _(x, y, m):
    for index in range(4):
        y[:, index] = y[:, index] + 0.5 * y[:, index - 1]
    return y


@_block("addcmul")
def _(x, y, m):
    return torch.addcmul(y, x, y.sigmoid(), value=0.5).lerp(x, 0.25)


@kind("inplace.sequence")
def _(w: int, pick: Pick) -> nn.Module:
    return nn.Sequential(
        nn.ReLU(inplace=True), conv(w), nn.LeakyReLU(0.2, inplace=True), nn.Dropout(0.3, inplace=True), conv(w), nn.ReLU6(inplace=True)
    )


@kind("inplace.skip_of_relu")
def _(w: int, pick: Pick) -> nn.Module:
    """pix2pix: the in-place activation of the block also changes the skip."""
    body = nn.Sequential(nn.LeakyReLU(0.2, True), conv(w), nn.BatchNorm2d(w))
    return Fn(lambda m, x: m.last(torch.cat([x, m.body(x)], 1)), body=body, last=conv(2 * w, w, 1))


@kind("inplace.kept_features")
def _(w: int, pick: Pick) -> nn.Module:
    """Features kept as an attribute, or in a list that grows."""

    def forward(m, x):
        features = []
        for layer in m.layers:
            x = layer(x)
            features.append(x)
        if m.keep:
            m.last_features = features[0]
        return features[0] + features[-1]

    return Fn(forward, layers=nn.ModuleList([conv(w), nn.ReLU(), conv(w)]), keep=pick(True, False), last_features=None)
