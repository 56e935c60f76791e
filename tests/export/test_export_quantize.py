"""Prepare, calibrate, tune, convert: against NumPy in float64, and across a kill."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from instantstyle.calibration.table import CalibrationTable, CalibrationTableError
from instantstyle.capture.storage import load_program, save_program
from instantstyle.compression.quantization import qat
from instantstyle.compression.quantization.capture import capture
from instantstyle.compression.quantization.plan.plan import NO_PLAN, Plan
from instantstyle.compression.quantization.ranges import calibrate
from instantstyle.model.graph import Model, Sample, single_graph
from instantstyle.recipe.recipe import QuantizeSettings
from instantstyle.system.errors import CalibrationError, CaptureError
from instantstyle.system.progress import ReportProgress

SIZE = (12, 12)


class Convolution(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return self.conv(image)


class SmallNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 8, 3, 2, 1)
        self.body = nn.Conv2d(8, 8, 3, padding=1)
        self.up = nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        x = torch.relu(self.down(image))
        return torch.tanh(self.up(functional.interpolate(torch.relu(self.body(x)) + x, scale_factor=2.0)))


class CoarseNet(SmallNet):
    """One large weight a channel: the int8 grid of all the others is coarse, and tuning has something to mend."""

    def __init__(self) -> None:
        super().__init__()
        with torch.no_grad():
            for conv in (self.down, self.body):
                conv.weight[:, 0, 0, 0] = 8 * conv.weight.abs().max()
            self.up.weight.mul_(4)


def make_model(net: type[nn.Module]) -> Model:
    torch.manual_seed(0)
    return single_graph(net().eval())


def make_inputs(count: int) -> list[Sample]:
    generator = np.random.default_rng(0)
    return [Sample(str(i), {"image": generator.uniform(-1, 1, (1, 3, *SIZE)).astype(np.float32)}) for i in range(count)]


def make_table(model: Model, settings: QuantizeSettings, tuned: dict | None = None, plan: Plan = NO_PLAN) -> CalibrationTable:
    samples = make_inputs(4)
    return calibrate(
        model,
        samples,
        total=len(samples),
        size=SIZE,
        tuned=tuned or {},
        settings=settings,
        image_set_sha256="0" * 64,
        report=lambda *_: None,
        plan=plan,
    )


def test_int8_program_of_one_convolution_equals_integer_arithmetic() -> None:
    """Weights to -127..127 per output channel, activations per tensor, products summed exactly in float64."""
    model, settings = make_model(Convolution), QuantizeSettings(method="ptq", observer="min_max")
    table = make_table(model, settings)
    program = capture(model, SIZE, table=table, tuned={}, settings=settings).graphs[0].int8_program
    assert program is not None
    image = make_inputs(6)[5].inputs["image"]
    result = program.module()(torch.from_numpy(image)).numpy()

    conv: nn.Conv2d = model.graphs[0].module.conv  # type: ignore[assignment]
    weight, bias = conv.weight.detach().double().numpy(), conv.bias.detach().double().numpy()  # type: ignore[union-attr]
    ranges = {entry.tensor: entry.scale for entry in table.entries}
    weight_scale = (np.abs(weight).max((1, 2, 3)) / 127).astype(np.float32).astype(np.float64)[:, None, None, None]
    weight_int = np.rint(weight / weight_scale).clip(-127, 127)
    image_int = np.rint(image / ranges["input image"]).clip(-127, 127)
    padded = np.pad(image_int[0], ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    summed = np.einsum("chwij,ocij->ohw", windows, weight_int) * ranges["input image"] * weight_scale[:, :, 0] + bias[:, None, None]
    levels = np.rint(summed / ranges["conv:conv2d"]).clip(-127, 127)

    assert np.abs(result[0] / ranges["conv:conv2d"] - levels).max() < 1.001  # at most one level, where a sum lies on the edge
    assert np.mean(np.rint(result[0] / ranges["conv:conv2d"]) != levels) < 0.01


def test_float_program_is_exact_and_survives_the_disk(tmp_path: Path) -> None:
    model, settings = make_model(SmallNet), QuantizeSettings(method="ptq")
    program = capture(model, SIZE, table=make_table(model, settings), tuned={}, settings=settings)
    save_program(program, tmp_path)
    loaded = load_program(tmp_path, model).graphs[0]
    image = torch.from_numpy(make_inputs(1)[0].inputs["image"])
    with torch.no_grad():
        assert torch.equal(loaded.float_program.module()(image), model.graphs[0].module(image))
    before, after = program.graphs[0].int8_program, loaded.int8_program
    assert before is not None and after is not None
    assert torch.equal(before.module()(image), after.module()(image))
    assert (loaded.convolutions, loaded.int8_convolutions, loaded.float_islands) == (3, 3, program.graphs[0].float_islands)


def test_weights_of_the_int8_program_are_stored_as_int8() -> None:
    model, settings = make_model(SmallNet), QuantizeSettings(method="ptq")
    program = capture(model, SIZE, table=make_table(model, settings), tuned={}, settings=settings).graphs[0].int8_program
    assert program is not None
    used = {str(spec.target) for spec in program.graph_signature.input_specs if spec.target}
    frozen = [value for name, value in program.named_buffers() if name in used and value.dim() == 4]
    assert [value.dtype for value in frozen] == [torch.int8] * 3


def tune_for(
    steps: int, state: Path, report: ReportProgress = lambda *_: None, net: type[nn.Module] = SmallNet
) -> tuple[Plan, dict[str, dict[str, Tensor]]]:
    settings = QuantizeSettings(steps=steps, batch=2, crop=32, learning_rate=1e-4, observer="min_max")
    model = make_model(net)
    return qat.tune(model, model, samples=make_inputs(16), settings=settings, state_file=state, report=report)


def distance(tuned: dict[str, dict[str, Tensor]], plan: Plan = NO_PLAN) -> float:
    """Mean L1 distance of the int8 program to the float net on fresh inputs."""
    model, settings = make_model(CoarseNet), QuantizeSettings(observer="min_max")
    table = make_table(model, settings, tuned, plan)
    program = capture(model, SIZE, table=table, tuned=tuned, settings=settings, plan=plan).graphs[0].int8_program
    assert program is not None
    with torch.no_grad():
        images = [torch.from_numpy(sample.inputs["image"]) for sample in make_inputs(26)[16:]]
        return float(np.mean([(program.module()(image) - model.graphs[0].module(image)).abs().mean().item() for image in images]))


def test_tuning_brings_the_int8_program_closer_to_the_float_net(tmp_path: Path) -> None:
    plan, tuned = tune_for(150, tmp_path / "state.pt", net=CoarseNet)
    assert distance(tuned, plan) < 0.99 * distance({})
    assert distance(tuned, plan) < distance(tuned)  # the ranges that were learnt with them fit better than those that were seen


def test_a_killed_tuning_resumes_and_ends_with_the_same_weights(tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(done: int, total: int, note: str) -> None:
        if done == 45:
            raise Killed

    whole_plan, whole = tune_for(60, tmp_path / "whole.pt")
    with pytest.raises(Killed):
        tune_for(60, tmp_path / "killed.pt", kill)
    steps: list[int] = []
    plan, resumed = tune_for(60, tmp_path / "killed.pt", lambda done, *_: steps.append(done))
    assert steps[0] == 41
    assert all(torch.equal(value, resumed["model"][name]) for name, value in whole["model"].items())
    assert plan == whole_plan
    assert plan.learnt["model"].keys() == {entry.tensor for entry in make_table(make_model(SmallNet), QuantizeSettings()).entries}


def test_the_model_itself_is_never_changed(tmp_path: Path) -> None:
    model = make_model(SmallNet)
    before = {name: value.clone() for name, value in model.graphs[0].module.state_dict().items()}
    settings = QuantizeSettings(steps=5, batch=2, crop=32)
    plan, tuned = qat.tune(
        model, model, samples=make_inputs(4), settings=settings, state_file=tmp_path / "state.pt", report=lambda *_: None
    )
    capture(model, SIZE, table=make_table(model, settings, tuned, plan), tuned=tuned, settings=settings, plan=plan)
    assert all(torch.equal(value, before[name]) for name, value in model.graphs[0].module.state_dict().items())


def test_nan_in_an_activation_names_graph_and_tensor() -> None:
    model = make_model(SmallNet)
    with torch.no_grad():
        model.graphs[0].module.body.bias.fill_(float("nan"))  # type: ignore[union-attr]
    with pytest.raises(CalibrationError, match=r"graph 'model', tensor 'relu#2'|graph 'model', tensor 'relu"):
        make_table(model, QuantizeSettings())


def test_a_table_of_another_model_is_refused() -> None:
    settings = QuantizeSettings()
    with pytest.raises(CalibrationTableError, match="conv:conv2d"):
        capture(make_model(SmallNet), SIZE, table=make_table(make_model(Convolution), settings), tuned={}, settings=settings)


class Branching(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        if image.mean() > 0:
            return image
        return -image


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.code = nn.Conv2d(3, 3, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.code(image)


@pytest.mark.parametrize(
    ("net", "message"), [(Branching, r"test_export_quantize.py.*line \d+: if image.mean\(\) > 0"), (Named, "reserves the name 'code'")]
)
def test_a_model_that_cannot_be_captured_is_explained_by_its_own_line(net: type[nn.Module], message: str) -> None:
    with pytest.raises(CaptureError, match=message):
        capture(make_model(net), SIZE, table=None, tuned={}, settings=QuantizeSettings(method="off"))
