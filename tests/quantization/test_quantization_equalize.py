"""Equalised channels: the float network stays what it is, in every form that groups can have, and int8 loses less."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from instantstyle.compression.quantization.plan.channel_groups import channel_groups, divide, multiply
from instantstyle.compression.quantization.plan.equalize import equalized
from instantstyle.compression.quantization.plan.fit import Fitted, Levers, fit
from instantstyle.compression.quantization.plan.output_error import OutputError
from instantstyle.compression.quantization.quantize import PreparedGraph, load_weights, prepare, set_mode
from instantstyle.model.graph import Graph, single_graph
from instantstyle.recipe.settings import QuantizeSettings

SIZE = (16, 16)
SETTINGS = QuantizeSettings(method="ptq", observer="min_max")


class Chain(nn.Module):
    """Everything that keeps factors, a depthwise and a transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 6, 3)
        self.depthwise = nn.Conv2d(6, 6, 3, padding=1, groups=6)
        self.slopes = nn.PReLU(6)
        self.up = nn.ConvTranspose2d(6, 8, 2, 2)
        self.last = nn.Conv2d(8, 3, 1)

    def forward(self, image: Tensor) -> Tensor:
        half = functional.max_pool2d(torch.relu(self.first(image)), 2)
        inner = self.slopes(self.second(functional.pad(half, (1, 1, 1, 1), "reflect")))
        inner = functional.leaky_relu(self.depthwise(inner), 0.1)
        return torch.tanh(self.last(self.up(inner)[:, :, 1:, :]))


class Residual(nn.Module):
    """A stream that several layers add to and read."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.inner, self.outer, self.last = (
            nn.Conv2d(ins, outs, 3, padding=1) for ins, outs in ((3, 8), (8, 8), (8, 8), (8, 3))
        )

    def forward(self, image: Tensor) -> Tensor:
        stream = self.first(image)
        stream = stream + 0.2 * self.outer(torch.relu(self.inner(stream)))
        return self.last(torch.relu(stream))


class Concatenated(nn.Module):
    """Two tensors of which one is read twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 6, 3, padding=1)
        self.last = nn.Conv2d(14, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        left = torch.relu(self.first(image))
        right = torch.relu(self.second(left))
        return self.last(torch.cat([right, left], dim=1))


class Bounded(nn.Module):
    """A sigmoid, a norm, and a weight that two layers read: nothing to scale."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.twice, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        bounded = torch.sigmoid(self.first(image))
        return self.last(functional.instance_norm(self.twice(torch.relu(self.twice(bounded)))))


def made(net: type[nn.Module]) -> tuple[Graph, PreparedGraph, list[dict[str, np.ndarray]]]:
    torch.manual_seed(0)
    graph = single_graph(net().eval()).graphs[0]
    random = np.random.default_rng(0)
    samples = [{"image": random.uniform(-1, 1, (1, 3, *SIZE)).astype(np.float32)} for _ in range(4)]
    return graph, prepare(graph, SIZE, SETTINGS, samples=samples[:1]), samples


@pytest.mark.parametrize(("net", "groups"), [(Chain, 4), (Residual, 2), (Concatenated, 2), (Bounded, 0)])
def test_any_factors_leave_the_float_network_as_it_is(net: type[nn.Module], groups: int) -> None:
    graph, prepared, samples = made(net)
    set_mode(prepared, fake_quantize=False)
    found = list(channel_groups(prepared.module))
    assert len(found) == groups
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        before = {name: value.clone() for name, value in prepared.module.named_parameters()}
        for group in found:
            (count,) = {maker.meta["val"].shape[1] for maker in group.makers}
            factors = 0.2 + 3 * torch.rand(count, generator=random)
            for maker in group.makers:
                multiply(prepared.module, maker, factors)
            for reader in group.readers:
                divide(prepared.module, reader, factors)
        image = torch.from_numpy(samples[0]["image"])
        assert torch.allclose(prepared.module(image), graph.module(image), atol=2e-6)
    changed = [name for name, value in prepared.module.named_parameters() if not torch.equal(value, before[name])]
    assert bool(changed) == bool(groups)


def loud(net: nn.Module) -> None:
    """One channel of the first layer is forty times as loud as the others, and hardly listened to."""
    with torch.no_grad():
        net.first.weight[0] *= 40  # type: ignore[union-attr,operator,index]
        net.last.weight[:, -8] /= 40  # type: ignore[union-attr,operator,index]


def fitted(graph: Graph, samples: list[dict[str, np.ndarray]], levers: Levers) -> Fitted:
    return fit(graph, SIZE, samples, settings=SETTINGS, tuned={}, learnt={}, levers=levers)


def test_a_loud_channel_costs_the_others_less() -> None:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)

        def forward(self, image: Tensor) -> Tensor:
            return self.last(torch.relu(self.first(image)))

    graph, _, samples = made(Pair)
    loud(graph.module)
    plain = fitted(graph, samples, Levers())
    tensors = [(torch.from_numpy(sample["image"]),) for sample in samples]
    weights = equalized(plain.prepared, tensors)
    assert weights is not None
    better = fitted(graph, samples, Levers(weights=weights))
    errors = [OutputError(each.prepared, tensors)() for each in (plain, better)]
    assert errors[1] < errors[0] / 20
    set_mode(better.prepared, fake_quantize=False)
    with torch.no_grad():
        assert torch.allclose(better.prepared.module(*tensors[0]), graph.module(*tensors[0]), atol=1e-5)


def test_what_is_given_stays_and_what_gains_nothing_is_left() -> None:
    graph, _, samples = made(Bounded)
    given = fitted(graph, samples, Levers()).prepared
    assert equalized(given, [(torch.from_numpy(samples[0]["image"]),)]) is None
    graph, _, samples = made(Concatenated)
    loud(graph.module)
    given = fitted(graph, samples, Levers()).prepared
    before = copy.deepcopy(given.module)
    weights = equalized(given, [(torch.from_numpy(sample["image"]),) for sample in samples])
    assert weights is not None
    assert all(torch.equal(value, before.get_parameter(name)) for name, value in given.module.named_parameters())
    load_weights(given, weights)
    set_mode(given, fake_quantize=False)
    image = torch.from_numpy(samples[0]["image"])
    with torch.no_grad():
        assert torch.allclose(given.module(image), graph.module(image), atol=1e-5)
