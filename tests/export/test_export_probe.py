"""What is found out about a model before anything is done with it, and what the person is told."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from instantstyle.capture.trace import capture_float
from instantstyle.export.source.photo_probe import examine
from instantstyle.export.source.probe import as_model
from instantstyle.export.source.usable import usable
from instantstyle.model.graph import Arrays, Graph, Model, Run, Sample, TensorSpec
from instantstyle.model.pixels import encode
from instantstyle.recipe.settings import InputSettings, OutputSettings
from instantstyle.system.errors import RecipeError

SIZE = (32, 48)


class Net(nn.Module):
    """A convolution and whatever ``act`` does with it."""

    def __init__(self, act: Callable[["Net", Tensor], object], channels: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.last = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(channels, channels, 3, padding=1))
        self.act = act

    def forward(self, image: Tensor) -> object:
        return self.act(self, image)


def photos(model: Model, count: int = 2) -> list[Sample]:
    """Pictures with dark and bright places, as the model's first input takes them."""
    spec = model.sample_inputs[0]
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    waves = [np.stack([np.sin((rows + 3 * c + 5 * n) / 6) * np.cos(columns / 9) for c in range(spec.channels)]) for n in range(count)]
    return [Sample(f"photo{n}", {spec.name: encode(spec, wave[None].astype(np.float32))}) for n, wave in enumerate(waves)]


def look(act: Callable[[Net, Tensor], object], taken: Mapping = {}, given: Mapping = {}) -> tuple[str, ...]:
    model = as_model(usable(Net(act)), "net", (SIZE,), InputSettings(**taken), OutputSettings(**given))
    return examine(model, photos(model), SIZE, bare=True)


COUNTER = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (
            lambda net, x: net.first(x) + functional.dropout(x),
            r"(?s)two runs.*in the model's own forward, operation 'bernoulli_'\n  at .*functional\.dropout",
        ),
        (
            lambda net, x: x + 0.1 * torch.randn_like(x),
            r"(?s)two runs.*operation 'randn_like'\n  at .*test_export_probe\.py:\d+: .*randn_like",
        ),
        (lambda net, x: x * float(COUNTER.uniform(0.5, 1)), r"two runs.*operation 'mul'"),
        (
            lambda net, x: x.double() * 0.5,
            r"(?s)is float64, artifacts want float32: in the model's own forward.*end its forward with \.float",
        ),
        (lambda net, x: x * torch.ones(3, 1, 1, dtype=torch.float64), r"(?s)is float64.*operation 'mul'\n  at .*float64"),
        (lambda net, x: ((x + 1) * 127.5).byte(), r"(?s)is uint8.*before it is rounded"),
        (lambda net, x: net.first(x) + torch.log(x - 2), r"(?s)has NaN on 'photo0', which first appears: .*operation 'log'"),
        (lambda net, x: net.first(x) + (x * 0).reciprocal().abs(), r"(?s)has infinity on 'photo0'.*operation 'reciprocal'"),
        (lambda net, x: 0 * net.first(x), r"goes from 0 to 0 .*declared as -1 to 1, RGB, of which that is 0.00%"),
    ],
)
def test_what_cannot_be_exported_is_refused_with_its_place(act: Callable[[Net, Tensor], object], told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        look(act)


class Inner(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(x, 0.5)


def test_the_submodule_that_draws_is_named() -> None:
    net = Net(lambda net, x: torch.tanh(net.last(net.first(x))))
    net.last.add_module("noisy", Inner())
    model = as_model(usable(net), "net", (SIZE,))
    with pytest.raises(RecipeError, match=r"in module 'last\.noisy', operation 'bernoulli_'\n  at .*functional\.dropout"):
        examine(model, photos(model), SIZE, bare=True)


def test_dropout_as_a_module_is_no_fault() -> None:
    assert look(lambda net, x: torch.tanh(2 * x + net.last(net.first(x)))) == ()


@pytest.mark.parametrize(
    ("scale", "shift", "lines"),
    [
        (255.0, 0.0, "[model.input]\n    range = [0, 1]\n    [model.output]\n    range = [0, 255]"),
        (1.0, 0.0, None),
    ],
)
def test_a_net_of_0_to_1_that_gives_levels(scale: float, shift: float, lines: str | None) -> None:
    def act(net: Net, x: Tensor) -> Tensor:
        return x * scale + shift

    if lines is None:
        assert look(act, {"range": (0, 1)}, {"range": (0, 1)}) == ()
        return
    with pytest.raises(RecipeError) as error:
        look(act)
    assert lines in str(error.value)


def test_a_net_of_0_to_255_is_told_both_lines() -> None:
    def act(net: Net, x: Tensor) -> Tensor:
        return x + 40 * functional.instance_norm(net.first(x)) * 0.5

    with pytest.raises(RecipeError) as error:
        look(act)
    assert "goes from -" in str(error.value) and "is declared as -1 to 1, RGB, so that much of it would be cut off" in str(error.value)
    assert "[model.input]\n    range = [0, 255]\n    [model.output]\n    range = [0, 255]" in str(error.value)
    assert "inside of model = { … }: input = { range = [0, 255] }, output = { range = [0, 255] }" in str(error.value)
    assert look(act, {"range": (0, 255)}, {"range": (0, 255)}) == ()


def test_a_net_that_overshoots_a_little_is_left_alone() -> None:
    assert look(lambda net, x: x * 1.15) == ()


def test_an_image_that_is_never_below_0_is_noticed() -> None:
    (notice,) = look(lambda net, x: (x + 1) / 2)
    assert "declared as -1 to 1, RGB, but goes from 0" in notice and "[model.output] range = [0, 1]" in notice


def test_a_model_of_several_graphs_is_told_to_declare_it() -> None:
    image = TensorSpec("image")
    graph = Graph("a", Net(lambda net, x: 100 * x).eval(), (image,), (TensorSpec("levels"),))

    def scenario(runs: Mapping[str, Run], sample: Arrays) -> np.ndarray:
        return runs["a"]({"image": sample["image"]})["levels"]

    model = Model("m", (graph,), scenario, (image,), "a")
    with pytest.raises(RecipeError, match=r"(?s)output 'levels' of graph 'a' goes from -9.*TensorSpec\('levels', minimum=0, maximum=255\)"):
        examine(replace(model), photos(model), SIZE, bare=False)


class Pair(NamedTuple):
    mask: Tensor
    picture: Tensor


@pytest.mark.parametrize(
    ("act", "key"),
    [
        (lambda net, x: (x[:, :1], net.first(x)), 1),
        (lambda net, x: [x[:, :1], net.first(x)], -1),
        (lambda net, x: {"mask": x[:, :1], "out": net.first(x)}, "out"),
        (lambda net, x: Pair(x[:, :1], net.first(x)), "picture"),
    ],
)
def test_one_element_is_selected_and_nothing_is_renamed(act: Callable[[Net, Tensor], object], key: int | str) -> None:
    net = Net(act)
    names, x = list(net.state_dict()), torch.rand(1, 3, *SIZE)
    wanted = net.first(x)
    model = as_model(usable(net), "net", (SIZE,), given=OutputSettings(select=key))
    graph = model.graphs[0]
    assert list(graph.module.state_dict()) == names and graph.module is net
    program = capture_float(graph, SIZE)
    torch.testing.assert_close(program.module()(x), wanted)
    assert {"first.weight", "first.bias"} <= set(program.state_dict) <= set(names)
    # Asked for once more, it is not selected twice.
    again = as_model(net, "net", (SIZE,), given=OutputSettings(select=key))
    torch.testing.assert_close(again.graphs[0].module(x), wanted)


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("b", r"select: found 'b', but the model returns a dict with 'a': \(1, 3, 32, 48\)"),
        (3, r"select: found 3, but the model returns a dict"),
        (None, r"it returns a dict with 'a': .*\[model.output\] select"),
    ],
)
def test_a_wrong_selection_says_what_there_is(key: int | str | None, told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        look(lambda net, x: {"a": net.first(x)}, given={"select": key})


@pytest.mark.parametrize("channels", [1, 4])
def test_another_number_of_channels_is_named_and_works(channels: int) -> None:
    net = usable(Net(lambda net, x: torch.tanh(net.first(x)), channels))
    with pytest.raises(RecipeError, match=rf"(?s)fails on an RGB image.*\[model\.input\] channels = {channels}"):
        as_model(net, "net", (SIZE,))
    model = as_model(net, "net", (SIZE,), InputSettings(channels=channels), OutputSettings(channels=channels))  # type: ignore[arg-type]
    assert [spec.channels for spec in (*model.sample_inputs, *model.graphs[0].outputs)] == [channels] * 2
    with pytest.raises(RecipeError, match=f"model.output.channels: found 3, but the model returns an image of {channels} channels"):
        as_model(net, "net", (SIZE,), InputSettings(channels=channels), OutputSettings(channels=3))  # type: ignore[arg-type]


def test_a_wrong_mean_names_its_key() -> None:
    with pytest.raises(RecipeError, match=r"^model\.input: mean has 1 numbers, the image 3 channels"):
        look(lambda net, x: x, {"mean": (0.5,)})


def test_weights_become_float32_on_the_cpu_in_eval_mode() -> None:
    for kind in (torch.float64, torch.float16, torch.bfloat16):
        net = usable(Net(lambda net, x: net.last(net.first(x))).to(kind).train())
        assert {tensor.dtype for tensor in net.state_dict().values()} == {torch.float32} and not net.training


def wrapped() -> Sequence[tuple[nn.Module, str]]:
    plain = nn.Sequential(nn.Conv2d(3, 3, 1))
    scripted = torch.jit.script(plain)
    with torch.device("meta"):
        nowhere = nn.Sequential(nn.Conv2d(3, 3, 1))
    exported = torch.export.export(plain.eval(), (torch.rand(1, 3, 8, 8),)).module()
    return (
        (scripted, r"model.factory returned TorchScript .*module.load_state_dict\(torch.jit.load"),
        (nn.Sequential(nn.ReLU(), scripted), "submodule '1' is TorchScript"),
        (nowhere, "'0.weight' is on the device 'meta'"),
        (exported, "an exported program"),
    )


@pytest.mark.parametrize("index", range(4))
def test_what_has_no_python_forward_or_no_weights_is_refused(index: int) -> None:
    module, told = wrapped()[index]
    with pytest.raises(RecipeError, match=told):
        usable(module)


def test_what_only_hands_on_is_taken_off() -> None:
    net = nn.Sequential(nn.Conv2d(3, 3, 1))
    assert usable(nn.DataParallel(net)) is net
    assert usable(torch.compile(net)) is net  # type: ignore[arg-type]
