"""Target ``coreai``."""

import asyncio
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from kinds import Determinant
from suite import Emitted, TargetSuite, assert_no_path_of_this_machine, graph_inputs, run_pytorch, snr_db
from torch import Tensor, nn

from instantstyle.capture.program import Program
from instantstyle.compression.quantization.capture import capture
from instantstyle.model.graph import single_graph
from instantstyle.recipe.precision import Precision
from instantstyle.recipe.recipe import QuantizeSettings
from instantstyle.system.errors import ArtifactError, CaptureError, ExecutionError
from instantstyle.targets.artifact import describe_files
from instantstyle.targets.base import Target
from instantstyle.targets.coreai.target import EVALUATOR, CoreAITarget

pytest.importorskip("coreai_torch", reason="target coreai is an extra: pip install instantstyle[coreai]")


class Powers(nn.Module):
    """Squares beyond float16, whose mean and root are within it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3, H, W)."""
        y = 1000 * self.conv(x)
        return y / torch.sqrt((y**2).mean((2, 3), keepdim=True))


class TestCoreAI(TargetSuite):
    precisions = (Precision.INT8, Precision.FLOAT16, Precision.FLOAT32)
    packages = ("coreai_torch",)
    reproducible = ("*.aimodel/*",)
    why_not_here = "no Apple device"
    least_snr_db = {Precision.INT8: 25.0, Precision.FLOAT16: 50.0}

    @pytest.fixture(scope="class")
    @classmethod
    def target(cls) -> Target:
        return CoreAITarget()

    def test_int8_is_the_programs(self, emitted: Emitted, target: Target, program: Program) -> None:
        self.check_int8_is_the_programs(emitted, target, program)

    def test_all_kinds_of_convolutions_run_in_int8(self, target: Target, tmp_path: Path) -> None:
        self.check_all_kinds_of_convolutions_run_in_int8(target, tmp_path)

    def test_the_vendors_library_alone_executes_it_and_not_as_a_pass(self, emitted: Emitted, target: Target, precision: Precision) -> None:
        with target.open(*emitted(precision), "stylizer", threads=1) as runner:
            found = runner.execution
        in_float = ", in float between the roundings of int8"
        assert found.evaluator == EVALUATOR + (in_float if precision is Precision.INT8 else "") and found.by_vendor
        assert re.fullmatch(r"Core AI [\w.]+, CPU", found.provider)
        # The profiler's names: 6 convolutions and the layer that makes AdaIN's statistics; one rounding for each of the program's grids.
        kinds = dict(found.kernels)
        assert (kinds["coreai.conv2d"], kinds["coreai.decomposable.broadcasting_batch_matmul"]) == (6, 1)
        assert kinds.get("coreai.round", 0) == (13 if precision is Precision.INT8 else 0)

    def test_an_int8_asset_keeps_its_weights_in_8_bits(self, emitted: Emitted) -> None:
        """By Core AI's own count of the numbers that are stored: those of 6 convolutions and a linear layer."""
        from coreai.authoring import AIModelAsset

        stored = str(AIModelAsset.load(emitted(Precision.INT8)[1] / "stylizer.aimodel").summary())
        weights = 16 * 3 * 9 + 16 * 16 * 9 + 24 * 16 + 48 * 6 + 16 * 24 * 9 + 16 * 16 + 12 * 16 * 9
        assert weights == 8848 and f"(Int8, {weights})" in stored

    def test_float16_squares_do_not_overflow(self, target: Target, tmp_path: Path) -> None:
        torch.manual_seed(0)
        program = capture(single_graph(Powers().eval()), (16, 16), table=None, tuned={}, settings=QuantizeSettings())
        image = np.random.default_rng(0).uniform(-1, 1, (1, 3, 16, 16)).astype(np.float32)
        reference = run_pytorch(program.graphs[0].float_program, [image])
        artifact = target.emit(program, Precision.FLOAT16, tmp_path)
        assert snr_db(self.run(target, (artifact, tmp_path), "model", {"image": image}), reference) > 50
        np.testing.assert_array_equal(run_pytorch(program.graphs[0].float_program, [image]), reference, "the program was changed")

    def test_constants_beyond_float16_are_refused(self, target: Target, tmp_path: Path) -> None:
        module = Powers().eval()
        module.conv.bias.data[1] = 70000.0  # pyright: ignore[reportOptionalMemberAccess]
        program = capture(single_graph(module), (16, 16), table=None, tuned={}, settings=QuantizeSettings())
        with pytest.raises(CaptureError, match=r"graph 'model' .*constant '.*bias' holds 7e\+04, and float16 ends at 65504"):
            target.emit(program, Precision.FLOAT16, tmp_path)
        (finding,) = target.preflight(program, (Precision.INT8, Precision.FLOAT16))
        assert "float16 ends at 65504" in finding.problem and target.preflight(program, (Precision.FLOAT32,)) == ()

    def test_it_runs_where_a_loop_runs_already(self, emitted: Emitted, target: Target) -> None:
        """As in a notebook."""

        async def paint() -> np.ndarray:
            return self.run(target, emitted(Precision.FLOAT32), "stylizer", graph_inputs()["stylizer"])

        np.testing.assert_array_equal(asyncio.run(paint()), asyncio.run(paint()))

    def test_damaged_asset_is_refused(self, emitted: Emitted, target: Target, tmp_path: Path) -> None:
        artifact, folder = emitted(Precision.FLOAT32)
        (tmp_path / "stylizer.aimodel").mkdir()
        for path in (folder / "stylizer.aimodel").iterdir():
            content = path.read_bytes()
            (tmp_path / "stylizer.aimodel" / path.name).write_bytes(content[:100] if path.suffix == ".mlirb" else content)
        altered = replace(artifact, graphs=(artifact.graphs[1],), files=describe_files(tmp_path))
        with pytest.raises(ArtifactError, match=r"Core AI .* cannot open .*stylizer\.aimodel: .*main\.mlirb is damaged"):
            target.open(altered, tmp_path, "stylizer", threads=1)

    def test_convolutions_in_float_are_named_by_their_modules(self, emitted: Emitted, target: Target) -> None:
        """Core AI keeps no names: a convolution's place says whose it is."""
        artifact, folder = emitted(Precision.FLOAT32)
        asking = replace(artifact, graphs=tuple(replace(graph, int8_convolutions=1) for graph in artifact.graphs))
        with pytest.raises(
            ExecutionError, match=r"in float are 'stem' \(node 'conv2d'\), 'inner' \(.*'skip' \(.*'to_rgb' \(node 'conv2d_5'\)"
        ):
            target.open(asking, folder, "stylizer", threads=1)

    def test_unknown_operators_are_refused_by_module(self, target: Target, tmp_path: Path) -> None:
        program = capture(single_graph(Determinant().eval()), (16, 16), table=None, tuned={}, settings=QuantizeSettings())
        (finding, *_) = target.preflight(program, (Precision.FLOAT32,))
        assert "Core AI has no form of" in finding.problem and "det" in finding.problem
        with pytest.raises(CaptureError, match=r"graph 'model' has no form in Core AI: .*det"):
            target.emit(program, Precision.FLOAT32, tmp_path)

    def test_preflight_has_nothing_against_what_can_be_emitted(self, target: Target, program: Program) -> None:
        assert target.preflight(program, target.precisions) == ()

    def test_metadata_says_whose_it_is(self, target: Target, program: Program, tmp_path: Path) -> None:
        origin = replace(program.provenance, author="A. Author", license="Apache-2.0")
        target.emit(replace(program, provenance=origin), Precision.FLOAT32, tmp_path)
        found = json.loads((tmp_path / "stylizer.aimodel" / "metadata.json").read_text("utf-8"))
        assert (found["author"], found["license"], found["description"]) == ("A. Author", "Apache-2.0", "small: stylizer")
        assert found["creatorDefinedMetadata"]["instantstyle"]["size"] == "32x48" and "creationDate" not in found

    def test_opening_needs_nothing_of_who_emitted(self) -> None:
        imports = [f"import instantstyle.targets.coreai.{name}" for name in ("lower", "runner", "preflight", "target")]
        script = "\n".join([*imports, "import sys", "print('coreai' in sys.modules)"])
        assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "False\n"

    def test_files_keep_no_path_of_this_machine(self, emitted: Emitted, precision: Precision) -> None:
        assert_no_path_of_this_machine(emitted(precision)[1])
