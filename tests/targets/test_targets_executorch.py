"""Target ``executorch``."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from kinds import kinds_program
from programs import quantized_program, smooth
from suite import Emitted, TargetSuite, assert_no_path_of_this_machine, graph_inputs, run_pytorch, snr_db
from torch import Tensor, nn
from torch.nn import functional

from instantstyle.capture.program import Program
from instantstyle.compression.quantization.capture import capture
from instantstyle.model.graph import Sample, single_graph
from instantstyle.recipe.precision import Precision
from instantstyle.recipe.settings import QuantizeSettings
from instantstyle.system.errors import ExecutionError
from instantstyle.targets.base import Target
from instantstyle.targets.executorch.target import ExecuTorchTarget

pytest.importorskip("executorch", reason="target executorch is an extra: pip install instantstyle[executorch]")
SIZE = (16, 24)


class Around(nn.Module):
    """A function between two convolutions."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.before, self.after = nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 3, 3, 1, 1)
        self.function = function

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3, H, W)."""
        return self.after(self.function(self.before(image)))


class Code(nn.Module):
    """A linear layer whose result nothing rounds: what XNNPACK has no int8 form of."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.linear = nn.Conv2d(3, 8, 3, 4, 1), nn.Linear(8 * 4 * 6, 3 * 16 * 24)

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, 16, 24) -> (N, 3, 16, 24)."""
        return torch.tanh(self.linear(functional.relu(self.conv(image)).flatten(1))).reshape(-1, 3, *SIZE)


def int8_program(module: nn.Module) -> Program:
    generator = np.random.default_rng(1)
    calibration = [Sample(f"sample {index}", {"image": smooth(generator, *SIZE)}) for index in range(4)]
    return quantized_program(single_graph(module.eval()), SIZE, calibration)


class TestExecuTorch(TargetSuite):
    precisions = (Precision.INT8, Precision.FLOAT32)
    packages = ("executorch",)
    reproducible = ("*.pte",)

    @pytest.fixture(scope="class")
    @classmethod
    def target(cls) -> Target:
        return ExecuTorchTarget()

    def test_int8_is_the_programs(self, emitted: Emitted, target: Target, program: Program) -> None:
        # A conversion that the delegate takes for a layer's own, and that then converts nothing, gave 0.5 dB.
        self.check_int8_is_the_programs(emitted, target, program)

    def test_kernels_are_those_that_a_run_recorded(self, emitted: Emitted, target: Target, precision: Precision) -> None:
        with target.open(*emitted(precision), "stylizer", threads=1) as runner:
            kernels = dict(runner.execution.kernels)
        kind = "QC8" if precision is Precision.INT8 else "F32"
        # Of six convolutions two have a window of one pixel: XNNPACK computes them as fully connected layers.
        convolutions = {name: count for name, count in kernels.items() if name.startswith(("Convolution", "Fully Connected"))}
        assert sum(convolutions.values()) == 6 + (precision is Precision.FLOAT32)
        assert all(kind in name for name in convolutions)

    def test_all_kinds_of_convolutions_run_in_int8(self, target: Target, tmp_path: Path) -> None:
        self.check_all_kinds_of_convolutions_run_in_int8(target, tmp_path)

    def test_weights_of_what_xnnpack_does_not_take_stay_int8(self, target: Target, tmp_path: Path) -> None:
        torch.manual_seed(4)
        program, image = int8_program(Code()), smooth(np.random.default_rng(2), *SIZE)
        artifact = target.emit(program, Precision.INT8, tmp_path)
        numbers = 8 * 4 * 6 * 3 * 16 * 24
        assert numbers < artifact.shipped_bytes < numbers * 1.1
        output = self.run(target, (artifact, tmp_path), "model", {"image": image})
        assert program.graphs[0].int8_program is not None
        assert snr_db(output, run_pytorch(program.graphs[0].int8_program, [image])) > 30

    def test_other_threads_wait_for_open_graphs(self, emitted: Emitted, target: Target) -> None:
        with target.open(*emitted(Precision.FLOAT32), "style_encoder", threads=1) as runner:
            with pytest.raises(ExecutionError, match=r"stylizer.*one pool of threads.*close them"):
                target.open(*emitted(Precision.FLOAT32), "stylizer", threads=2)
            runner.run(graph_inputs()["style_encoder"])
        inputs = graph_inputs()["stylizer"]
        with target.open(*emitted(Precision.FLOAT32), "stylizer", threads=2) as runner:
            two = runner.run(inputs)["stylised"]
        np.testing.assert_allclose(two, self.run(target, emitted(Precision.FLOAT32), "stylizer", inputs), atol=1e-5)

    def test_preflight_names_the_module(self, target: Target) -> None:
        def flawed(x: Tensor) -> Tensor:
            return x * torch.linalg.det(x[:, :, :8, :8] * 0.1)[..., None, None].tanh()

        program = capture(single_graph(Around(flawed).eval()), SIZE, table=None, tuned={}, settings=QuantizeSettings())
        (finding, *_) = target.preflight(program, (Precision.FLOAT32,))
        assert "ExecuTorch" in finding.problem and "det" in finding.problem
        assert target.preflight(kinds_program(), (Precision.FLOAT32,)) == ()

    def test_opening_needs_nothing_of_who_emitted(self) -> None:
        # The operators of int8 programs are torchao's, which a process that only runs artifacts has not imported.
        imports = [f"import instantstyle.targets.executorch.{name}" for name in ("lower", "runner", "preflight")]
        script = "\n".join([*imports, "import sys", "print('torchao' in sys.modules)"])
        assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "False\n"

    def test_transposed_convolutions_with_groups_are_said_to_run_in_float(self, target: Target, tmp_path: Path) -> None:
        # An axis of one group's channels: its constant's strides name another order of axes than its shape.
        up = nn.ConvTranspose2d(8, 8, 2, 2, groups=8)
        torch.manual_seed(4)
        program = int8_program(nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), up, nn.ReLU(), nn.Conv2d(8, 3, 3, 1, 1)))
        artifact = target.emit(program, Precision.INT8, tmp_path)
        assert artifact.notes == ("model: '2' in float, ExecuTorch has no int8 kernel for transposed convolutions with groups",)
        image = smooth(np.random.default_rng(9), *SIZE)
        with target.open(artifact, tmp_path, "model", threads=1) as runner:
            assert (runner.execution.convolutions, runner.execution.int8_convolutions) == (3, 2)
            assert snr_db(runner.run({"image": image})["output"], run_pytorch(program.graphs[0].float_program, [image])) > 25

    def test_files_keep_no_path_of_this_machine(self, emitted: Emitted, precision: Precision) -> None:
        assert_no_path_of_this_machine(emitted(precision)[1])
