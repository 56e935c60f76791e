"""Damaged and unknown packages: an error that says what and where, before anything is evaluated."""

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import coremltools
import numpy as np
import pytest
from mil_helpers import evaluate, mb, only, program, random

from instantstyle.system.errors import ExecutionError
from instantstyle.targets.coreml.mil.errors import PackageError, UnknownOperatorError
from instantstyle.targets.coreml.mil.evaluator import Arithmetic, Evaluator
from instantstyle.targets.coreml.mil.package import SPECIFICATION, WEIGHTS, Package, open_package

ct: Any = coremltools
WEIGHT = random(8, 4, 3, 3)
X = random(1, 4, 8, 8, seed=1)


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def build(x):
        y = mb.conv(x=x, weight=WEIGHT, pad_type="valid", name="first")
        return mb.relu(x=y, name="second")

    made = program("iOS16", {"x": X}, build)
    model = ct.convert(made, convert_to="mlprogram", minimum_deployment_target=ct.target.iOS16, skip_model_load=True)
    path = tmp_path_factory.mktemp("intact") / "net.mlpackage"
    model.save(str(path))
    return path


@pytest.fixture
def package(intact: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(intact, tmp_path / "net.mlpackage"))


def rewrite(package: Path, change: Callable[[Any], None]) -> None:
    """Changes the specification in place."""
    model: Any = ct.utils.load_spec(str(package))
    change(model)
    (package / SPECIFICATION).write_bytes(model.SerializeToString())


def block(model: Any) -> Any:
    main = model.mlProgram.functions["main"]
    return main.block_specializations[main.opset]


def operation(model: Any, kind: str) -> Any:
    return next(each for each in block(model).operations if each.type == kind)


def test_intact_package_is_evaluated(package: Path) -> None:
    found = only(list(Evaluator(open_package(package), Arithmetic.FLOAT32).run({"x": X}).values()))
    assert found.shape == (1, 8, 6, 6) and found.min() == 0 < found.max()


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=r"missing.mlpackage is no folder"):
        open_package(tmp_path / "missing.mlpackage")


def test_truncated_specification(package: Path) -> None:
    file = package / SPECIFICATION
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(PackageError, match=r"model.mlmodel is truncated or damaged"):
        open_package(package)


@pytest.mark.parametrize("path", ["Manifest.json", str(SPECIFICATION), f"{WEIGHTS}/weight.bin"])
def test_missing_file_is_named(package: Path, path: str) -> None:
    (package / path).unlink()
    with pytest.raises(PackageError, match=Path(path).name):
        open_package(package)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"itemInfoEntries": 3}', '{"itemInfoEntries": {"a": {"path": "gone"}}}'])
def test_broken_manifest(package: Path, content: str) -> None:
    (package / "Manifest.json").write_text(content)
    with pytest.raises(PackageError, match=r"Manifest.json is not a package's manifest|gone, which the manifest lists, is missing"):
        open_package(package)


def test_manifest_is_read(package: Path) -> None:
    entries = json.loads((package / "Manifest.json").read_text())["itemInfoEntries"]
    assert {entry["path"] for entry in entries.values()} == {"com.apple.CoreML/model.mlmodel", "com.apple.CoreML/weights"}


@pytest.mark.parametrize("kept", [0, 60, 64 + 32, -2])
def test_weight_file_of_the_wrong_length(package: Path, kept: int) -> None:
    file = package / WEIGHTS / "weight.bin"
    content = file.read_bytes()
    file.write_bytes(content[:kept])
    with pytest.raises(PackageError, match=r"weight.bin has \d+ bytes, but .*\(const\) of function 'main'"):
        open_package(package)


def test_weight_file_of_another_model(package: Path) -> None:
    file = package / WEIGHTS / "weight.bin"
    content = bytearray(file.read_bytes())
    struct.pack_into("<I", content, 64, 0)
    file.write_bytes(content)
    with pytest.raises(PackageError, match=r"no weight at offset 64, where operation"):
        open_package(package)


@pytest.mark.parametrize("version", [0, 5, 10, 1000])
def test_unknown_specification_version(package: Path, version: int) -> None:
    def change(model: Any) -> None:
        model.specificationVersion = version

    rewrite(package, change)
    with pytest.raises(PackageError, match=rf"specification version {version} is unknown; known are 6, 7, 8, 9"):
        open_package(package)


def test_unknown_opset(package: Path) -> None:
    def change(model: Any) -> None:
        model.mlProgram.functions["main"].opset = "CoreML99"

    rewrite(package, change)
    with pytest.raises(PackageError, match=r"opset 'CoreML99'; known are CoreML5"):
        open_package(package)


def test_neural_network_is_no_program(package: Path) -> None:
    def change(model: Any) -> None:
        model.neuralNetwork.SetInParent()

    rewrite(package, change)
    with pytest.raises(PackageError, match=r"holds a 'neuralNetwork', not an ML program"):
        open_package(package)


def test_cyclic_program(package: Path) -> None:
    def change(model: Any) -> None:
        relu = operation(model, "relu").outputs[0].name
        operation(model, "conv").inputs["x"].arguments[0].name = relu

    rewrite(package, change)
    with pytest.raises(
        PackageError, match=r"\(conv\) of function 'main'.*its input 'x' is '.*', which is made only later: the program is cyclic"
    ):
        open_package(package)


def test_value_from_nowhere(package: Path) -> None:
    def change(model: Any) -> None:
        operation(model, "relu").inputs["x"].arguments[0].name = "ghost"

    rewrite(package, change)
    with pytest.raises(PackageError, match=r"\(relu\).*'ghost', which is made nowhere"):
        open_package(package)


def test_output_from_nowhere(package: Path) -> None:
    def change(model: Any) -> None:
        block(model).outputs[0] = "ghost"

    rewrite(package, change)
    with pytest.raises(PackageError, match=r"the output 'ghost' is made nowhere"):
        open_package(package)


def test_operator_of_another_world(package: Path) -> None:
    def change(model: Any) -> None:
        operation(model, "relu").type = "warp_drive"

    rewrite(package, change)
    with pytest.raises(
        UnknownOperatorError, match=r"operation 'second.*does not know the operator 'warp_drive' of iOS16; nothing was evaluated"
    ):
        open_package(package)


def test_operator_without_a_kernel_is_named_with_opset_and_place() -> None:
    def build(x):
        return mb.random_normal(shape=np.array([1, 4], np.int32), name="noise")

    made = program("iOS17", {"x": X}, build)
    with pytest.raises(UnknownOperatorError, match=r"'noise' of function 'main' in net.mlpackage.*'random_normal' of iOS15"):
        Evaluator(Package(Path("net.mlpackage"), None, made, "iOS17"))


def test_wrong_type_is_the_readers_error_with_the_file(package: Path) -> None:
    def change(model: Any) -> None:
        operation(model, "conv").inputs["strides"].arguments[0].name = "x"

    rewrite(package, change)
    with pytest.raises(PackageError, match=r"net.mlpackage: coremltools cannot read its program"):
        open_package(package)


def test_results_are_rounded_where_the_program_says_so() -> None:
    def build(x):  # in float16 a sum of 2048 and 1 is 2048
        return mb.sub(x=mb.add(x=x, y=np.float16(1)), y=x)

    x = np.array([1.0, 2048.0, 4096.0], np.float16)
    np.testing.assert_array_equal(only(evaluate("iOS17", {"x": x}, build)), [1, 0, 0])
    np.testing.assert_array_equal(only(evaluate("iOS17", {"x": x}, build, Arithmetic.FLOAT32)), [1, 1, 1])


def test_overflow_of_float16_is_infinite() -> None:
    def build(x):
        return mb.mul(x=x, y=x)

    x = np.array([255.0, 256.0], np.float16)
    found = only(evaluate("iOS17", {"x": x}, build))
    assert found.tolist() == [65024.0, np.inf]


def test_watch_sees_every_operation_in_order() -> None:
    def build(x):
        return mb.relu(x=mb.add(x=x, y=np.float32(1), name="sum"), name="positive")

    made = program("iOS17", {"x": X}, build)
    seen = []
    Evaluator(Package(Path("net.mlpackage"), None, made, "iOS17")).run(
        {"x": X}, lambda name, results: seen.append((name, results[0].shape))
    )
    assert seen == [("sum", X.shape), ("positive", X.shape)]


def test_wrong_shape_from_the_caller_is_an_error() -> None:
    def build(x):
        return mb.conv(x=x, weight=WEIGHT, pad_type="valid")

    made = program("iOS17", {"x": X}, build)
    with pytest.raises(ExecutionError, match="coremltools declares"):
        Evaluator(Package(Path("net.mlpackage"), None, made, "iOS17")).run({"x": X[:, :, :7]})


def test_slices_that_share_a_bound_are_read_right(tmp_path: Path) -> None:
    def build(a, b):
        return mb.slice_by_index(x=a, begin=[0], end=[3], name="of_a"), mb.slice_by_index(x=b, begin=[0], end=[8], name="of_b")

    a, b = np.arange(4, dtype=np.float32), np.arange(9, dtype=np.float32)
    model = ct.convert(
        program("iOS16", {"a": a, "b": b}, build), convert_to="mlprogram", minimum_deployment_target=ct.target.iOS16, skip_model_load=True,
        compute_precision=ct.precision.FLOAT32, pass_pipeline=ct.PassPipeline.EMPTY,
    )  # fmt: skip
    path = tmp_path / "net.mlpackage"
    model.save(str(path))

    def share(specification: Any) -> None:
        first, second = (each for each in block(specification).operations if each.type == "slice_by_index")
        shared = first.inputs["end"].arguments[0].name
        second.inputs["end"].arguments[0].name = shared
        constant = next(each for each in block(specification).operations if each.outputs[0].name == shared)
        constant.attributes["val"].immediateValue.tensor.ints.values[0] = -1

    rewrite(path, share)
    of_a, of_b = Evaluator(open_package(path)).run({"a": a, "b": b}).values()
    np.testing.assert_array_equal(of_a, a[:-1])
    np.testing.assert_array_equal(of_b, b[:-1])
