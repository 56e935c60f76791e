"""What Core ML will not like, by module path, before anything is trained."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from programs import small_model
from suite import Emitted, graph_inputs
from torch import Tensor, nn
from torch.nn import functional

from instantstyle.capture.program import Program
from instantstyle.capture.trace import capture_float
from instantstyle.compression.quantization.capture import capture
from instantstyle.model.graph import single_graph
from instantstyle.recipe.precision import Precision
from instantstyle.recipe.recipe import QuantizeSettings
from instantstyle.system.errors import CaptureError
from instantstyle.targets.coreml import interface
from instantstyle.targets.coreml.known_operators import is_known
from instantstyle.targets.coreml.target import CoreMLTarget

ALL = (Precision.FLOAT16, Precision.INT8, Precision.INT8_WEIGHTS)


class Inner(nn.Module):
    def __init__(self, mode: str) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3)
        self.mode = mode

    def forward(self, x: Tensor) -> Tensor:
        if self.mode == "logaddexp":
            return torch.logaddexp(y := self.conv(functional.pad(x, (1, 1, 1, 1))), -y)
        if self.mode == "antialias":
            return functional.interpolate(self.conv(x), scale_factor=0.5, mode="bilinear", antialias=True)
        if self.mode == "deep":
            return self.conv(functional.pad(x[:, None], (1, 1, 1, 1, 0, 0), mode="replicate")[:, 0])
        return self.conv(functional.pad(x, (1, 1, 1, 1), mode=self.mode))


class Outer(nn.Module):
    def __init__(self, mode: str) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Identity(), Inner(mode))

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.block(x))


def float_program(mode: str) -> Program:
    torch.manual_seed(0)
    return capture(single_graph(Outer(mode).eval()), (32, 48), table=None, tuned={}, settings=QuantizeSettings(method="off"))


def test_a_model_that_core_ml_likes(program: Program) -> None:
    assert CoreMLTarget().preflight(program, ALL) == ()
    assert CoreMLTarget().preflight(float_program("reflect"), ALL) == ()


def test_operator_without_a_form() -> None:
    (finding,) = CoreMLTarget().preflight(float_program("logaddexp"), ALL)
    assert finding.place == "model.block.1"
    assert finding.problem == "Core ML has no form of 'aten::logaddexp'"
    assert "other operators" in finding.remedy


def test_operator_that_the_converter_gets_wrong_at_several_sizes(tmp_path: Path) -> None:
    program, target = float_program("antialias"), CoreMLTarget().configured({"more_sizes": [64]})
    (finding,) = target.preflight(program, ALL)
    assert finding.place == "model.block.1" and "antialiasing" in finding.problem and "take more_sizes = [[64, 64]] out" in finding.remedy
    with pytest.raises(CaptureError, match="no antialiasing, and the converter leaves it out"):
        target.emit(program, Precision.FLOAT16, tmp_path)


RESIZED = {
    "bicubic, doubled": lambda x: functional.interpolate(functional.avg_pool2d(x, 2), scale_factor=2.0, mode="bicubic"),
    "bicubic, to a size": lambda x: functional.interpolate(functional.avg_pool2d(x, (4, 2)), x.shape[2:], mode="bicubic"),
    "bicubic, by 1.5": lambda x: functional.interpolate(x, scale_factor=1.5, mode="bicubic")[:, :, :32, :48],
    "bicubic, corners aligned": lambda x: functional.interpolate(x[:, :, ::2, ::2], x.shape[2:], mode="bicubic", align_corners=True),
    "bicubic, antialiased": lambda x: functional.interpolate(x, scale_factor=0.5, mode="bicubic", antialias=True).repeat(1, 1, 2, 2),
    "bilinear, antialiased": lambda x: functional.interpolate(x, (16, 24), mode="bilinear", antialias=True).repeat(1, 1, 2, 2),
    "pooled to what does not divide": lambda x: functional.interpolate(functional.adaptive_avg_pool2d(x, (7, 20)), x.shape[2:]),
    "area, enlarged": lambda x: functional.interpolate(functional.interpolate(x, scale_factor=0.5, mode="area"), x.shape[2:], mode="area"),
}


class Resized(nn.Module):
    """The sum of pictures that were resized in every way."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        return torch.tanh(self.last(sum((resize(y) for resize in RESIZED.values()), torch.zeros(()))))


@pytest.mark.slow
def test_resizing_that_core_ml_has_not_is_written_out(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Resized().eval()
    artifact = CoreMLTarget().emit(program_of(net), Precision.FLOAT16, tmp_path)
    image = (np.random.default_rng(1).integers(0, 256, (1, 3, 32, 48)) / 127.5 - 1).astype(np.float32)
    with CoreMLTarget().open(artifact, tmp_path, "model", 1) as runner, torch.no_grad():
        deviation = np.abs(runner.run({"image": image})["output"] - net(torch.from_numpy(image)).numpy()).max()
    assert deviation < 1.2 * 2 / 255  # half a level of the output image, and float16


@pytest.mark.parametrize("name", RESIZED)
def test_resizing_that_is_written_out_is_exact(name: str) -> None:
    graph = program_of(Only(RESIZED[name])).graphs[0]
    shown = interface.with_interface(graph, graph.float_program, [(32, 48)]).program
    assert not any("bicubic" in str(node.target) or "_aa" in str(node.target) for node in shown.graph.nodes if node.op == "call_function")
    image = torch.rand(1, 3, 32, 48) * 2 - 1
    levels = (graph.float_program.module()(image).clamp(-1, 1) + 1) * 127.5
    assert torch.allclose(shown.module()(image), levels, atol=1e-3)


UNKNOWN = {
    "celu": functional.celu,
    "lerp": lambda x: torch.lerp(x, x * x, 0.3),
    "lerp, a tensor": lambda x: torch.lerp(x, x * x, x.sigmoid()),
    "addcmul": lambda x: torch.addcmul(x, x, x, value=0.2),
    "log_sigmoid": functional.logsigmoid,
    "erfc": torch.erfc,
    "affine_grid": lambda x: functional.grid_sample(x, functional.affine_grid(TURN, [1, 3, 32, 48], False), "nearest", "border", False),
}
TURN = torch.tensor([[[0.9731, 0.1037, 0.0213], [-0.1037, 0.9731, -0.0317]]])


@pytest.mark.parametrize("name", UNKNOWN)
def test_operators_that_core_ml_has_not_are_put_in_terms_of_others(name: str) -> None:
    graph = program_of(Only(UNKNOWN[name])).graphs[0]
    shown = interface.with_interface(graph, graph.float_program, [(32, 48)]).program
    assert all(map(is_known, shown.graph.nodes)) and not any("affine_grid" in str(node.target) for node in shown.graph.nodes)
    image = torch.rand(1, 3, 32, 48) * 2 - 1
    levels = (graph.float_program.module()(image).clamp(-1, 1) + 1) * 127.5
    assert torch.allclose(shown.module()(image), levels, atol=1e-3)


class Only(nn.Module):
    def __init__(self, resize: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.resize = resize

    def forward(self, x: Tensor) -> Tensor:
        return self.resize(x)


@pytest.mark.parametrize("mode", ["reflect", "replicate"])
def test_reflection_in_a_package_of_several_sizes(mode: str) -> None:
    (finding,) = CoreMLTarget().configured({"more_sizes": [64]}).preflight(float_program(mode), ALL)
    assert finding.place == "model.block.1" and "several sizes" in finding.problem and "more_sizes" in finding.remedy


def test_padding_of_three_dimensions() -> None:
    (finding,) = CoreMLTarget().preflight(float_program("deep"), ALL)
    assert finding.place == "model.block.1" and "two dimensions" in finding.problem and finding.remedy == "pad with zeros"


@pytest.mark.slow
def test_system_too_old_for_int8(program: Program) -> None:
    target = CoreMLTarget().configured({"minimum_deployment_target": "iOS16"})
    (finding,) = target.preflight(program, ALL)
    assert finding.place == "[targets.options.coreml] minimum_deployment_target"
    assert finding.problem == "int8 needs iOS17, found iOS16" and 'set it to "iOS17"' in finding.remedy
    assert target.preflight(program, (Precision.FLOAT16, Precision.INT8_WEIGHTS)) == ()


def test_only_the_converter_knows() -> None:
    """An operator that has a form, in a mode that has none: found by converting for trial."""
    (finding,) = CoreMLTarget().preflight(float_program("circular"), ALL)
    assert finding.place == "model.block.1" and "circular" not in finding.remedy
    assert "no form in Core ML for iOS18" in finding.problem and finding.problem.startswith("node 'pad'")


def test_divergence_says_where_a_package_leaves_the_program(program: Program, coreml: Emitted) -> None:
    artifact, folder = coreml(Precision.FLOAT16)
    inputs = graph_inputs()["stylizer"]
    rows = CoreMLTarget().divergence(artifact, folder, program, "stylizer", inputs)
    assert {"adain", "bottleneck", "to_rgb"} <= {row.module_path for row in rows}
    assert len(rows) > 20 and min(row.snr_db for row in rows) > 50
    # The same package beside a program whose bottleneck alone was changed: what comes before it agrees still.
    module = small_model().graph("stylizer").module
    with torch.no_grad():
        cast(nn.Conv2d, module.bottleneck).weight.mul_(-1)
    changed = capture_float(replace(small_model().graph("stylizer"), module=module), artifact.size)
    graphs = (program.graphs[0], replace(program.graphs[1], float_program=changed))
    rows = CoreMLTarget().divergence(artifact, folder, replace(program, graphs=graphs), "stylizer", inputs)
    first_bad = next(row for row in rows if row.snr_db < 20)
    assert first_bad.module_path == "bottleneck"


@pytest.mark.slow
def test_divergence_of_int8_names_the_unit_of_a_sum(program: Program, coreml: Emitted) -> None:
    artifact, folder = coreml(Precision.INT8)
    rows = CoreMLTarget().divergence(artifact, folder, program, "stylizer", graph_inputs()["stylizer"])
    assert min(row.snr_db for row in rows) > 15
    assert all(row.unit > 0 for row in rows)


def program_of(net: nn.Module) -> Program:
    return capture(single_graph(net.eval()), (32, 48), table=None, tuned={}, settings=QuantizeSettings(method="off"))


def deconvolution() -> nn.Module:
    torch.manual_seed(0)
    down, up = nn.Conv2d(3, 8, 3, 2, 1), nn.ConvTranspose2d(8, 4, 4, 2, 1, groups=4)
    return nn.Sequential(down, nn.ReLU(), up, nn.Conv2d(4, 3, 3, 1, 1), nn.Tanh())


def test_operators_that_are_registered_with_their_overload() -> None:
    """``conv_transpose2d.input``, ``_native_batch_norm_legit.no_stats``: what converts is not refused."""
    assert CoreMLTarget().preflight(program_of(deconvolution()), ALL) == ()
    batch_statistics = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), nn.BatchNorm2d(8, track_running_stats=False), nn.Conv2d(8, 3, 1))
    assert CoreMLTarget().preflight(program_of(batch_statistics), ALL) == ()


@pytest.mark.slow
def test_preflight_tries_the_systems_that_emit_tries(tmp_path: Path) -> None:
    """Pixel unshuffle has a form from iOS16 on: a package for iOS15 is impossible, one for iOS16 is not."""
    program = program_of(nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(12, 12, 3, 1, 1), nn.PixelShuffle(2)))
    assert CoreMLTarget().preflight(program, (Precision.FLOAT16,)) == ()
    assert CoreMLTarget().emit(program, Precision.FLOAT16, tmp_path).notes == ("model: minimum deployment target iOS16",)
    (finding,) = CoreMLTarget().configured({"minimum_deployment_target": "iOS15"}).preflight(program, (Precision.FLOAT16,))
    assert finding.place == "model.0" and "for iOS15" in finding.problem
    # The advice is the recipe's own key and value, and only because it helps.
    assert finding.remedy == 'it converts for iOS16: raise minimum_deployment_target = "iOS15" in [targets.options.coreml]'


def test_a_newer_system_is_not_advised_where_it_does_not_help() -> None:
    (finding,) = (
        CoreMLTarget().configured({"minimum_deployment_target": "iOS15"}).preflight(float_program("circular"), (Precision.FLOAT16,))
    )
    assert "minimum_deployment_target" not in finding.remedy


def trained(norm: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), norm, nn.ReLU(), nn.Conv2d(8, 3, 3, 1, 1), nn.Tanh())
    for name, buffer in norm.named_buffers():
        if "running" in name:
            nn.init.uniform_(buffer, 0.3, 2.0)
    with torch.no_grad():
        cast(nn.Conv2d, net[3]).weight.mul_(8)
    return net


def as_exported(net: nn.Module) -> Program:
    """As ``torch.export`` leaves it, without the normal form of a captured program."""
    program = program_of(net)
    raw = torch.export.export(net.eval(), (torch.zeros(1, 3, 32, 48),), strict=False)
    return replace(program, graphs=(replace(program.graphs[0], float_program=raw),))


NORMS = {
    "batch norm without scale": lambda: nn.BatchNorm2d(8, affine=False),
    "instance norm with running statistics": lambda: nn.InstanceNorm2d(8, track_running_stats=True),
    "the same with scale": lambda: nn.InstanceNorm2d(8, affine=True, track_running_stats=True),
}


@pytest.mark.parametrize("norm", NORMS)
def test_norms_that_coremltools_gets_wrong_alone(norm: str, tmp_path: Path) -> None:
    """It ignores use_input_stats=False and folds a batch norm without scale wrongly (12 to 19 dB)."""
    net = trained(NORMS[norm]()).eval()
    artifact = CoreMLTarget().emit(as_exported(net), Precision.FLOAT16, tmp_path)
    image = (np.random.default_rng(1).integers(0, 256, (1, 3, 32, 48)) / 127.5 - 1).astype(np.float32)
    with CoreMLTarget().open(artifact, tmp_path, "model", 1) as runner, torch.no_grad():
        deviation = np.abs(runner.run({"image": image})["output"] - net(torch.from_numpy(image)).numpy()).max()
    assert deviation < 0.75 * 2 / 255  # half a level of the output image, and float16


def test_a_wrong_conversion_is_refused_by_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever coremltools gets wrong without a word: the package is compared with its program."""
    program = as_exported(trained(nn.InstanceNorm2d(8, track_running_stats=True)))
    monkeypatch.setattr(interface, "spelled_out", dict)
    (finding,) = CoreMLTarget().preflight(program, ALL)
    assert finding.place.startswith("model.") and "the converter makes something else of" in finding.problem
    with pytest.raises(CaptureError, match="the converter makes something else of .* dB from PyTorch's"):
        CoreMLTarget().emit(program, Precision.FLOAT16, tmp_path)


def test_whatever_the_converter_raises_names_the_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from coremltools.converters.mil.frontend.torch import ops

    def broken(context: object, node: object) -> None:
        raise TypeError("unsupported operand type(s) for +: 'NoneType' and 'float'")

    monkeypatch.setitem(ops._TORCH_OPS_REGISTRY.name_to_func_mapping, "conv_transpose2d.input", broken)
    with pytest.raises(
        CaptureError, match=r"model\.2: node 'conv_transpose2d': no form in Core ML for iOS18: TypeError: unsupported operand"
    ):
        CoreMLTarget().emit(program_of(deconvolution()), Precision.FLOAT16, tmp_path)
