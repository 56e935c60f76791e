"""A graph that computes something else than its module is found, and so is the place."""

import copy

import pytest
import torch
from torch import Tensor, nn

from instantstyle.capture.equality import check_same, probe_inputs
from instantstyle.capture.trace import capture_float, trace
from instantstyle.compression.quantization.quantize import convert, prepare
from instantstyle.compression.quantization.ranges import fix_ranges, rehearse
from instantstyle.model.graph import Graph, single_graph
from instantstyle.recipe.recipe import QuantizeSettings
from instantstyle.system.errors import CaptureError

SIZE = (16, 16)
SETTINGS = QuantizeSettings(method="ptq", observer="min_max")


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.relu(self.conv(x))


class Net(nn.Module):
    def __init__(self, depth: int = 3) -> None:
        super().__init__()
        self.head, self.tail = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)
        self.blocks = nn.Sequential(*(Block() for _ in range(depth)))

    def forward(self, image: Tensor) -> Tensor:
        return self.tail(self.blocks(self.head(image)))


def make_graph(net: nn.Module | None = None) -> Graph:
    torch.manual_seed(0)
    return single_graph((net or Net()).eval()).graphs[0]


def test_the_first_module_that_a_rewrite_changed_is_named() -> None:
    graph = make_graph()
    traced, inputs = trace(graph, SIZE), probe_inputs(graph, SIZE)
    check_same(graph, traced.captured, traced.normalized, inputs, "the program")
    wrong = copy.deepcopy(traced.normalized)
    with torch.no_grad():
        wrong.get_parameter("blocks.1.conv.bias").add_(0.01)
        wrong.get_parameter("blocks.2.conv.bias").add_(0.01)
    with pytest.raises(CaptureError, match=r"the program computes something else.*first in module 'blocks\.1\.conv'"):
        check_same(graph, traced.captured, wrong, inputs, "the program")


def test_random_numbers_with_a_seed_are_named() -> None:
    class Noisy(Block):
        def forward(self, x: Tensor) -> Tensor:
            torch.manual_seed(0)
            return x + 0.1 * torch.randn_like(self.conv(x))

    net = Net()
    net.blocks[1] = Noisy()
    with pytest.raises(
        CaptureError, match=r"module 'blocks\.1' draws random numbers \(randn_like\).*whatever the seed: keep them in a buffer"
    ):
        capture_float(make_graph(net), SIZE)


def test_a_hook_that_remembers_a_module_is_prepared() -> None:
    class Remembering(Net):
        """As perceptual losses take features."""

        def __init__(self) -> None:
            super().__init__(1)
            self.seen: list[Tensor] = []
            self.head.register_forward_hook(lambda module, args, output: self.seen.append(output))

        def forward(self, image: Tensor) -> Tensor:
            self.seen.clear()
            return super().forward(image) + self.seen[0][:, :3]

    graph = make_graph(Remembering())
    prepared, image = prepare(graph, SIZE, SETTINGS), torch.rand(1, 3, *SIZE)
    with torch.no_grad():
        assert torch.allclose(prepared.module(image), graph.module(image), atol=1e-5)
        for parameter in prepared.module.parameters():
            parameter.zero_()
    assert all(parameter.abs().max() > 0 for parameter in graph.module.parameters())


def test_parts_of_a_value_of_several_tensors_are_compared() -> None:
    class Split(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head, self.tail = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(4, 3, 3, padding=1)

        def forward(self, image: Tensor) -> Tensor:
            gate, value = self.head(image).chunk(2, 1)
            return self.tail(torch.sigmoid(gate) * value)

    graph = make_graph(Split())
    rehearse(prepare(graph, SIZE, SETTINGS), graph, SIZE, (), SETTINGS)


def test_the_first_module_that_was_captured_wrongly_is_named() -> None:
    class Counting(nn.Module):
        """Captured as it is in its first run, 1; later runs return something else."""

        def __init__(self) -> None:
            super().__init__()
            self.runs = 0

        def forward(self, x: Tensor) -> Tensor:
            self.runs += 1
            return x * self.runs

    net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Sequential(nn.ReLU(), Counting()))
    graph = make_graph(net)
    with pytest.raises(CaptureError, match=r"torch.export captured it differently, first in module '1\.1'"):
        prepare(graph, SIZE, SETTINGS)


def test_what_preparation_changes_is_found_before_anything_is_calibrated(monkeypatch: pytest.MonkeyPatch) -> None:
    import torchao.quantization.pt2e.quantize_pt2e as pt2e

    original = pt2e.prepare_pt2e

    def damaged(module, quantizer):
        result = original(module, quantizer)
        with torch.no_grad():
            result.get_parameter("blocks.0.conv.weight").mul_(1.01)
        return result

    monkeypatch.setattr(pt2e, "prepare_pt2e", damaged)
    with pytest.raises(CaptureError, match=r"prepared for int8 computes something else.*'blocks\.0\.conv'"):
        prepare(make_graph(), SIZE, SETTINGS)


@pytest.mark.parametrize(("levels", "passes"), [(0.4, True), (40, False)])
def test_what_conversion_changes_is_found_beyond_one_level(levels: float, passes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchao.quantization.pt2e.quantize_pt2e as pt2e

    original = pt2e.convert_pt2e

    def damaged(module):
        scales = {str(node.args[0].target): module.get_submodule(str(node.target)).scale for node in module.graph.nodes if is_weight(node)}
        with torch.no_grad():
            step = scales["blocks.1.conv.weight"].reshape(-1, 1, 1, 1)
            limit = 127 * step
            weight = module.get_parameter("blocks.1.conv.weight")
            weight.copy_((weight / step).round().mul(step).add(levels * step).clamp(-limit, limit))
        return original(module)

    monkeypatch.setattr(pt2e, "convert_pt2e", damaged)
    graph = make_graph()
    prepared = prepare(graph, SIZE, SETTINGS)
    image = probe_inputs(graph, SIZE)[0].numpy()
    fix_ranges(prepared, graph, [{"image": image}], SETTINGS)
    if passes:
        convert(prepared, graph, SIZE, [{"image": image}])
    else:
        with pytest.raises(CaptureError, match=r"something else than fake quantisation, first in module '(blocks\.1\.conv)?'"):
            convert(prepared, graph, SIZE, [{"image": image}])


def is_weight(node: torch.fx.Node) -> bool:
    return node.op == "call_module" and isinstance(node.args[0], torch.fx.Node) and node.args[0].op == "get_attr"


def test_an_honest_net_that_amplifies_rounding_passes() -> None:
    """Every layer enlarges small differences, so that folding its norms alone moves the outputs by far more than 1e-4."""

    class Chaotic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)) for _ in range(16))
            for layer in self.layers:
                nn.init.uniform_(layer[1].running_var, 0.02, 0.1)  # type: ignore[index]

        def forward(self, image: Tensor) -> Tensor:
            x = image
            for layer in self.layers:
                x = torch.sin(3 * layer(x))
            return x

    graph = make_graph(Chaotic())
    traced, inputs = trace(graph, SIZE), probe_inputs(graph, SIZE)
    with torch.no_grad():
        wanted = graph.module(*inputs)
        assert (traced.normalized(*inputs) - wanted).abs().max() > 1e-3 * wanted.abs().max()
    check_same(graph, traced.captured, traced.normalized, inputs, "the program")
