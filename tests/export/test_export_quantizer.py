"""Which tensors become int8, on small nets where the answer is known by hand."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from instantstyle.compression.quantization.quantize import PreparedGraph, convert, prepare
from instantstyle.compression.quantization.ranges import fix_ranges
from instantstyle.model.adain import AdaIN
from instantstyle.model.graph import single_graph
from instantstyle.recipe.recipe import QuantizeSettings
from instantstyle.system.errors import CaptureError

SIZE = (16, 16)


def prepared(module: nn.Module, **settings: object) -> PreparedGraph:
    return prepare(single_graph(module).graphs[0], SIZE, QuantizeSettings(**settings))  # type: ignore[arg-type]


class Residual(nn.Module):
    """conv-BN-ReLU, pooling, resizing, residual addition, AdaIN with a constant code, tanh."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.body = nn.Conv2d(8, 8, 3, padding=1)
        self.adain = AdaIN(8, 4)
        self.head = nn.Conv2d(8, 3, 3, padding=1)
        self.ones = nn.Buffer(torch.ones(1, 4))

    def forward(self, image: Tensor) -> Tensor:
        x = functional.max_pool2d(torch.relu(self.norm(self.stem(image))), 2)
        x = torch.relu(self.body(x) + x)
        x = self.adain(x, self.ones, self.ones[:, :1])
        return torch.tanh(self.head(functional.interpolate(x, scale_factor=2.0)))


def test_rules_on_a_residual_net_with_adain() -> None:
    graph = prepared(Residual().eval())
    assert (graph.convolutions, graph.int8_convolutions) == (3, 3)
    assert list(graph.activations) == [
        "input image",
        "relu",  # the stem's, with batch norm and ReLU folded in; pooling passes its scale on
        "body:conv2d",
        "relu#2",  # the residual sum, which AdaIN reads
        "adain:add",  # AdaIN's result; resizing passes its scale on
        "head:conv2d",
    ]
    islands = {island.module_path: island.operators for island in graph.islands}
    assert {"mean", "sqrt", "div", "mul"} <= set(islands["adain"])
    assert "tanh" in islands[""]
    assert not {"conv2d", "linear"} & {name for operators in islands.values() for name in operators}


def test_adain_statistics_are_never_quantised() -> None:
    names = prepared(Residual().eval()).activations
    assert not [
        name for name in names if name.startswith("adain") and name.split(":")[1].split("#")[0] in {"mean", "sqrt", "div", "mul", "sub"}
    ]


def test_style_affine_keeps_int8_weights_but_a_float_output() -> None:
    graph = prepared(Residual().eval())
    assert "adain.affine.weight" in graph.weights
    assert "adain.affine:linear" not in graph.activations


def test_keep_float_takes_a_module_out() -> None:
    graph = prepared(Residual().eval(), keep_float=("body",))
    assert (graph.convolutions, graph.int8_convolutions) == (3, 2)
    reasons = {island.module_path: island.reason for island in graph.islands}
    assert reasons["body"] == "kept by the recipe"


def test_a_net_with_nothing_to_quantise_is_refused() -> None:
    with pytest.raises(CaptureError, match=r"no convolution or linear layer"):
        prepared(nn.Tanh())


def test_batch_norm_is_folded_exactly() -> None:
    torch.manual_seed(0)
    net = Residual().eval()
    with torch.no_grad():
        nn.init.normal_(net.norm.running_mean)  # type: ignore[arg-type]
        nn.init.uniform_(net.norm.running_var, 0.5, 2)  # type: ignore[arg-type]
        nn.init.uniform_(net.norm.weight, 0.5, 2)
    graph = prepared(net)
    deviation = (net.norm.running_var + net.norm.eps).sqrt()  # type: ignore[operator]
    expected = net.stem.weight * (net.norm.weight / deviation)[:, None, None, None]
    torch.testing.assert_close(graph.module.get_parameter("stem.weight"), expected, rtol=1e-5, atol=1e-6)


class Tied(nn.Module):
    """There by a convolution and back by a transposed one of the same weight, whose output channels are its other axis."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        with torch.no_grad():
            self.conv.weight.mul_(torch.tensor([0.1, 1, 3, 9]).view(4, 1, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        return functional.conv_transpose2d(torch.relu(self.conv(image)), self.conv.weight, padding=1)


def test_a_weight_that_two_kinds_of_convolutions_read_has_the_scales_of_both() -> None:
    net, image = Tied().eval(), torch.rand(1, 3, *SIZE)
    graph = single_graph(net).graphs[0]
    made = prepared(net)
    fix_ranges(made, graph, [{"image": image.numpy()}], QuantizeSettings())
    scales = {len(fake.scale): fake.scale for fake in made.weights["conv.weight"]}  # type: ignore[arg-type]
    torch.testing.assert_close(scales[4], net.conv.weight.detach().abs().amax((1, 2, 3)) / 127)
    torch.testing.assert_close(scales[3], net.conv.weight.detach().abs().amax((0, 2, 3)) / 127)
    program = convert(made, graph, SIZE).module()
    with torch.no_grad():
        torch.testing.assert_close(program(image), made.module(image))


class Warped(nn.Module):
    """Moves pixels to places that it learns: a grid of whole numbers is concatenated and added to a flow."""

    def __init__(self) -> None:
        super().__init__()
        self.flow = nn.Conv2d(3, 2, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        rows, columns = torch.arange(16).view(1, 1, -1, 1).repeat(1, 1, 1, 16), torch.arange(16).view(1, 1, 1, -1).repeat(1, 1, 16, 1)
        places = torch.cat((columns, rows), 1).float() + self.flow(image)
        return functional.grid_sample(image, places.permute(0, 2, 3, 1) / 7.5 - 1, align_corners=True)


class Windows(nn.Module):
    """Windows of 4x4, put together again before a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 3, 1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.first(image).view(1, 8, 4, 4, 4, 4).permute(0, 2, 4, 3, 5, 1).reshape(16, 16, 8).softmax(1)
        x = x.view(1, 4, 4, 4, 4, 8).permute(0, 5, 1, 3, 2, 4)
        return self.last(x.reshape(1, 8, 16, 16))


def test_whole_numbers_are_not_quantised() -> None:
    graph = prepared(Warped().eval())
    assert (graph.convolutions, graph.int8_convolutions) == (1, 1)
    assert not any(name.startswith(("cat", "repeat")) for name in graph.activations)


def test_tensors_of_six_dimensions_are_not_quantised() -> None:
    graph = prepared(Windows().eval())
    assert graph.int8_convolutions == 2
    ranks = {node.args[0].meta["val"].dim() for node in graph.module.graph.nodes if str(node.target).startswith("activation_post_process")}
    assert max(ranks) == 4


class Curve(nn.Module):
    """A curve of the photo itself, whose strength the layers choose, twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        strength = torch.tanh(self.head(torch.relu(self.conv(image))))
        for _ in range(2):
            image = image + strength * (image**2 - image)
        return image


def test_what_only_the_picture_is_made_of_is_not_rounded_on_the_way() -> None:
    assert list(prepared(Curve().eval()).activations) == ["input image", "relu", "head:conv2d"]


class Gates(nn.Module):
    """SiLU, the halves of a gate, squeeze and excite, and a style that scales channels."""

    def __init__(self, style: bool = False) -> None:
        super().__init__()
        self.stem, self.body, self.tail = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 3, 1)
        self.squeeze, self.style = nn.Conv2d(4, 4, 1), nn.Linear(4, 4) if style else None
        self.ones = nn.Buffer(torch.ones(1, 4))

    def forward(self, image: Tensor) -> Tensor:
        left, right = functional.silu(self.stem(image)).chunk(2, dim=1)
        x = functional.gelu(self.body(left * right))
        gate = functional.hardsigmoid(self.squeeze(functional.adaptive_avg_pool2d(x, 1)))
        x = x * (gate if self.style is None else self.style(self.ones).reshape(1, 4, 1, 1))
        return self.tail(x)


def test_gates_are_on_grids_from_end_to_end() -> None:
    graph = prepared(Gates().eval())
    assert list(graph.activations) == [
        "input image",
        "stem:conv2d",
        "silu",  # slices pass its scale on
        "mul",
        "body:conv2d",
        "gelu",
        "squeeze:conv2d",
        "hardsigmoid",
        "mul#2",
        "tail:conv2d",
    ]
    assert graph.islands == ()


def test_a_style_that_scales_channels_stays_in_float() -> None:
    graph = prepared(Gates(style=True).eval())
    assert "mul#2" in graph.activations  # what the next layer reads
    assert not [name for name in graph.activations if name.startswith(("style", "reshape"))]
    assert [island.operators for island in graph.islands if island.module_path == ""] == [("gelu", "mul")]
