"""Attention and gates."""

import math

import torch
from net_convolutions import conv
from net_kinds import Fn, Pick, kind, parameter
from torch import nn
from torch.nn import functional as F


@kind("attention.squeeze")
def _(w: int, pick: Pick) -> nn.Module:
    gate = nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Conv2d(w, w // 2, 1), nn.ReLU(True), nn.Conv2d(w // 2, w, 1), pick(nn.Sigmoid(), nn.Hardsigmoid())
    )
    return Fn(lambda m, x: (y := m.conv(x)) * m.gate(y), conv=conv(w), gate=gate)


@kind("attention.squeeze_linear")
def _(w: int, pick: Pick) -> nn.Module:
    gate = nn.Sequential(nn.Linear(w, w // 2), nn.ReLU(), nn.Linear(w // 2, w), nn.Sigmoid())

    def forward(m, x):
        n, c, _, _ = x.size()
        return x * m.gate(F.adaptive_avg_pool2d(x, 1).view(n, c)).view(n, c, 1, 1).expand_as(x)

    return nn.Sequential(conv(w), Fn(forward, gate=gate))


@kind("attention.efficient_channel")
def _(w: int, pick: Pick) -> nn.Module:
    """ECA."""

    def forward(m, x):
        y = m.conv(x.mean((2, 3), keepdim=True).squeeze(-1).transpose(-1, -2))
        return x * torch.sigmoid(y.transpose(-1, -2).unsqueeze(-1))

    return nn.Sequential(conv(w), Fn(forward, conv=nn.Conv1d(1, 1, 3, padding=1, bias=False)))


@kind("attention.spatial")
def _(w: int, pick: Pick) -> nn.Module:
    """CBAM: mean and maximum over channels."""

    def forward(m, x):
        maps = torch.cat([x.mean(1, keepdim=True), torch.max(x, 1, keepdim=True)[0]], 1)
        return x * torch.sigmoid(m.conv(maps))

    return nn.Sequential(conv(w), Fn(forward, conv=conv(2, 1, 7, bias=False)))


@kind("attention.pixel")
def _(w: int, pick: Pick) -> nn.Module:
    return Fn(lambda m, x: m.conv(x) * m.map(x).sigmoid(), conv=conv(w), map=conv(w, size=1))


@kind("attention.contrast")
def _(w: int, pick: Pick) -> nn.Module:
    """Standard deviation plus mean of a channel (IMDN)."""

    def forward(m, x):
        mean = x.sum(3, keepdim=True).sum(2, keepdim=True) / (x.size(2) * x.size(3))
        deviation = ((x - mean).pow(2).sum(3, keepdim=True).sum(2, keepdim=True) / (x.size(2) * x.size(3))).pow(0.5)
        return x * torch.sigmoid(m.gate(deviation + mean))

    return Fn(forward, gate=conv(w, size=1))


@kind("attention.coordinate")
def _(w: int, pick: Pick) -> nn.Module:
    def forward(m, x):
        h, width = x.shape[2:]
        rows, columns = x.mean(3, keepdim=True), x.mean(2, keepdim=True).permute(0, 1, 3, 2)
        both = F.hardswish(m.norm(m.first(torch.cat([rows, columns], 2))))
        rows, columns = torch.split(both, [h, width], dim=2)
        return x * m.rows(rows).sigmoid() * m.columns(columns.permute(0, 1, 3, 2)).sigmoid()

    return Fn(forward, first=conv(w, size=1), norm=nn.BatchNorm2d(w), rows=conv(w, size=1), columns=conv(w, size=1))


@kind("attention.selective")
def _(w: int, pick: Pick) -> nn.Module:
    """Two branches weighed by a softmax."""

    def forward(m, x):
        branches = torch.stack([m.small(x), m.large(x)], 1)
        weights = m.squeeze(branches.sum(1).mean((2, 3))).view(x.shape[0], 2, w, 1, 1).softmax(1)
        return (branches * weights).sum(1)

    return Fn(forward, small=conv(w), large=conv(w, size=5), squeeze=nn.Linear(w, 2 * w))


@kind("attention.non_local")
def _(w: int, pick: Pick) -> nn.Module:
    """Over a pooled map, by batched matrix products."""

    def forward(m, x):
        small = F.adaptive_avg_pool2d(x, 8)
        q, k, v = (part(small).flatten(2) for part in (m.q, m.k, m.v))
        weights = torch.softmax(torch.bmm(q.transpose(1, 2), k) / math.sqrt(w // 2), -1)
        mixed = torch.bmm(v, weights.transpose(1, 2)).view_as(small)
        return x + m.scale * F.interpolate(mixed, size=x.shape[2:], mode="bilinear", align_corners=False)

    return Fn(forward, q=conv(w, w // 2, 1), k=conv(w, w // 2, 1), v=conv(w, size=1), scale=parameter(1, around=1))


@kind("attention.transposed")
def _(w: int, pick: Pick) -> nn.Module:
    """Between channels, with a temperature (Restormer)."""

    def forward(m, x):
        n, c, h, width = x.shape
        q, k, v = (part.reshape(n, 2, c // 2, h * width) for part in m.deep(m.qkv(x)).chunk(3, dim=1))
        weights = ((F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)) * m.temperature).softmax(-1)
        return x + m.project((weights @ v).reshape(n, c, h, width))

    deep = conv(3 * w, groups=3 * w, bias=False)
    return Fn(forward, qkv=conv(w, 3 * w, 1, bias=False), deep=deep, project=conv(w, size=1), temperature=parameter(2, 1, 1, around=2))


@kind("attention.window")
def _(w: int, pick: Pick) -> nn.Module:
    """Windows of 8x8, shifted, with relative positions and a mask (Swin)."""
    shift = pick(0, 4)

    def forward(m, x):
        n, c, h, width = x.shape
        y = torch.roll(x, (-shift, -shift), (2, 3)) if shift else x
        y = y.view(n, c, h // 8, 8, width // 8, 8).permute(0, 2, 4, 3, 5, 1).reshape(-1, 64, c)
        q, k, v = m.qkv(m.norm(y)).reshape(-1, 64, 3, 2, c // 2).permute(2, 0, 3, 1, 4).unbind(0)
        scores = (q * (c // 2) ** -0.5) @ k.transpose(-2, -1) + m.bias[m.index.view(-1)].view(64, 64, 2).permute(2, 0, 1).unsqueeze(0)
        y = y + m.project((scores.softmax(-1) @ v).transpose(1, 2).reshape(-1, 64, c))
        y = y.view(n, h // 8, width // 8, 8, 8, c).permute(0, 5, 1, 3, 2, 4).reshape(n, c, h, width)
        return torch.roll(y, (shift, shift), (2, 3)) if shift else y

    grid = torch.stack(torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij")).flatten(1)
    near = (grid[:, :, None] - grid[:, None, :] + 7).permute(1, 2, 0)
    index = near[..., 0] * 15 + near[..., 1]
    return Fn(
        forward, norm=nn.LayerNorm(w), qkv=nn.Linear(w, 3 * w), project=nn.Linear(w, w), bias=parameter(225, 2, spread=0.1), index=index
    )


@kind("attention.scaled_dot_product")
def _(w: int, pick: Pick) -> nn.Module:
    def forward(m, x):
        small = F.avg_pool2d(x, 4)
        q, k, v = m.qkv(small.flatten(2).transpose(1, 2)).view(x.shape[0], -1, 3, 2, w // 2).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape[0], -1, w).transpose(1, 2).reshape(small.shape)
        return x + F.interpolate(y, scale_factor=4.0)

    return Fn(forward, qkv=nn.Linear(w, 3 * w))


@kind("attention.multihead")
def _(w: int, pick: Pick) -> nn.Module:
    """ViT-like: patches, positions, torch's own attention and encoder layer."""
    layer = pick(lambda: nn.MultiheadAttention(w, 2, batch_first=True), lambda: nn.TransformerEncoderLayer(w, 2, 2 * w, batch_first=True))()

    def forward(m, x):
        y = m.patches(x)
        tokens = y.flatten(2).transpose(1, 2)
        tokens = m.layer(tokens, tokens, tokens, need_weights=False)[0] if isinstance(m.layer, nn.MultiheadAttention) else m.layer(tokens)
        return x + F.interpolate(tokens.transpose(1, 2).reshape(y.shape), scale_factor=4.0, mode="bilinear")

    return Fn(forward, patches=nn.Conv2d(w, w, 4, 4), layer=layer)


@kind("attention.linear")
def _(w: int, pick: Pick) -> nn.Module:
    """Kernelised, einsum."""

    def forward(m, x):
        q, k, v = (part.flatten(2) for part in m.qkv(x).chunk(3, 1))
        q, k = F.elu(q) + 1, k.softmax(-1)
        return x + m.project(torch.einsum("bcd,bcn->bdn", torch.einsum("bcn,bdn->bcd", k, v), q).view_as(x))

    return Fn(forward, qkv=conv(w, 3 * w, 1), project=conv(w, size=1))


@kind("attention.learnt_queries")
def _(w: int, pick: Pick) -> nn.Module:
    """A few memory slots."""
    forward = lambda m, x: x + torch.einsum("bkhw,kc->bchw", torch.einsum("bchw,kc->bkhw", x, m.slots).softmax(1), m.slots)  # noqa: E731
    return nn.Sequential(conv(w), Fn(forward, slots=parameter(8, w, spread=0.5)))


@kind("attention.style_vector")
def _(w: int, pick: Pick) -> nn.Module:
    """FiLM from an embedding of a constant class."""

    def forward(m, x):
        gamma, beta = m.film(m.embedding(m.label)).chunk(2, dim=-1)
        return m.conv(x) * (1 + gamma[:, :, None, None]) + beta[:, :, None, None]

    return Fn(forward, conv=conv(w), embedding=nn.Embedding(4, 8), film=nn.Linear(8, 2 * w), label=torch.tensor([2]))


@kind("attention.curve")
def _(w: int, pick: Pick) -> nn.Module:
    """x + a (x^2 - x), several times (Zero-DCE)."""

    def forward(m, x):
        y = torch.sigmoid(x)
        for a in torch.split(torch.tanh(m.conv(x)), w, dim=1):
            y = y + a * (torch.pow(y, 2) - y)
        return y

    return Fn(forward, conv=conv(w, 4 * w))
