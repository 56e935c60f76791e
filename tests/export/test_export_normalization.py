"""The normal form computes what the module does, and its int8 program loses nothing but what rounding explains."""

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.fx import Node
from torch.nn import functional

from instantstyle.capture.normalization.fold_batch_norm import BATCH_NORM
from instantstyle.capture.normalization.nodes import mutates
from instantstyle.capture.trace import trace
from instantstyle.compression.quantization import qat
from instantstyle.compression.quantization.capture import capture
from instantstyle.compression.quantization.quantize import prepare
from instantstyle.compression.quantization.ranges import calibrate
from instantstyle.model.graph import Sample, single_graph
from instantstyle.recipe.recipe import QuantizeSettings
from instantstyle.system.errors import CaptureError

SIZE = (16, 16)
SETTINGS = QuantizeSettings(method="ptq", observer="min_max")


class Net(nn.Module):
    """Any parts, and what to do with them."""

    def __init__(self, forward: Callable[[nn.ModuleDict, Tensor], Tensor], **parts: nn.Module) -> None:
        super().__init__()
        self.parts, self.compute = nn.ModuleDict(parts), forward

    def forward(self, image: Tensor) -> Tensor:
        return self.compute(self.parts, image)


def batch_norm(width: int) -> nn.BatchNorm2d:
    """One whose statistics and weights are far from 0 and 1."""
    norm = nn.BatchNorm2d(width)
    with torch.no_grad():
        nn.init.normal_(norm.running_mean, std=0.3)  # type: ignore[arg-type]
        nn.init.uniform_(norm.running_var, 0.2, 2)  # type: ignore[arg-type]
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, std=0.3)
    return norm


def conv(inputs: int, outputs: int, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)


def preactivation() -> nn.Module:
    """The head's output goes through a norm and, untouched, along a skip."""

    def forward(p: nn.ModuleDict, image: Tensor) -> Tensor:
        x = p["head"](image)
        return p["tail"](x + p["body"](torch.relu(p["norm"](x))))

    return Net(forward, head=conv(3, 8), norm=batch_norm(8), body=conv(8, 8), tail=conv(8, 3))


def looped(bias: bool = False) -> nn.Module:
    """One convolution and one norm, three passes."""

    def forward(p: nn.ModuleDict, image: Tensor) -> Tensor:
        x = y = torch.relu(p["head"](image))
        for _ in range(3):
            y = x + torch.relu(p["norm"](p["body"](y)))
        return p["tail"](y)

    return Net(forward, head=conv(3, 8), norm=batch_norm(8), body=conv(8, 8, bias), tail=conv(8, 3))


def norm_for_each_use() -> nn.Module:
    """One convolution, a norm for each of its uses."""

    def forward(p: nn.ModuleDict, image: Tensor) -> Tensor:
        x = torch.relu(p["head"](image))
        return p["tail"](torch.relu(p["first"](p["shared"](x))) + torch.relu(p["second"](p["shared"](2 * x - 0.5))))

    return Net(forward, head=conv(3, 8), shared=conv(8, 8, False), first=batch_norm(8), second=batch_norm(8), tail=conv(8, 3))


def transposed_groups() -> nn.Module:
    def forward(p: nn.ModuleDict, image: Tensor) -> Tensor:
        return p["tail"](torch.relu(p["norm"](p["up"](p["head"](image)))))

    up = nn.ConvTranspose2d(8, 12, 2, 2, groups=4, bias=False)
    return Net(forward, head=nn.Conv2d(3, 8, 3, 2, 1), up=up, norm=batch_norm(12), tail=conv(12, 3))


def vectors() -> nn.Module:
    """A linear layer and a norm of vectors, as in a channel attention."""

    def forward(p: nn.ModuleDict, image: Tensor) -> Tensor:
        x = p["head"](image)
        return p["tail"](x * torch.sigmoid(p["norm"](p["linear"](x.mean((2, 3)))))[:, :, None, None])

    norm = nn.BatchNorm1d(8)
    nn.init.normal_(norm.running_mean, std=0.3)  # type: ignore[arg-type]
    return Net(forward, head=conv(3, 8), linear=nn.Linear(8, 8), norm=norm, tail=conv(8, 3))


class TestTimeNorm(nn.BatchNorm2d):
    """Statistics of the batch at hand, whatever the mode."""

    __test__ = False

    def forward(self, input: Tensor) -> Tensor:
        return functional.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, True, 0.0, self.eps)


def batch_statistics(norm: nn.Module) -> nn.Module:
    def forward(p: nn.ModuleDict, image: Tensor) -> Tensor:
        return p["tail"](torch.relu(p["norm"](p["head"](image))))

    return Net(forward, head=conv(3, 8), norm=norm, tail=conv(8, 3))


def instance_running() -> nn.Module:
    norm = nn.InstanceNorm2d(8, affine=True, track_running_stats=True)
    nn.init.normal_(norm.running_mean, std=0.3)  # type: ignore[arg-type]
    nn.init.uniform_(norm.running_var, 0.2, 2)  # type: ignore[arg-type]
    return batch_statistics(norm)


def slices() -> nn.Module:
    """Changes in place through views."""

    def forward(p: nn.ModuleDict, image: Tensor) -> Tensor:
        x = p["head"](image)
        x[:, :4] = x[:, :4] + 2 * torch.relu(x[:, 4:])
        x[:, -2:] *= -1.5
        y = p["body"](x).relu_()
        y[:, :, :3] = 0
        y += x
        out = image.clone()
        out[:, 1:] += p["tail"](y)[:, 1:]
        return out.clamp_(-1, 1)

    return Net(forward, head=conv(3, 8), body=conv(8, 8), tail=conv(8, 3))


def filled_later() -> nn.Module:
    """Memory without a value, every part of which is written before it is read."""

    def forward(p: nn.ModuleDict, image: Tensor) -> Tensor:
        x = p["head"](image)
        y = torch.empty_like(x)
        y[:, ::2], y[:, 1::2] = torch.sigmoid(x[:, ::2]), x[:, 1::2]
        return p["tail"](y)

    return Net(forward, head=conv(3, 8), tail=conv(8, 3))


def dropout() -> nn.Module:
    def forward(p: nn.ModuleDict, image: Tensor) -> Tensor:
        return p["tail"](p["drop2d"](p["drop"](torch.relu(p["head"](image)))))

    return Net(forward, head=conv(3, 8), drop=nn.Dropout(0.5), drop2d=nn.Dropout2d(0.5), tail=conv(8, 3))


class ScaledConv(nn.Conv2d):
    """Equalised learning rate and weight standardisation: the weight is computed in every forward."""

    def forward(self, input: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return functional.conv2d(input, weight / (weight.std((1, 2, 3), keepdim=True) + 1e-4) * 0.1, self.bias, padding=1)


def computed_weights() -> nn.Module:
    def forward(p: nn.ModuleDict, image: Tensor) -> Tensor:
        return p["tail"](torch.relu(p["norm"](p["head"](image))))

    return Net(forward, head=ScaledConv(3, 8, 3), norm=batch_norm(8), tail=ScaledConv(8, 3, 3))


def twice() -> nn.Module:
    """Equal calls on equal values, which every runtime merges."""

    def forward(p: nn.ModuleDict, image: Tensor) -> Tensor:
        x = p["head"](image)
        return p["tail"](p["body"](torch.relu(x)) + torch.sigmoid(p["body"](torch.relu(x))))

    return Net(forward, head=conv(3, 8), body=conv(8, 8), tail=conv(8, 3))


# Each net with its number of convolutions: one a call, equal calls once.
NETS = {
    "preactivation": (preactivation, 3),
    "looped without bias": (looped, 5),
    "looped with bias": (lambda: looped(True), 5),
    "norm for each use": (norm_for_each_use, 4),
    "transposed with groups": (transposed_groups, 3),
    "vectors": (vectors, 2),
    "no running statistics": (lambda: batch_statistics(nn.BatchNorm2d(8, track_running_stats=False)), 2),
    "training mode": (lambda: batch_statistics(TestTimeNorm(8)), 2),
    "instance norm with running statistics": (instance_running, 2),
    "changes through views": (slices, 3),
    "memory filled later": (filled_later, 2),
    "dropout": (dropout, 2),
    "computed weights": (computed_weights, 2),
    "equal calls": (twice, 3),
}


def make(name: str) -> nn.Module:
    torch.manual_seed(0)
    return NETS[name][0]().eval()


def images(count: int) -> list[Tensor]:
    """Smooth pictures in [-1, 1]."""
    coarse = torch.rand(count, 3, 5, 5, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return list(functional.interpolate(coarse, SIZE, mode="bicubic").clamp(-1, 1).split(1))


@pytest.mark.parametrize("name", NETS)
def test_programs_compute_what_the_module_does(name: str) -> None:
    net, count = make(name), NETS[name][1]
    model = single_graph(net)
    samples = [Sample(str(index), {"image": image.numpy()}) for index, image in enumerate(images(4))]
    table = calibrate(
        model, samples, total=len(samples), size=SIZE, tuned={}, settings=SETTINGS, image_set_sha256="0" * 64, report=lambda *_: None
    )
    program = capture(model, SIZE, table=table, tuned={}, settings=SETTINGS, samples=samples[:1]).graphs[0]
    assert (program.convolutions, program.int8_convolutions) == (count, count)
    assert program.int8_program is not None
    for image in images(4):
        with torch.no_grad():
            wanted = net(image.clone())
            torch.testing.assert_close(program.float_program.module()(image), wanted, rtol=1e-5, atol=1e-5)
            lost = program.int8_program.module()(image) - wanted
        # Quantisation itself costs these nets 27 dB at the least; a lost change or a wrong fold leaves less than 15.
        assert 20 * np.log10(wanted.std().item() / lost.std().item()) > 25, name


@pytest.mark.parametrize("name", NETS)
def test_the_normal_form_has_one_way_to_say_each_thing(name: str) -> None:
    traced = trace(single_graph(make(name)).graphs[0], SIZE)
    nodes: list[Node] = list(traced.normalized.graph.nodes)
    assert not [node for node in nodes if node.target is BATCH_NORM or mutates(node) or re.search("dropout|empty", str(node.target))]
    weights = [node.args[1] for node in nodes if "conv" in str(node.target)]
    assert all(isinstance(weight, Node) and weight.op == "get_attr" for weight in weights)
    read = {str(node.target) for node in nodes if node.op == "get_attr"}
    assert {key for key, _ in (*traced.normalized.named_parameters(), *traced.normalized.named_buffers())} == read


def test_a_transposed_convolution_with_groups_is_folded_by_output_channel() -> None:
    """Against float64: channel 3 g + j of the output comes from slice j of group g."""
    net = make("transposed with groups")
    parts = net.parts
    assert isinstance(parts, nn.ModuleDict)
    up, norm = parts["up"], parts["norm"]
    assert isinstance(up, nn.ConvTranspose2d) and isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None and norm.running_var is not None
    folded = trace(single_graph(net).graphs[0], SIZE).normalized
    scale = (norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()).detach().numpy()
    expected = up.weight.detach().double().numpy().copy()
    for group in range(4):
        for j in range(3):
            expected[2 * group : 2 * group + 2, j] *= scale[3 * group + j]
    np.testing.assert_allclose(folded.get_parameter("parts.up.weight").detach().numpy(), expected, rtol=1e-6)
    shift = norm.bias.detach().double().numpy() - norm.running_mean.double().numpy() * scale
    np.testing.assert_allclose(folded.get_parameter("parts.up.bias").detach().numpy(), shift, rtol=1e-5, atol=1e-7)


def test_the_model_keeps_its_own_weights() -> None:
    net = make("looped with bias")
    before = {name: value.clone() for name, value in net.state_dict().items()}
    trace(single_graph(net).graphs[0], SIZE)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_equal_modules_keep_their_path_in_every_pass() -> None:
    graph = prepare(single_graph(make("looped without bias")).graphs[0], SIZE, QuantizeSettings(keep_float=("parts.body",)))
    assert (graph.convolutions, graph.int8_convolutions) == (5, 2)


def test_folded_weights_are_trained_together_through_all_their_uses(tmp_path) -> None:
    net = make("looped without bias")
    model = single_graph(net)
    samples = [Sample(str(index), {"image": image.numpy()}) for index, image in enumerate(images(4))]
    settings = QuantizeSettings(steps=3, batch=2, crop=32, learning_rate=1e-3)
    _, every = qat.tune(model, model, samples=samples, settings=settings, state_file=tmp_path / "state.pt", report=lambda *_: None)
    tuned = every["model"]
    folded = trace(model.graphs[0], SIZE).normalized
    assert set(tuned) == {
        "parts.head.weight",
        "parts.head.bias",
        "parts.body.weight",
        "parts.body.bias",
        "parts.tail.weight",
        "parts.tail.bias",
    }
    assert all(not torch.equal(value, folded.get_parameter(name)) for name, value in tuned.items())


def test_batch_statistics_are_each_sample_s_own_also_in_a_batch() -> None:
    """What tuning sees in a batch of two is what an artifact computes of each."""
    net = make("no running statistics")
    graph = prepare(single_graph(net).graphs[0], SIZE, SETTINGS, batch=2)
    first, second, *_ = images(4)
    with torch.no_grad():
        torch.testing.assert_close(graph.module(torch.cat((first, second))), torch.cat((net(first), net(second))), rtol=1e-5, atol=1e-5)


def test_vectors_without_statistics_of_their_own_are_refused_by_path() -> None:
    class Vectors(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head, self.gate = conv(3, 8), nn.BatchNorm1d(8, track_running_stats=False)

        def forward(self, image: Tensor) -> Tensor:
            x = self.head(image)
            return x * self.gate(x.mean((2, 3)))[:, :, None, None]

    with pytest.raises(CaptureError, match="'gate' normalises vectors by the statistics of their batch"):
        trace(single_graph(Vectors().eval()).graphs[0], SIZE, batch=2)


def test_dropout_that_stays_random_is_refused_by_path() -> None:
    class Random(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = Net(lambda p, x: functional.dropout(p["conv"](x), 0.5, True), conv=conv(3, 3))

        def forward(self, image: Tensor) -> Tensor:
            return self.block(image)

    with pytest.raises(CaptureError, match="'block' drops values at random in eval mode"):
        trace(single_graph(Random().eval()).graphs[0], SIZE)


def parts_of(module: nn.Module) -> list[str]:
    """Operators of the normal form."""
    return [str(node.target) for node in trace(single_graph(module).graphs[0], SIZE).normalized.graph.nodes if node.op == "call_function"]


def test_a_split_of_channels_becomes_slices_and_other_splits_stay() -> None:
    def channels(p: nn.ModuleDict, image: Tensor) -> Tensor:
        first, _, last = torch.split(p["head"](image), [1, 2, 3], dim=1)
        return first + last

    def rows(p: nn.ModuleDict, image: Tensor) -> Tensor:
        top, bottom = p["head"](image).chunk(2, dim=2)
        return torch.cat([bottom, top], dim=2)

    torch.manual_seed(0)
    net = Net(channels, head=conv(3, 6)).eval()
    graph, image = single_graph(net).graphs[0], torch.rand(1, 3, *SIZE)
    assert parts_of(net) == ["aten.conv2d.default", "aten.slice.Tensor", "aten.slice.Tensor", "aten.add.Tensor"]
    torch.testing.assert_close(trace(graph, SIZE).normalized(image), net(image))
    assert "aten.slice.Tensor" not in parts_of(Net(rows, head=conv(3, 3)).eval())


@pytest.mark.parametrize("layer", [conv(3, 4), nn.ConvTranspose2d(3, 4, 3, padding=1), conv(3, 4, bias=False)])
@pytest.mark.parametrize("shape", [(1, 4, 1, 1), (4, 1, 1), (1,), ()])
def test_a_learnt_scale_is_part_of_the_convolution_before_it(layer: nn.Module, shape: tuple[int, ...]) -> None:
    net = Net(lambda p, image: image[:, :1] + p["head"](image) * p["head"].scale, head=layer).eval()
    net.parts["head"].scale = nn.Parameter(0.5 + torch.rand(shape))  # pyright: ignore[reportAttributeAccessIssue]
    before = layer.weight.clone()  # type: ignore[operator]
    image = torch.rand(1, 3, *SIZE)
    normalized = trace(single_graph(net).graphs[0], SIZE).normalized
    assert not [node for node in normalized.graph.nodes if "mul" in str(node.target)]
    torch.testing.assert_close(normalized(image), net(image))
    assert torch.equal(before, layer.weight)  # type: ignore[arg-type]


def test_a_scale_stays_where_the_convolution_has_another_reader() -> None:
    net = Net(lambda p, image: (y := p["head"](image)) * p["head"].scale + y, head=conv(3, 3)).eval()
    net.parts["head"].scale = nn.Parameter(torch.tensor(0.3))  # pyright: ignore[reportAttributeAccessIssue]
    assert "aten.mul.Tensor" in parts_of(net)
