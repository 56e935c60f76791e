"""What every target must do. Subclasses say which target, in which precisions, and what it needs."""

import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from kinds import CONVOLUTIONS, kinds_input, kinds_program
from programs import CODE, SIZE, SmallStylizer, samples
from torch.export import ExportedProgram

import instantstyle.targets
from instantstyle.capture.program import Program
from instantstyle.model.graph import Arrays, TensorKind, TensorSpec
from instantstyle.recipe.precision import Precision
from instantstyle.system.errors import ArtifactError, ExecutionError, TargetUnavailableError
from instantstyle.targets.artifact import read_manifest, verify, write_manifest
from instantstyle.targets.base import Artifact, GraphArtifact, Target
from instantstyle.targets.onnx.exporter import forget_exports

Manifest = Callable[[Artifact], Artifact]
Emitted = Callable[[Precision], tuple[Artifact, Path]]
GRAPHS = ("style_encoder", "stylizer")


def of_graph(change: Callable[[GraphArtifact], GraphArtifact]) -> Manifest:
    """Another manifest of the stylizer."""
    return lambda artifact: replace(artifact, graphs=(artifact.graphs[0], change(artifact.graphs[1])))


def of_input(index: int, **changes: Any) -> Manifest:
    """Another declaration of an input of the stylizer: photo, code, alpha."""

    def change(graph: GraphArtifact) -> GraphArtifact:
        inputs = list(graph.inputs)
        inputs[index] = replace(inputs[index], **changes)
        return replace(graph, inputs=tuple(inputs))

    return of_graph(change)


def of_output(**changes: Any) -> Manifest:
    """Another declaration of its output."""
    return of_graph(lambda graph: replace(graph, outputs=(replace(graph.outputs[0], **changes),)))


def of_origin(**changes: Any) -> Manifest:
    """Another origin of the program."""
    return lambda artifact: replace(artifact, provenance=replace(artifact.provenance, **changes))


# Manifests that do not fit the files, and what is said of that.
INTERFACES: dict[str, tuple[Manifest, str]] = {
    "an input renamed": (of_input(0, name="picture"), "no input 'picture'.*photo, code, alpha"),
    "inputs in another order": (
        of_graph(lambda graph: replace(graph, inputs=(graph.inputs[1], graph.inputs[0], graph.inputs[2]))),
        "inputs are in the order photo, code, alpha.*code, photo, alpha",
    ),
    "an input more than declared": (of_graph(lambda graph: replace(graph, inputs=graph.inputs[:2])), "has the input 'alpha'"),
    "an input less than declared": (
        of_graph(lambda graph: replace(graph, inputs=(*graph.inputs, TensorSpec("seed", TensorKind.SCALAR, 1)))),
        "no input 'seed'",
    ),
    "an output renamed": (of_output(name="image"), "no output 'image'.*stylised"),
    "another number of channels": (of_input(1, channels=CODE + 1), f"input 'code'.*{CODE}"),
    "another size": (lambda artifact: replace(artifact, size=(48, 32)), "'photo'.*32x48.*48x32|size '32x48'"),
    "another scale": (of_output(scale=2), "output 'stylised'.*32x48"),
    "BGR in": (of_input(0, order="BGR"), "'photo'.*RGB.*BGR"),
    "BGR out": (of_output(order="BGR"), "'stylised'.*RGB.*BGR"),
    "another range": (of_input(0, minimum=0.0, maximum=255.0), "'photo'.*minimum -1.0.*0.0"),
    "another range of a number": (of_input(2, maximum=2.0), "'alpha'.*maximum 1.0.*2.0"),
    "another mean": (of_input(0, mean=(0.1, 0.2, 0.3)), r"'photo'.*mean \[\].*0.1"),
    "another standard deviation": (of_output(std=(0.5, 0.5, 0.5)), r"'stylised'.*std \[\].*0.5"),
    "another checkpoint": (of_origin(checkpoint_sha256="cd" * 32), f"checkpoint_sha256 '{'ab' * 32}'.*'{'cd' * 32}'"),
    "no checkpoint": (of_origin(checkpoint_sha256=""), "checkpoint_sha256 '.*knows of none"),
    "another recipe": (of_origin(recipe="server"), "recipe 'phone'.*'server'"),
    "another model": (lambda artifact: replace(artifact, model="large"), "model 'small'.*'large'"),
    "another program": (of_graph(lambda graph: replace(graph, program_sha256="ef" * 32)), f"program_sha256.*'{'ef' * 32}'"),
}


def snr_db(found: np.ndarray, reference: np.ndarray) -> float:
    """Power of the reference's deviation from its mean over the mean squared error, in decibels."""
    error = np.mean((found.astype(np.float64) - reference) ** 2)
    return float(10 * np.log10(reference.var() / error)) if error else float("inf")


def run_pytorch(program: ExportedProgram, inputs: Sequence[np.ndarray]) -> np.ndarray:
    with torch.no_grad():
        return program.module(check_guards=False)(*map(torch.from_numpy, inputs)).numpy()


def fresh(program: Program) -> Program:
    """An equal program that nothing has been kept of."""
    forget_exports()
    graphs = (replace(graph, float_program=copy(graph.float_program), int8_program=copy(graph.int8_program)) for graph in program.graphs)
    return replace(program, graphs=tuple(graphs))


def graph_inputs(seed: int = 9) -> dict[str, dict[str, np.ndarray]]:
    """One unseen input for each graph of the small program; alpha is 0.7."""
    sample = samples(2, seed)[1].inputs
    code = np.random.default_rng(seed).standard_normal((1, CODE)).astype(np.float32)
    return {
        "style_encoder": {"style": sample["style"]},
        "stylizer": {"photo": sample["photo"], "code": code, "alpha": sample["alpha"]},
    }


def assert_no_path_of_this_machine(folder: Path) -> None:
    places = [Path(instantstyle.targets.__file__).parents[1], Path(tempfile.gettempdir()), Path(sys.prefix), Path(torch.__file__).parent]
    for path in filter(Path.is_file, folder.rglob("*")):
        for place in places:
            assert f"{place}/".encode() not in path.read_bytes(), f"{path.name} names {place}"


class TargetSuite:
    """Subclasses set the attributes and the fixture ``target``.

    Attributes:
        precisions: all that the target emits.
        packages: import names of what it needs; without one of them it must say so.
        reproducible: patterns of the files that are equal byte for byte in every build.
        why_not_here: what a target says that cannot run on a machine of this kind.
        least_snr_db: to PyTorch float, by precision; of int8, less what the int8 program itself loses if that is more.
        inexact_snr_db: of int8 instead where the runtime's own kernels saturate on this processor; None if they do not.
    """

    precisions: tuple[Precision, ...]
    packages: tuple[str, ...]
    reproducible: tuple[str, ...]
    why_not_here = ""
    inexact_snr_db: float | None = None
    least_snr_db: Mapping[Precision, float] = {Precision.INT8: 25.0}

    @pytest.fixture(scope="class")
    @classmethod
    def target(cls) -> Target:
        raise NotImplementedError

    def again(self, program: Program) -> Program:
        """What the second build of a test starts from: nothing may be left of the first."""
        return fresh(program)

    @pytest.fixture(scope="class")
    @classmethod
    def emitted(cls, target: Target, program: Program, tmp_path_factory: pytest.TempPathFactory) -> Emitted:
        """Emits once for each precision."""
        done: dict[Precision, tuple[Artifact, Path]] = {}

        def emit(precision: Precision) -> tuple[Artifact, Path]:
            if precision not in done:
                folder = tmp_path_factory.mktemp(f"{target.name}-{precision}")
                done[precision] = (target.emit(program, precision, folder), folder)
            return done[precision]

        return emit

    def shipped_bytes(self, artifact: Artifact, folder: Path) -> int:
        """What an app must carry: all files of the graphs."""
        return sum(path.stat().st_size for graph in artifact.graphs for path in self.files(folder / graph.file))

    @staticmethod
    def files(path: Path) -> list[Path]:
        """A graph's file, or those in its folder."""
        return [each for each in path.rglob("*") if each.is_file()] if path.is_dir() else [path]

    @staticmethod
    def shown(output: np.ndarray) -> np.ndarray:
        """PyTorch's output as the target's own format would carry it."""
        return output

    def run(self, target: Target, emitted: tuple[Artifact, Path], graph: str, inputs: Arrays) -> np.ndarray:
        artifact, folder = emitted
        with target.open(artifact, folder, graph, threads=1) as runner:
            (output,) = runner.run(inputs).values()
        return output

    def test_emits_what_it_says(self, target: Target) -> None:
        assert tuple(target.precisions) == self.precisions
        found = target.availability()
        assert (found.can_emit, found.can_run) == (True, not self.why_not_here)
        assert found.reason == self.why_not_here
        assert bool(found.evaluator) == bool(self.why_not_here)

    def test_artifact_describes_its_files(self, emitted: Emitted, target: Target, program: Program, precision: Precision) -> None:
        artifact, folder = emitted(precision)
        verify(artifact, folder)
        assert artifact.name == f"{target.name}-{precision}-32x48"
        assert {file.path for file in artifact.files} == {
            path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
        }
        assert [graph.name for graph in artifact.graphs] == list(GRAPHS)
        assert artifact.shipped_bytes == self.shipped_bytes(artifact, folder)
        for made, captured in zip(artifact.graphs, program.graphs, strict=True):
            assert (made.inputs, made.outputs, made.convolutions) == (captured.inputs, captured.outputs, captured.convolutions)
            assert made.int8_convolutions == (captured.int8_convolutions if precision is Precision.INT8 else 0)

    def test_manifest_keeps_everything(self, emitted: Emitted, precision: Precision, tmp_path: Path) -> None:
        artifact, _ = emitted(precision)
        write_manifest(artifact, tmp_path)
        assert read_manifest(tmp_path) == artifact

    def test_outputs_have_names_and_shapes_of_the_specs(self, emitted: Emitted, target: Target, precision: Precision) -> None:
        artifact, folder = emitted(precision)
        for graph, shape in zip(artifact.graphs, ((1, CODE), (1, 3, *SIZE)), strict=True):
            with target.open(artifact, folder, graph.name, threads=1) as runner:
                outputs = runner.run(graph_inputs()[graph.name])
            assert {name: (array.shape, array.dtype) for name, array in outputs.items()} == {
                graph.outputs[0].name: (shape, np.dtype(np.float32))
            }

    def test_parity_with_pytorch_float(self, emitted: Emitted, target: Target, program: Program, precision: Precision) -> None:
        for graph in program.graphs:
            inputs = graph_inputs()[graph.name]
            reference = run_pytorch(graph.float_program, list(inputs.values()))
            output = self.run(target, emitted(precision), graph.name, inputs)
            if precision is Precision.FLOAT32:
                assert np.abs(output - reference).max() < 2e-5
            elif precision is Precision.INT8:
                assert graph.int8_program is not None
                # Rewrites may make the numbers finer than the program's, not coarser.
                program_snr = snr_db(self.shown(run_pytorch(graph.int8_program, list(inputs.values()))), reference)
                assert snr_db(output, reference) > (self.inexact_snr_db or max(program_snr - 0.5, self.least_snr_db[precision]))
            else:
                assert snr_db(output, reference) > self.least_snr_db[precision]

    def check_int8_is_the_programs(self, emitted: Emitted, target: Target, program: Program) -> None:
        """Where a runtime adds exactly on every processor, its int8 is that of the captured program."""
        for graph in program.graphs:
            assert graph.int8_program is not None
            inputs = graph_inputs()[graph.name]
            given = list(inputs.values())
            output = self.run(target, emitted(Precision.INT8), graph.name, inputs)
            reference, int8 = run_pytorch(graph.float_program, given), run_pytorch(graph.int8_program, given)
            assert snr_db(output, int8) > 27
            assert snr_db(output, reference) > snr_db(int8, reference) - 0.5

    def check_all_kinds_of_convolutions_run_in_int8(self, target: Target, folder: Path) -> None:
        """Each of them by the runtime's own account, and together near float."""
        program, image = kinds_program(), kinds_input()
        artifact = target.emit(program, Precision.INT8, folder)
        with target.open(artifact, folder, "model", threads=1) as runner:
            output = runner.run({"image": image})["output"]
            assert runner.execution.int8_convolutions == runner.execution.convolutions == CONVOLUTIONS
        assert snr_db(output, run_pytorch(program.graphs[0].float_program, [image])) > 32

    def test_alpha_reaches_the_graph(self, emitted: Emitted, target: Target, program: Program, precision: Precision) -> None:
        inputs = graph_inputs()["stylizer"] | {"alpha": np.zeros((1, 1), np.float32)}
        reference = run_pytorch(program.graphs[1].float_program, list(inputs.values()))
        plain = self.run(target, emitted(precision), "stylizer", inputs)
        styled = self.run(target, emitted(precision), "stylizer", graph_inputs()["stylizer"])
        least = self.inexact_snr_db if precision is Precision.INT8 else None
        assert snr_db(plain, reference) > (least or 25.0)
        assert snr_db(styled, reference) < 5.0

    def test_says_what_executed(self, emitted: Emitted, target: Target, precision: Precision) -> None:
        artifact, folder = emitted(precision)
        for graph in artifact.graphs:
            with target.open(artifact, folder, graph.name, threads=1) as runner:
                execution = runner.execution
            assert execution.provider
            assert execution.convolutions == graph.convolutions
            assert execution.int8_convolutions == graph.int8_convolutions

    def test_times_are_of_the_modules_of_the_graph(self, emitted: Emitted, target: Target, precision: Precision) -> None:
        if type(target).module_times is Target.module_times:
            pytest.skip(f"the runtime of {target.name} tells no times")
        artifact, folder = emitted(precision)
        times = target.module_times(artifact, folder, "stylizer", inputs=graph_inputs()["stylizer"], threads=1)
        assert {"stem", "inner", "bottleneck", "fuse", "skip", "to_rgb"} <= times.keys()
        assert all(times[layer] > 0 for layer in ("stem", "inner", "to_rgb"))
        assert {place.partition(".")[0] for place in times} <= {name for name, _ in SmallStylizer().named_children()} | {"inputs"}

    @pytest.mark.parametrize("what", INTERFACES)
    def test_files_that_declare_something_else_are_refused(self, emitted: Emitted, target: Target, what: str) -> None:
        change, sentence = INTERFACES[what]
        artifact, folder = emitted(self.precisions[0])
        file = artifact.graph("stylizer").file
        with pytest.raises(ExecutionError, match=rf"(?s){file}.*: .*({sentence}).*build the artifact again"):
            target.open(change(artifact), folder, "stylizer", threads=1)

    def test_fewer_int8_convolutions_than_asked_is_an_error(self, emitted: Emitted, target: Target, precision: Precision) -> None:
        artifact, folder = emitted(precision)
        too_many = artifact.graph("stylizer").convolutions + 1
        asking = replace(artifact, graphs=tuple(replace(graph, int8_convolutions=too_many) for graph in artifact.graphs))
        with pytest.raises(ExecutionError, match=rf"stylizer.*{too_many}"):
            target.open(asking, folder, "stylizer", threads=1)

    def test_altered_or_missing_file_is_refused(self, emitted: Emitted, target: Target, precision: Precision, tmp_path: Path) -> None:
        artifact, folder = emitted(precision)
        name = max(self.files(folder / artifact.graph("stylizer").file), key=lambda path: path.stat().st_size).relative_to(folder)
        shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
        content = bytearray((folder / name).read_bytes())
        content[len(content) // 2] ^= 1
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ArtifactError, match=rf"{name} was altered"):
            target.open(artifact, tmp_path, "stylizer", threads=1)
        (tmp_path / name).unlink()
        with pytest.raises(ArtifactError, match=rf"{name} is missing"):
            target.open(artifact, tmp_path, "stylizer", threads=1)

    def test_closed_runner_refuses(self, emitted: Emitted, target: Target, precision: Precision) -> None:
        artifact, folder = emitted(precision)
        with target.open(artifact, folder, "style_encoder", threads=1) as runner:
            runner.run(graph_inputs()["style_encoder"])
        runner.close()
        with pytest.raises(ExecutionError, match=r"style_encoder.*closed"):
            runner.run(graph_inputs()["style_encoder"])

    def test_wrong_inputs_are_refused(self, emitted: Emitted, target: Target, precision: Precision) -> None:
        artifact, folder = emitted(precision)
        right = graph_inputs()["stylizer"]
        with target.open(artifact, folder, "stylizer", threads=1) as runner:
            for wrong in (
                {name: array for name, array in right.items() if name != "alpha"},
                right | {"photo": right["photo"][:, :, :-1]},
                right | {"photo": right["photo"].astype(np.float64)},
            ):
                with pytest.raises(ValueError, match="stylizer"):
                    runner.run(wrong)

    def test_missing_package_is_named_with_the_remedy(
        self, target: Target, program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        for package in self.packages:
            with monkeypatch.context() as patch:
                patch.setitem(sys.modules, package, None)
                availability = target.availability()
                assert not (availability.can_emit and availability.can_run)
                assert package in availability.reason
                assert package.replace("_", "-") in availability.remedy and "pip install" in availability.remedy
                if not availability.can_emit:
                    with pytest.raises(TargetUnavailableError, match=rf"{package}.*pip install"):
                        target.emit(program, target.precisions[0], tmp_path)
        assert not list(tmp_path.iterdir())

    def test_second_build_is_the_same_and_silent(
        self, emitted: Emitted, target: Target, program: Program, precision: Precision, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        artifact, folder = emitted(precision)
        capfd.readouterr()
        again = target.emit(self.again(program), precision, tmp_path)
        inputs = graph_inputs()["stylizer"]
        output = self.run(target, (again, tmp_path), "stylizer", inputs)
        assert tuple(capfd.readouterr()) == ("", "")
        np.testing.assert_array_equal(output, self.run(target, (artifact, folder), "stylizer", inputs))
        assert [file.path for file in again.files] == [file.path for file in artifact.files]
        equal = [path for pattern in self.reproducible for path in tmp_path.glob(pattern) if path.is_file()]
        assert equal
        for path in equal:
            assert path.read_bytes() == (folder / path.relative_to(tmp_path)).read_bytes(), path.name
