"""What an app gets: descriptions, ready style codes, Kotlin; and golden pairs whatever the size."""

import importlib.util
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import tree_sitter_kotlin
import tree_sitter_swift
from distribution_helpers import Signed
from gate_helpers import PAINTER, content, sha256
from PIL import Image
from tree_sitter import Language, Node, Parser

from instantstyle.export.app.files import HERE, code_of
from instantstyle.export.app.styles import style_encoder
from instantstyle.export.stages.golden import golden_files
from instantstyle.model.graph import Model, Sample, TensorKind, TensorSpec, single_graph
from instantstyle.validation.golden.pictures import enlarged, reduction


def painter() -> Model:
    spec = importlib.util.spec_from_file_location("painter_of_app_tests", PAINTER)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.make()


def test_codes_are_what_pytorch_makes_of_the_styles(signed: Signed, workshop: Path) -> None:
    encoder = painter().graph("encoder").module.eval()
    for name in ("14", "15"):
        picture = Image.open(workshop / f"validation/styles/{name}.png").convert("RGB").resize((16, 16), Image.Resampling.LANCZOS)
        tensor = torch.from_numpy(np.asarray(picture, np.float32).transpose(2, 0, 1)[None] / 127.5 - 1)
        with torch.inference_mode():
            expected = encoder(tensor).numpy()[0]
        found = np.frombuffer((signed.dist / f"app/styles/{name}.f32").read_bytes(), "<f4")
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_description_has_names_shapes_ranges_and_styles(signed: Signed) -> None:
    found = json.loads((signed.dist / "app/onnx-float32-32x32/model.json").read_text())
    encoder, hot = found["graphs"]
    assert (encoder["file"], hot["file"]) == ("encoder.onnx", "painter.onnx")
    assert [(each["name"], each["kind"], each["shape"], each["minimum"]) for each in hot["inputs"]] == [
        ("photo", "image", [1, 3, 32, 32], -1.0),
        ("code", "vector", [1, 8], -1.0),
        ("alpha", "scalar", [1, 1], 0.0),
    ]
    assert encoder["inputs"][0]["shape"] == [1, 3, 16, 16]
    assert found["styles"] == [{"name": "14", "file": "styles/14.f32"}, {"name": "15", "file": "styles/15.f32"}]
    assert found["codes"] == [{"name": "code", "length": 8}]
    assert found["golden_limits"] == {"min_ssim_worst": 0.98, "min_ssim_hard": 0.98}


def test_a_model_without_a_second_image_has_no_style_encoder() -> None:
    assert style_encoder(single_graph(torch.nn.Conv2d(3, 3, 3, padding=1))) is None


@pytest.mark.parametrize("path", sorted(HERE.glob("a*/*.*")), ids=lambda path: path.name)
def test_code_for_apps_parses(path: Path) -> None:
    """With tree-sitter's grammars; ``tests/app`` compiles and runs it where there are compilers."""
    grammar = tree_sitter_kotlin if path.suffix == ".kt" else tree_sitter_swift
    root = Parser(Language(grammar.language())).parse(path.read_bytes()).root_node
    assert not root.has_error, [node.start_point for node in nodes(root) if node.type == "ERROR" or node.is_missing]


def test_apps_get_the_code_of_their_target() -> None:
    kotlin = {f"app/android/{path.name}" for path in HERE.glob("android/*.kt")}
    swift = {f"app/apple/{path.name}" for path in HERE.glob("apple/*.swift")}
    assert set(code_of("android")) == kotlin - {"app/android/LiteRt.kt"}
    assert set(code_of("litert")) == kotlin - {"app/android/OnnxRuntime.kt"}
    assert set(code_of("coreml")) == swift
    assert code_of("tensorrt") == ()


@pytest.mark.parametrize("pattern", ["android/*.kt", "apple/*.swift"])
def test_the_code_reads_what_is_written(pattern: str) -> None:
    source = "".join(path.read_text() for path in sorted(HERE.glob(pattern)))
    for key in ("graphs", "styles", "codes", "golden_limits", "window", "pairs", "images", "scalars", "enlarged", "min_ssim_worst"):
        assert re.search(rf"\b{key}\b", source), key
    # The dependencies of each runtime, by version.
    if pattern.endswith(".kt"):
        assert re.findall(r'implementation\("([\w.:-]+)"\)', source) == [
            "com.google.ai.edge.litert:litert:2.3.0", "com.microsoft.onnxruntime:onnxruntime-android:1.27.0",
        ]  # fmt: skip


def nodes(node: Node) -> list[Node]:
    return [node, *(each for child in node.children for each in nodes(child))]


def test_enlarging_is_bilinear() -> None:
    levels = np.random.default_rng(3).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    tensor = torch.from_numpy(levels.transpose(2, 0, 1)[None].astype(np.float64))
    for factor in (1, 2, 4, 5):
        expected = torch.nn.functional.interpolate(tensor, scale_factor=factor, mode="bilinear", align_corners=False).numpy()[0]
        found = enlarged(levels, factor).transpose(2, 0, 1)
        assert np.abs(found - expected).max() <= 0.5 + 1e-9, factor


def test_reductions_divide_both_sides() -> None:
    assert [reduction(size) for size in ((32, 32), (256, 256), (512, 512), (1080, 1920), (512, 768))] == [1, 2, 4, 12, 8]


def noise(height: int, width: int, seed: int) -> np.ndarray:
    return np.rint(np.random.default_rng(seed).uniform(0, 255, (1, 3, height, width))).astype(np.float32) / np.float32(127.5) - 1


def test_golden_pairs_of_the_worst_pictures_keep_the_budget_at_512() -> None:
    """Noise is what PNG cannot make smaller."""
    model = single_graph(torch.nn.Conv2d(3, 3, 3, padding=1))
    samples = [(Sample(f"{index}", {"image": noise(128, 128, index)}), index > 3) for index in range(12)]
    files = golden_files(model, model, samples, (512, 512), 1_000_000)
    assert sum(map(len, files.values())) <= 1_000_000
    golden = json.loads(files["golden.json"])
    assert len(golden["pairs"]) == 12 and golden["window"] == [192, 192, 128, 128]
    files = golden_files(model, model, samples, (512, 512), 100_000)
    assert json.loads(files["golden.json"])["reason"] == "the pictures of 12 pairs do not fit into 100,000 bytes"


def test_a_scenario_that_is_no_chain_has_no_golden_pairs_and_says_so() -> None:
    model = single_graph(torch.nn.Conv2d(3, 3, 3, padding=1))
    twice = replace(model, scenario=lambda runs, sample: runs["model"]({"image": model.scenario(runs, sample)})["output"])
    files = golden_files(twice, twice, [(Sample("a", {"image": noise(32, 32, 1)}), False)], (32, 32), 1_000_000)
    assert list(files) == ["golden.json"]
    assert "more than its graphs one after the other" in json.loads(files["golden.json"])["reason"]


def test_what_is_no_picture_has_no_golden_pairs_and_says_so() -> None:
    model = single_graph(torch.nn.Conv2d(3, 3, 3, padding=1))
    graph = model.graphs[0]
    vector = TensorSpec("code", TensorKind.VECTOR, channels=4)
    takes = replace(model, graphs=(replace(graph, inputs=(*graph.inputs, vector)),))
    gives = replace(model, graphs=(replace(graph, outputs=(vector,)),))
    for changed, reason in ((takes, "the model takes a vector, 'code'"), (gives, "'code' is no picture")):
        files = golden_files(changed, changed, [(Sample("a", {"image": noise(32, 32, 1)}), False)], (32, 32), 1_000_000)
        assert reason in json.loads(files["golden.json"])["reason"]


def test_everything_for_apps_is_listed_by_hash(signed: Signed) -> None:
    rows = {row["path"]: row["sha256"] for row in content(signed.dist)["files"]}
    files = [path for path in (signed.dist / "app").rglob("*") if path.is_file()]
    assert len(files) == 4
    assert all(rows[path.relative_to(signed.dist).as_posix()] == sha256(path.read_bytes()) for path in files)
