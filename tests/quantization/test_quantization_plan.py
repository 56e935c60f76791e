"""The plan of quantisation: each part against numbers of its own, and the whole on a net where the right plan is known."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from instantstyle.calibration.tensor_range import TensorRange
from instantstyle.capture.program import Program
from instantstyle.compression.quantization.capture import capture
from instantstyle.compression.quantization.plan.bias import correct_biases
from instantstyle.compression.quantization.plan.channels import channel_grids
from instantstyle.compression.quantization.plan.fit import Fitted, Levers, fit
from instantstyle.compression.quantization.plan.layers import candidates, time_share
from instantstyle.compression.quantization.plan.make import make_plan
from instantstyle.compression.quantization.plan.observers import choose_observers
from instantstyle.compression.quantization.plan.plan import Decision, Plan, Point
from instantstyle.compression.quantization.plan.task import Task, Wanted
from instantstyle.compression.quantization.quantize import prepare, refresh_weight_ranges, set_mode
from instantstyle.compression.quantization.ranges import calibrate, fix_ranges
from instantstyle.model.graph import Model, Sample, single_graph
from instantstyle.recipe.precision import Precision
from instantstyle.recipe.settings import QuantizeSettings
from instantstyle.targets.android.target import android_rewrites
from instantstyle.targets.onnx.runner import open_session
from instantstyle.targets.onnx.target import build

SIZE = (24, 24)
SETTINGS = QuantizeSettings(method="ptq", observer="min_max")


class UnequalChannels(nn.Module):
    """A convolution whose channels are apart by factors up to 300, each with a mean, before an instance norm."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first, self.norm, self.last = (
            nn.Conv2d(3, 16, 3, padding=1),
            nn.InstanceNorm2d(16, affine=True),
            nn.Conv2d(16, 3, 3, padding=1),
        )
        with torch.no_grad():
            spread = torch.logspace(0, -2.5, 16)
            self.first.weight.mul_(spread[:, None, None, None])
            assert self.first.bias is not None
            self.first.bias.copy_(5 * spread)

    def forward(self, image: Tensor) -> Tensor:
        return torch.tanh(self.last(torch.relu(self.norm(self.first(image)))) + 0.3)


def model_of(net: nn.Module) -> Model:
    return single_graph(net.eval())


def images(count: int, seed: int = 0) -> list[Sample]:
    generator = np.random.default_rng(seed)
    return [Sample(str(i), {"image": generator.uniform(-1, 1, (1, 3, *SIZE)).astype(np.float32)}) for i in range(count)]


def tensors(samples: list[Sample]) -> list[tuple[Tensor, ...]]:
    return [(torch.from_numpy(sample.inputs["image"]),) for sample in samples]


def fitted(model: Model, levers: Levers, settings: QuantizeSettings = SETTINGS) -> Fitted:
    return fit(model.graphs[0], SIZE, [sample.inputs for sample in images(4)], settings=settings, tuned={}, learnt={}, levers=levers)


def snr_db(model: Model, found: Fitted, seed: int = 9) -> float:
    """Of the output over samples that nothing was fitted on."""
    signal = noise = 0.0
    with torch.no_grad():
        for inputs in tensors(images(4, seed)):
            wanted = model.graphs[0].module(*inputs)
            signal += float(wanted.square().sum())
            noise += float((found.prepared.module(*inputs) - wanted).square().sum())
    return 10 * float(np.log10(signal / noise))


def test_channel_scales_change_nothing_in_float() -> None:
    model = model_of(UnequalChannels())
    generator = torch.Generator().manual_seed(0)
    factors = {name: torch.rand(2, count, generator=generator) + 0.5 for name, count in (("first.weight", 16), ("last.weight", 3))}
    prepared = prepare(model.graphs[0], SIZE, SETTINGS, factors=factors)
    plain = prepare(model.graphs[0], SIZE, SETTINGS)
    inputs = tensors(images(1))[0]
    with torch.no_grad():
        wanted = model.graphs[0].module(*inputs)
        assert (prepared.module(*inputs) - wanted).abs().max() < 1e-5
    own, before = dict(prepared.module.named_parameters()), dict(plain.module.named_parameters())
    for name, factor in factors.items():
        torch.testing.assert_close(own[name], before[name] * factor[0][:, None, None, None])
        bias = name.replace("weight", "bias")
        torch.testing.assert_close(own[bias], (before[bias] - factor[1]) * factor[0])
    assert list(prepared.activations) == list(plain.activations)


def test_a_weight_that_is_not_there_has_no_factors() -> None:
    with pytest.raises(KeyError, match="third"):
        prepare(model_of(UnequalChannels()).graphs[0], SIZE, SETTINGS, factors={"third.weight": torch.ones(2, 16)})


def test_grids_by_channel_fill_the_grid_of_every_channel() -> None:
    """The quietest of 16 channels has 1/300 of the grid without them, less than one level; the output gains 10 dB at least."""
    model = model_of(UnequalChannels())
    grids = channel_grids(prepare(model.graphs[0], SIZE, SETTINGS), tensors(images(4)))
    assert list(grids) == ["first.weight", "last.weight"]
    assert (grids["first.weight"].normalised, grids["last.weight"].normalised) == (True, False)
    assert grids["first.weight"].factors[0].max() / grids["first.weight"].factors[0].min() == pytest.approx(10**2.5, rel=0.5)
    plain, better = fitted(model, Levers()), fitted(model, Levers(grids=True))
    assert snr_db(model, better) > snr_db(model, plain) + 10


def test_grids_are_for_what_float_operators_read() -> None:
    class Chain(UnequalChannels):
        def forward(self, image: Tensor) -> Tensor:
            return self.last(self.first(image))

    prepared = prepare(model_of(Chain()).graphs[0], SIZE, SETTINGS)
    assert list(channel_grids(prepared, tensors(images(2)))) == ["last.weight"]


def test_onnx_has_scales_and_zero_points_by_channel_and_computes_the_same() -> None:
    model, samples = model_of(UnequalChannels()), images(4)
    found = fitted(model, Levers(grids=True))
    plan = Plan(factors={"model": found.factors}, limits={"model": found.limits})
    name = model.graphs[0].name
    plan = replace(plan, factors={name: found.factors}, limits={name: found.limits})
    weights = {name: found.weights}
    table = calibrate(
        model,
        samples,
        total=4,
        size=SIZE,
        tuned=weights,
        settings=SETTINGS,
        image_set_sha256="0" * 64,
        report=lambda *_: None,
        plan=plan,
    )
    assert {entry.tensor: entry.observer for entry in table.entries if entry.observer != "min_max"} == dict.fromkeys(
        found.limits, "channels"
    )
    graph = capture(model, SIZE, table=table, tuned=weights, settings=SETTINGS, samples=samples[:1], plan=plan).graphs[0]
    assert graph.int8_convolutions == 2
    assert graph.int8_program is not None
    onnx_model, asked, _ = build(Program("model", SIZE, (graph,)), graph, Precision.INT8, android_rewrites(graph))
    assert asked == 2
    constants = {each.name: onnx.numpy_helper.to_array(each) for each in onnx_model.graph.initializer}
    grids = [node for node in onnx_model.graph.node if node.op_type == "DequantizeLinear"]
    # Before the norm, zero points are the first pixel's.
    assert [constants[node.input[1]].size for node in grids if node.input[2] not in constants] == [16]
    by_channel = [node for node in grids if node.input[2] in constants and constants[node.input[2]].dtype == np.uint8]
    assert max(constants[node.input[1]].size for node in by_channel) == 3
    joined = [node for node in onnx_model.graph.node if node.op_type in ("Mul", "Add")]
    # The module's own + 0.3, which is a number and not a vector.
    assert [constants[name].size for node in joined for name in node.input if name in constants] == [1]
    zero_points = next(constants[node.input[2]] for node in by_channel if constants[node.input[1]].size == 3)
    assert len(set(zero_points.tolist())) > 1
    image = samples[0].inputs["image"]
    output = open_session(onnx_model.SerializeToString(), 1).run(None, {"image": image})[0]
    with torch.no_grad():
        exact = model.graphs[0].module(torch.from_numpy(image)).numpy()
        program = graph.int8_program.module()(torch.from_numpy(image)).numpy()
    # Its tensor after the ReLU has twice the levels of the program's.
    assert np.abs(output - exact).mean() < np.abs(program - exact).mean() < 0.01


def test_biases_take_out_the_mean_error_of_each_channel() -> None:
    torch.manual_seed(2)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 3, 3))
    model, settings = model_of(net), SETTINGS.model_copy(update={"observer": "percentile", "percentile": 90.0})
    prepared = prepare(model.graphs[0], SIZE, settings)
    samples = images(4)
    fix_ranges(prepared, model.graphs[0], [sample.inputs for sample in samples], settings)

    def mean_error() -> float:
        with torch.no_grad():
            errors = [prepared.module(*each) - net(*each) for each in tensors(samples)]
        return float(torch.cat(errors).mean((0, 2, 3)).abs().max())

    set_mode(prepared, fake_quantize=True)
    refresh_weight_ranges(prepared)
    before = mean_error()
    weights = {name: value.clone() for name, value in prepared.module.named_parameters() if "weight" in name}
    correct_biases(prepared, tensors(samples))
    # What the last grid does after the correction is left: it clips a tenth of the values.
    assert mean_error() < 0.4 * before
    for name, value in weights.items():
        assert torch.equal(prepared.module.get_parameter(name), value)


def test_an_observer_that_ignores_an_outlier_is_chosen_for_its_tensor_alone() -> None:
    class Outlier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(3)
            self.first, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)
            with torch.no_grad():
                assert self.first.bias is not None
                self.first.bias[0] = 300.0  # of a channel that nothing reads
                self.last.weight[:, 0] = 0

        def forward(self, image: Tensor) -> Tensor:
            return self.last(torch.relu(self.first(image)))

    model = model_of(Outlier())
    found = fitted(model, Levers())
    low = {
        tensor: TensorRange.of(entry.graph, tensor, (entry.minimum, entry.maximum / 64), "mse") for tensor, entry in found.ranges.items()
    }
    chosen = choose_observers(found.prepared, found.ranges, [low], tensors(images(2)))
    assert chosen == {":relu": "mse"} or list(chosen) == [next(name for name in found.ranges if "relu" in name)]
    scales = {name: float(fake.scale) for name, fake in found.prepared.activations.items()}  # type: ignore[arg-type]
    assert scales == pytest.approx({name: each.scale / (2 if each.minimum == 0 else 1) for name, each in found.ranges.items()})


def test_a_grid_is_as_wide_as_the_function_behind_it_can_tell() -> None:
    """Of a clamp to [-1, 1] behind values up to 30, what lies beyond is not represented: 1 of 30 levels would be left."""

    class Clamped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(4)
            self.conv = nn.Conv2d(3, 3, 1)
            with torch.no_grad():
                self.conv.weight.mul_(2.5)

        def forward(self, image: Tensor) -> Tensor:
            return self.conv(image).clamp(-1, 1)

    model = model_of(Clamped())
    grid = channel_grids(prepare(model.graphs[0], SIZE, SETTINGS), tensors(images(4)))["conv.weight"]
    with torch.no_grad():
        widest = torch.cat([model.graphs[0].module.conv(*each) for each in tensors(images(4))]).abs().amax((0, 2, 3))  # type: ignore[operator]
    ends = grid.middle.abs() + grid.half_range
    assert (ends[widest > 2] < 0.8 * widest[widest > 2]).all()
    assert (ends > 1).all()


def test_time_of_a_layer_in_float_follows_its_products() -> None:
    """3x3 of 3 to 16 and of 16 to 3 channels at one size: as many products, but kernels compute 16 channels for 3."""
    prepared = prepare(model_of(UnequalChannels()).graphs[0], SIZE, SETTINGS)
    found = {each.pattern: each for each in candidates("g", prepared, hot=True)}
    assert list(found) == ["first", "last"]
    assert found["last"].time_share == pytest.approx(16 / 3 * found["first"].time_share)
    assert 0 < time_share(prepared, []) < 1
    assert time_share(prepared, list(found.values())) == pytest.approx(1)
    assert {each.time_share for each in candidates("g", prepared, hot=False)} == {0.0}


def planned(wanted: Wanted, known: dict[str, tuple[float, float]] | None = None, settings: QuantizeSettings = SETTINGS) -> Plan:
    model = model_of(UnequalChannels())
    samples = images(6)
    task = Task(model, model, SIZE, samples[:4], samples[4:], SIZE, samples[:4], {}, {}, settings, wanted)
    plan, weights = make_plan(task, {} if known is None else known, lambda: None, lambda *_: None)
    assert set(weights) == {model.graphs[0].name}
    return plan


def test_a_plan_takes_what_helps_and_says_what_it_gained() -> None:
    known: dict[str, tuple[float, float]] = {}
    plan = planned(Wanted(), known)
    grids = next(each for each in plan.decisions if each.choice == "a grid for each channel")
    assert grids.taken
    assert grids.ssim_mean > 0.01
    assert set(next(iter(plan.factors.values()))) == {"first.weight", "last.weight"}
    gained = sum(each.ssim_mean for each in plan.decisions if each.taken and each.choice != "float")
    first = known["as the recipe says"][0]
    assert plan.points[1].ssim_mean == pytest.approx(first + gained)
    assert [point.taken for point in plan.points] == [False] * (len(plan.points) - 1) + [True]


def test_limits_of_the_picture_leave_layers_in_float_until_they_are_kept() -> None:
    free = planned(Wanted())
    best = free.points[-1].ssim_mean
    strict = planned(Wanted(ssim_mean=1.0))
    assert set(strict.keep_float) > set(free.keep_float)
    assert strict.points[-1].ssim_mean > best
    assert strict.points[-1].kept_float == strict.keep_float
    assert len([name for name in strict.keep_float if name.endswith(("first", "last"))]) < 2  # something is left to quantise


def test_a_limit_of_time_is_kept_before_one_of_the_picture() -> None:
    plan = planned(Wanted(ssim_mean=1.0, time_share=1e-3))
    assert not plan.keep_float
    assert not any(each.taken for each in plan.decisions if each.choice == "float")
    assert any(each.choice == "float" for each in plan.decisions)


def test_plans_are_equal_and_an_interrupted_one_measures_nothing_twice() -> None:
    known: dict[str, tuple[float, float]] = {}
    first = planned(Wanted(), known)
    measured = copy.deepcopy(known)
    second = planned(Wanted(), known)
    assert known == measured
    assert (second.decisions, second.points, second.keep_float, second.observers) == (
        first.decisions, first.points, first.keep_float, first.observers,
    )  # fmt: skip
    for one, other in zip(first.factors.values(), second.factors.values(), strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_plan_survives_the_disk(tmp_path: Path) -> None:
    plan = Plan(
        keep_float=("g.up.conv", "g.:add"),
        factors={"g": {"up.conv.weight": torch.rand(2, 4)}},
        limits={"g": {"up.conv:conv2d": 1.5}},
        observers={"g": {"input x": "mse"}},
        decisions=(Decision("g", "float", True, 0.0009, 0.0011, 0.03),),
        points=(Point((), 0.99, 0.98, 0.4, 1000, True),),
    )
    plan.save(tmp_path)
    loaded = Plan.load(tmp_path)
    assert torch.equal(loaded.factors["g"]["up.conv.weight"], plan.factors["g"]["up.conv.weight"])
    assert replace(loaded, factors={}) == replace(plan, factors={})
    assert json.loads((tmp_path / "plan.json").read_text())["keep_float"] == ["g.up.conv", "g.:add"]
    assert Plan.load(None) == Plan() == Plan.load(tmp_path / "nowhere")
    assert plan.applied(SETTINGS.model_copy(update={"keep_float": ("own",)})).keep_float == ("own", "g.up.conv", "g.:add")
    assert plan.fixed(TensorRange.of("g", "up.conv:conv2d", (-9.0, 9.0), "mse")).maximum == 1.5
