"""What Core ML will not like, by module path, before anything is trained."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import torch
from programs import small_model
from suite import graph_inputs
from torch import Tensor, nn
from torch.nn import functional

from instantstyle.export.capture import capture, capture_float
from instantstyle.export.program import Program
from instantstyle.export.recipe import QuantizeSettings
from instantstyle.model.errors import CaptureError
from instantstyle.model.graph import single_graph
from instantstyle.targets.base import Precision
from instantstyle.targets.coreml.target import CoreMLTarget

ALL = (Precision.FLOAT16, Precision.INT8, Precision.INT8_WEIGHTS)


class Inner(nn.Module):
    def __init__(self, mode: str) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3)
        self.mode = mode

    def forward(self, x: Tensor) -> Tensor:
        if self.mode == "bicubic":
            return functional.interpolate(self.conv(functional.pad(x, (1, 1, 1, 1))), scale_factor=1.0, mode="bicubic")
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
    return capture(single_graph(Outer(mode).eval()), (32, 48), None, {}, QuantizeSettings(method="off"))


def test_a_model_that_core_ml_likes(program: Program) -> None:
    assert CoreMLTarget().preflight(program, ALL) == ()
    assert CoreMLTarget().preflight(float_program("reflect"), ALL) == ()


def test_operator_without_a_form() -> None:
    (finding,) = CoreMLTarget().preflight(float_program("bicubic"), ALL)
    assert finding.place == "model.block.1"
    assert finding.problem == "Core ML has no form of 'aten::upsample_bicubic2d'"
    assert "other operators" in finding.remedy


def test_operator_that_the_converter_gets_wrong(tmp_path: Path) -> None:
    program = float_program("antialias")
    (finding,) = CoreMLTarget().preflight(program, ALL)
    assert finding.place == "model.block.1" and "antialiasing" in finding.problem
    with pytest.raises(CaptureError, match="no antialiasing, and the converter leaves it out"):
        CoreMLTarget().emit(program, Precision.FLOAT16, tmp_path)


@pytest.mark.parametrize("mode", ["reflect", "replicate"])
def test_reflection_in_a_package_of_several_sizes(mode: str) -> None:
    (finding,) = CoreMLTarget().configured({"more_sizes": [64]}).preflight(float_program(mode), ALL)
    assert finding.place == "model.block.1" and "several sizes" in finding.problem and "more_sizes" in finding.remedy


def test_padding_of_three_dimensions() -> None:
    (finding,) = CoreMLTarget().preflight(float_program("deep"), ALL)
    assert finding.place == "model.block.1" and "two dimensions" in finding.problem and finding.remedy == "pad with zeros"


def test_system_too_old_for_int8(program: Program) -> None:
    target = CoreMLTarget().configured({"minimum_deployment_target": "iOS16"})
    (finding,) = target.preflight(program, ALL)
    assert finding.place == "[targets.options.coreml] minimum_deployment_target"
    assert finding.problem == "int8 needs iOS17, found iOS16" and 'set it to "iOS17"' in finding.remedy
    assert target.preflight(program, (Precision.FLOAT16, Precision.INT8_WEIGHTS)) == ()


def test_only_the_converter_knows() -> None:
    """An operator that has a form, in a mode that has none: found by converting for trial."""
    (finding,) = CoreMLTarget().preflight(float_program("circular"), ALL)
    assert finding.place == "graph 'model'" and "circular" not in finding.remedy and finding.problem


def test_divergence_says_where_a_package_leaves_the_program(program: Program, tmp_path: Path) -> None:
    artifact = CoreMLTarget().emit(program, Precision.FLOAT16, tmp_path)
    inputs = graph_inputs()["stylizer"]
    rows = CoreMLTarget().divergence(artifact, tmp_path, program, "stylizer", inputs)
    assert {"adain", "bottleneck", "to_rgb"} <= {row.module_path for row in rows}
    assert len(rows) > 20 and min(row.snr_db for row in rows) > 50
    # The same package beside a program whose bottleneck alone was changed: what comes before it agrees still.
    module = small_model().graph("stylizer").module
    with torch.no_grad():
        cast(nn.Conv2d, module.bottleneck).weight.mul_(-1)
    changed = capture_float(replace(small_model().graph("stylizer"), module=module), artifact.size)
    graphs = (program.graphs[0], replace(program.graphs[1], float_program=changed))
    rows = CoreMLTarget().divergence(artifact, tmp_path, replace(program, graphs=graphs), "stylizer", inputs)
    first_bad = next(row for row in rows if row.snr_db < 20)
    assert first_bad.module_path == "bottleneck"


def test_divergence_of_int8_names_the_unit_of_a_sum(program: Program, tmp_path: Path) -> None:
    artifact = CoreMLTarget().emit(program, Precision.INT8, tmp_path)
    rows = CoreMLTarget().divergence(artifact, tmp_path, program, "stylizer", graph_inputs()["stylizer"])
    assert min(row.snr_db for row in rows) > 15
    assert all(row.unit > 0 for row in rows)
