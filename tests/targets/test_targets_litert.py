"""Target ``litert``."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from programs import quantized_program, smooth
from suite import Emitted, TargetSuite, assert_no_path_of_this_machine, run_pytorch, snr_db
from torch import Tensor, nn
from torch.nn import functional

from instantstyle.capture.program import Program
from instantstyle.compression.quantization.capture import capture
from instantstyle.model.graph import Sample, single_graph
from instantstyle.recipe.precision import Precision
from instantstyle.recipe.recipe import QuantizeSettings
from instantstyle.targets.base import Target
from instantstyle.targets.litert.target import LiteRTTarget

pytest.importorskip("ai_edge_litert", reason="target litert is an extra: pip install instantstyle[litert]")
SIZE = (16, 24)


class Layer(nn.Module):
    """A function between two convolutions."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.before, self.after = nn.Conv2d(3, 8, 3, 1, 1), nn.LazyConv2d(3, 1)
        self.function = function

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3, H, W)."""
        return functional.interpolate(self.after(self.function(self.before(image))), image.shape[2:], mode="nearest")


def made(function: Callable[[Tensor], Tensor]) -> nn.Module:
    torch.manual_seed(5)
    module = Layer(function).eval()
    module(torch.zeros(1, 3, *SIZE))
    return module


def attend(x: Tensor) -> Tensor:
    tokens = x.flatten(2)
    weights = torch.softmax(tokens.transpose(1, 2) @ tokens / 8**0.5, dim=-1)
    return (tokens @ weights.transpose(1, 2)).reshape(x.shape)


def heads(x: Tensor) -> Tensor:
    split = x.reshape(1, 2, 4, SIZE[0] * SIZE[1])
    return (split * torch.softmax(split, 2) + split.mean(dim=(2, 3), keepdim=True)).permute(0, 2, 1, 3).reshape(x.shape)


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "stride and odd padding": nn.Conv2d(8, 8, 5, 2, 1),
    "unlike padding": nn.Conv2d(8, 8, (3, 5), 1, (1, 2)),
    "padding same": nn.Conv2d(8, 8, 4, padding="same"),
    "depth multiplier": nn.Conv2d(8, 16, 3, 1, 1, groups=8),
    "transposed": nn.ConvTranspose2d(8, 6, 4, 2, 1),
    "pools": lambda x: functional.max_pool2d(functional.avg_pool2d(x, 3, 1, 1), 3, 2, 1),
    "adaptive pool": lambda x: x * functional.adaptive_avg_pool2d(x, 1),
    "shuffled": lambda x: functional.pixel_shuffle(x, 2),
    "shuffled away from a convolution": lambda x: functional.pixel_shuffle(torch.sigmoid(x) * x, 2),
    "corners": lambda x: functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True),
    "activations": lambda x: functional.silu(x) + functional.gelu(x) + functional.hardtanh(x) + functional.elu(x) - functional.relu6(-x),
    "arithmetic": lambda x: (2 - x) / (x.abs() + 0.5) + x.pow(2).mean((2, 3), keepdim=True).sqrt() - torch.rsqrt(x * x + 1),
    "variance": lambda x: (x - x.mean((2, 3), keepdim=True)) * (x.var((2, 3), keepdim=True) + 1e-3).rsqrt(),
    "norms": nn.Sequential(nn.GroupNorm(2, 8), nn.InstanceNorm2d(8, affine=True)),
    "layer norm": lambda x: functional.layer_norm(x.permute(0, 2, 3, 1), (8,)).permute(0, 3, 1, 2),
    "attention": attend,
    "heads": heads,
    "slices": lambda x: torch.cat([x[:, ::2, 1:], functional.pad(x[:, :4, 2:], (0, 0, 1, 0), value=0.5)], 1),
    # Parts of numbers that are far from equally large.
    "joined": lambda x: functional.pad(torch.cat([0.02 * torch.tanh(x), torch.sigmoid(x), 3 * x], 1), (1, 1, 1, 1)),
    "padded with more than there is": lambda x: functional.pad(0.05 * torch.tanh(x), (1, 0, 1, 0), value=1.0),
    "reflection": lambda x: functional.pad(x, (1, 2, 3, 1), mode="reflect"),
    "broadcast": lambda x: x + torch.arange(8.0)[:, None, None] * 0.1 + x.mean((2, 3)).unsqueeze(-1).unsqueeze(-1),
    "reads a picture's rows": lambda x: x + x.mean(3, keepdim=True) + x.amax(1, keepdim=True) - x.sum((1, 2, 3), keepdim=True) * 0.001,
}


class TestLiteRT(TargetSuite):
    precisions = (Precision.INT8, Precision.FLOAT32, Precision.FLOAT16)
    packages = ("ai_edge_litert", "flatbuffers")
    reproducible = ("*.tflite",)
    least_snr_db = {Precision.INT8: 25.0, Precision.FLOAT16: 55.0}

    @pytest.fixture(scope="class")
    @classmethod
    def target(cls) -> Target:
        return LiteRTTarget()

    def test_int8_is_the_programs_without_saturation(self, emitted: Emitted, target: Target, program: Program) -> None:
        # XNNPACK adds exactly on every processor: there is nothing to make allowance for.
        self.check_int8_is_the_programs(emitted, target, program)

    def test_all_kinds_of_convolutions_run_in_int8(self, target: Target, tmp_path: Path) -> None:
        self.check_all_kinds_of_convolutions_run_in_int8(target, tmp_path)

    @pytest.mark.parametrize("what", FUNCTIONS)
    def test_functions_in_float(self, target: Target, what: str, tmp_path: Path) -> None:
        program = capture(single_graph(made(FUNCTIONS[what])), SIZE, table=None, tuned={}, settings=QuantizeSettings())
        image = smooth(np.random.default_rng(4), *SIZE)
        reference = run_pytorch(program.graphs[0].float_program, [image])
        assert target.preflight(program, (Precision.FLOAT32,)) == ()
        output = self.run(target, (target.emit(program, Precision.FLOAT32, tmp_path), tmp_path), "model", {"image": image})
        # GELU's error function is LiteRT's own approximation.
        assert np.abs(output - reference).max() < (5e-4 if what == "activations" else 2e-5) * max(1.0, np.abs(reference).max())

    @pytest.mark.parametrize("what", [name for name in FUNCTIONS if name not in ("activations", "variance", "arithmetic")])
    def test_functions_in_int8(self, target: Target, what: str, tmp_path: Path) -> None:
        calibration = [Sample(f"sample {seed}", {"image": smooth(np.random.default_rng(seed), *SIZE)}) for seed in range(4)]
        program = quantized_program(single_graph(made(FUNCTIONS[what])), SIZE, calibration)
        (graph,) = program.graphs
        image = smooth(np.random.default_rng(9), *SIZE)
        reference = run_pytorch(graph.float_program, [image])
        artifact = target.emit(program, Precision.INT8, tmp_path)
        with target.open(artifact, tmp_path, "model", threads=1) as runner:
            output = runner.run({"image": image})["output"]
            assert runner.execution.int8_convolutions == graph.int8_convolutions
        assert graph.int8_program is not None
        assert snr_db(output, reference) > snr_db(run_pytorch(graph.int8_program, [image]), reference) - 0.7

    def test_sizes(self, emitted: Emitted) -> None:
        weights = 3 * 16 * 9 + 16 * 16 * 9 + 16 * 24 + 24 * 16 * 9 + 16 * 16 + 16 * 12 * 9 + 3 * 8 * 9
        files = {each: (emitted(each)[1] / "stylizer.tflite").stat().st_size for each in self.precisions}
        assert files[Precision.FLOAT32] - files[Precision.INT8] > 2.2 * weights
        assert files[Precision.FLOAT32] - files[Precision.FLOAT16] > 1.5 * weights

    def test_constants_are_aligned(self, emitted: Emitted) -> None:
        from ai_edge_litert import schema_py_generated as schema

        content = (emitted(Precision.INT8)[1] / "stylizer.tflite").read_bytes()
        model: Any = schema.Model.GetRootAs(content, 0)
        buffers = [model.Buffers(index) for index in range(model.BuffersLength())]
        starts = [buffer._tab.Vector(buffer._tab.Offset(4)) for buffer in buffers if buffer.DataLength()]
        assert len(starts) > 20 and all(start % 16 == 0 for start in starts)

    def test_pixel_shuffle_behind_a_convolution_moves_nothing(self, emitted: Emitted, target: Target, precision: Precision) -> None:
        with target.open(*emitted(precision), "stylizer", threads=1) as runner:
            assert "TRANSPOSE" not in dict(runner.execution.kernels)
            assert dict(runner.execution.kernels)["XNNPACK"] >= 1

    def test_file_says_that_pictures_have_their_channels_last(self, emitted: Emitted, precision: Precision) -> None:
        from instantstyle.targets.litert.interface import declared

        found = declared((emitted(precision)[1] / "stylizer.tflite").read_bytes())
        assert found.facts["layout"] == "NHWC"
        assert [each.shape for each in (*found.inputs, *found.outputs)] == [(1, 32, 48, 3), (1, 6), (1, 1), (1, 32, 48, 3)]

    def test_note_names_what_the_gpu_delegate_leaves(self, emitted: Emitted) -> None:
        notes = emitted(Precision.FLOAT16)[0].notes
        assert "images are (1, H, W, C)" in notes
        assert any(note.startswith("stylizer: by its documentation, the GPU delegate leaves DEPTH_TO_SPACE, DIV, MEAN") for note in notes)

    def test_preflight_names_every_module_without_a_form(self, target: Target) -> None:
        class Bessel(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                return torch.special.bessel_j0(x)

        net = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), Bessel(), nn.Conv2d(8, 3, 3, 1, 1), Bessel())
        program = capture(single_graph(net.eval()), SIZE, table=None, tuned={}, settings=QuantizeSettings())
        found = list(map(str, target.preflight(program, (Precision.FLOAT32,))))
        problem = "LiteRT has no form of 'special_bessel_j0'; write that line of the model with other operators"
        assert found == [f"model.1: {problem}", f"model.3: {problem}"]

    def test_preflight_names_the_module_of_an_unknown_mode(self, target: Target) -> None:
        net = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), nn.ReplicationPad2d(1), nn.Conv2d(8, 3, 3))
        program = capture(single_graph(net.eval()), SIZE, table=None, tuned={}, settings=QuantizeSettings())
        (finding,) = target.preflight(program, (Precision.FLOAT32,))
        assert str(finding).startswith("model.1: ") and "replicat" in str(finding)

    def test_files_keep_no_path_of_this_machine(self, emitted: Emitted, precision: Precision) -> None:
        assert_no_path_of_this_machine(emitted(precision)[1])
