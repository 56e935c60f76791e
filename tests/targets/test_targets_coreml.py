"""Core ML on a machine without Core ML: the shared suite through the reference evaluator, and what is Core ML's own."""

import hashlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import pytest
from programs import samples, small_model
from suite import Emitted, TargetSuite, graph_inputs, snr_db

from instantstyle.capture.program import Program
from instantstyle.recipe.precision import Precision
from instantstyle.system.errors import CaptureError, InstantStyleError
from instantstyle.targets.base import Artifact, Target
from instantstyle.targets.coreml.mil.evaluator import Evaluator
from instantstyle.targets.coreml.package import tidy_constants
from instantstyle.targets.coreml.target import CoreMLTarget

pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="there, Core ML itself runs")


def spec_of(package: Path) -> Any:
    return ct.utils.load_spec(str(package))


class TestCoreML(TargetSuite):
    precisions = (Precision.FLOAT16, Precision.INT8, Precision.INT8_WEIGHTS)
    packages = ("coremltools",)
    reproducible = ("**/*",)
    why_not_here = "Core ML runs on macOS only"
    # The small net's image has little contrast: what 8 bits leave of it is 34.5 dB.
    least_snr_db = {Precision.FLOAT16: 34.0, Precision.INT8: 25.0, Precision.INT8_WEIGHTS: 33.5}

    @pytest.fixture(scope="class")
    @classmethod
    def target(cls) -> Target:
        return CoreMLTarget()

    @pytest.fixture(scope="class")
    @classmethod
    def emitted(cls, coreml: Emitted) -> Emitted:
        return coreml

    @staticmethod
    def shown(output: np.ndarray) -> np.ndarray:
        return np.rint((output + 1) * 127.5) / 127.5 - 1 if output.ndim == 4 else output

    def test_says_who_stood_in(self, emitted: Emitted, target: Target, precision: Precision) -> None:
        artifact, folder = emitted(precision)
        with target.open(artifact, folder, "stylizer", threads=1) as runner:
            assert runner.execution.evaluator == "reference evaluator; not executed on Apple hardware"
            assert runner.execution.provider == "reference evaluator (float16)"

    def test_app_sees_images_a_number_and_an_array(self, emitted: Emitted, precision: Precision) -> None:
        _, folder = emitted(precision)
        described = spec_of(folder / "stylizer.mlpackage").description
        photo, code, alpha = described.input
        (image,) = described.output
        for feature, name in ((photo, "photo"), (image, "stylised")):
            size = feature.type.imageType
            assert (feature.name, size.height, size.width, size.colorSpace) == (name, 32, 48, size.RGB)
            assert feature.shortDescription == "RGB image"
        assert (code.name, tuple(code.type.multiArrayType.shape), code.shortDescription) == ("code", (1, 6), "6 numbers")
        assert (alpha.name, tuple(alpha.type.multiArrayType.shape)) == ("alpha", (1,))
        assert alpha.shortDescription == "A number from 0 to 1"

    def test_deployment_target_is_the_oldest_that_will_do(self, emitted: Emitted, precision: Precision) -> None:
        artifact, folder = emitted(precision)
        version, name = {Precision.FLOAT16: (6, "iOS15"), Precision.INT8_WEIGHTS: (7, "iOS16"), Precision.INT8: (8, "iOS17")}[precision]
        for graph in artifact.graphs:
            assert spec_of(folder / graph.file).specificationVersion == version
            assert f"{graph.name}: minimum deployment target {name}" in artifact.notes

    def test_image_is_eight_bits(self, emitted: Emitted, target: Target, precision: Precision) -> None:
        output = self.run(target, emitted(precision), "stylizer", graph_inputs()["stylizer"])
        levels = (output.astype(np.float64) + 1) * 127.5
        assert np.abs(levels - np.rint(levels)).max() < 1e-4
        assert levels.min() > -1e-4 and levels.max() < 255 + 1e-4


def test_metadata(coreml: Emitted) -> None:
    _, folder = coreml(Precision.FLOAT16)
    metadata = spec_of(folder / "stylizer.mlpackage").description.metadata
    assert (metadata.author, metadata.license, metadata.versionString) == ("Ada", "CC0-1.0", "2.1")
    assert metadata.shortDescription == "small: stylizer (16-bit float)"
    facts = dict(metadata.userDefined)
    assert facts["com.instantstyle.recipe"] == "phone" and facts["com.instantstyle.checkpoint_sha256"] == "ab" * 32
    assert not any("date" in key for key in facts)


def test_package_holds_what_an_app_needs_and_nothing_else(coreml: Emitted) -> None:
    artifact, _ = coreml(Precision.INT8)
    assert [file.path for file in artifact.files if file.path.startswith("stylizer")] == [
        "stylizer.mlpackage/Data/com.apple.CoreML/model.mlmodel",
        "stylizer.mlpackage/Data/com.apple.CoreML/weights/weight.bin",
        "stylizer.mlpackage/Manifest.json",
    ]
    assert {file.path for file in artifact.files if file.path.endswith(".swift")} == {"Small.swift"}


@pytest.mark.slow
def test_equal_constants_are_kept_once(coreml: Emitted) -> None:
    _, folder = coreml(Precision.INT8)
    main = spec_of(folder / "stylizer.mlpackage").mlProgram.functions["main"]
    constants = [each for each in main.block_specializations[main.opset].operations if each.type == "const"]
    contents = [hashlib.sha256(each.outputs[0].type.SerializeToString() + each.attributes["val"].SerializeToString()) for each in constants]
    assert len({each.hexdigest() for each in contents}) == len(constants) > 50


@pytest.mark.slow
def test_numbers_of_casts_do_not_reach_the_package(coreml: Emitted) -> None:
    """The converter counts on from one conversion of a process to the next."""
    _, folder = coreml(Precision.FLOAT16)
    tidied = []
    for start in (0, 7):
        specification = spec_of(folder / "style_encoder.mlpackage")
        main = specification.mlProgram.functions["main"]
        casts = [each for each in main.block_specializations[main.opset].operations if each.type == "cast"]
        for number, cast in enumerate(casts, start):
            cast.attributes["name"].immediateValue.tensor.strings.values[0] = f"cast_{number}"
        assert casts
        tidy_constants(specification)
        tidied.append(specification.SerializeToString(deterministic=True))
    assert tidied[0] == tidied[1]


def test_several_sizes(coreml: Callable[..., tuple[Artifact, Path]]) -> None:
    artifact, folder = coreml(Precision.FLOAT16, (64, 32))
    size = spec_of(folder / "stylizer.mlpackage").description.input[0].type.imageType
    assert [(each.height, each.width) for each in size.enumeratedSizes.sizes] == [(32, 48), (64, 32)]
    inputs = graph_inputs()["stylizer"]
    for height, width in ((32, 48), (64, 32)):
        photo = np.resize(samples(1, 3)[0].inputs["photo"], (1, 3, height, width)).astype(np.float32)
        resized = replace(artifact, size=(height, width))
        with CoreMLTarget().open(resized, folder, "stylizer", threads=1) as runner:
            (output,) = runner.run(inputs | {"photo": photo}).values()
        reference = run_pytorch_module(photo, inputs)
        assert snr_db(output, reference) > 34


def run_pytorch_module(photo: np.ndarray, inputs: dict[str, np.ndarray]) -> np.ndarray:
    import torch

    with torch.no_grad():
        return (
            small_model().graph("stylizer").module(*(torch.from_numpy(each) for each in (photo, inputs["code"], inputs["alpha"]))).numpy()
        )


@pytest.mark.slow
def test_a_size_at_which_the_package_is_not_pytorch_is_refused(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Evaluator.run

    def wrong_at_64(self: Evaluator, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        found = run(self, inputs)
        at_64 = "photo" in inputs and inputs["photo"].shape[2] == 64
        return {name: np.flip(value, -1) if at_64 else value for name, value in found.items()}

    monkeypatch.setattr(Evaluator, "run", wrong_at_64)
    target = CoreMLTarget().configured({"more_sizes": [[96, 32], [64, 32]]})
    with pytest.raises(CaptureError, match=r"'stylizer': at 64x32 the output 'stylised' is -?\d+ dB from PyTorch's; take that size out"):
        target.emit(program, Precision.FLOAT16, tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 3}, "unknown key 'size'; known are more_sizes, minimum_deployment_target"),
        ({"more_sizes": [3]}, "more_sizes.0"),
        ({"minimum_deployment_target": "iOS9"}, "minimum_deployment_target = 'iOS9': allowed: iOS15, iOS16, iOS17, iOS18"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InstantStyleError, match=message):
        CoreMLTarget().configured(options)


def test_int8_for_a_system_that_has_none_is_refused(program: Program, tmp_path: Path) -> None:
    target = CoreMLTarget().configured({"minimum_deployment_target": "iOS16"})
    with pytest.raises(
        CaptureError, match='minimum_deployment_target: int8 needs iOS17, found iOS16; set it to "iOS17", or take int8 out of targets.build'
    ):
        target.emit(program, Precision.INT8, tmp_path)
