"""What is new in a release, and whether a candidate is worse than what apps have."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import onnx
import pytest
from distribution_helpers import Signed, variant
from gate_helpers import content, of_artifact, run
from onnx import numpy_helper
from PIL import Image

from instantstyle.distribution.comparison.parity import Baseline, Parity, compare
from instantstyle.distribution.comparison.tensors import read_content
from instantstyle.recipe.release_settings import ParitySettings
from instantstyle.targets.android.ort_format import to_ort_format
from instantstyle.validation.results.bundle import Bundle, BundleArtifact
from instantstyle.validation.results.bundle_file import read_bundle
from instantstyle.validation.results.measurements import Measurements


def test_two_equal_builds_do_not_differ(signed: Signed, honest: Path) -> None:
    code, output = run("diff", honest, signed.dist, "--key", signed.public)
    assert code == 0 and "No difference." in output


def weight_moved(model: onnx.ModelProto) -> None:
    """One value of one weight, by a quarter."""
    (tensor,) = (each for each in model.graph.initializer if each.name == "last.weight")
    values = np.array(numpy_helper.to_array(tensor))
    values[1, 2, 0, 1] += 0.25
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def test_one_changed_weight_is_named_and_seen(signed: Signed, honest: Path, tmp_path: Path) -> None:
    variant(signed, "painter.onnx", b"", weight_moved)
    code, output = run("diff", honest, signed.dist, "--pictures", tmp_path / "pictures")
    assert code == 1
    assert "onnx/float32-32x32/painter.onnx: last.weight: 1 of 216 values, by 0.25 at most" in output
    assert output.count("values, by") == 1, output
    size = (signed.dist / "onnx/float32-32x32/painter.onnx").stat().st_size
    assert f"| all | - | - | {size:,} |" in output
    found = re.search(r"\| onnx-float32-32x32 \| (0\.\d+) \|", output)
    assert found and 0.3 < float(found[1]) < 0.999, output
    assert re.search(r"\| onnx-int8-32x32 \| 1\.0000 \| 1\.0000 \|", output), output
    with Image.open(tmp_path / "pictures/onnx-float32-32x32.png") as picture:
        assert picture.size == (96, 32)
        difference = np.asarray(picture)[:, 64:]
        assert difference.max() > 0


def test_other_bytes_of_the_same_content_are_no_difference(signed: Signed, honest: Path) -> None:
    variant(signed, "painter.onnx", b"a note")
    code, output = run("diff", honest, signed.dist)
    assert code == 1 and "last.weight" not in output  # the app carries some bytes more
    assert re.search(r"an app carries [0-9,]+ bytes, \+\d", output), output


def test_ort_files_of_other_processes_hold_the_same(signed: Signed, tmp_path: Path) -> None:
    """Their bytes differ by the order of a hash table; a weight that is moved does show."""
    source = tmp_path / "source"
    source.mkdir()
    shutil.copyfile(signed.dist / "onnx/float32-32x32/painter.onnx", source / "painter.onnx")
    found = []
    for name in ("first", "second", "moved"):
        folder = tmp_path / name
        folder.mkdir()
        if name == "moved":
            model = onnx.load(source / "painter.onnx")
            weight_moved(model)
            onnx.save(model, source / "painter.onnx")
        to_ort_format(source, folder, halve=False)
        found.append(read_content(folder / "painter.ort"))
    first, second, moved = found
    assert first.structure == second.structure == moved.structure and len(first.structure) > 5
    assert first.tensors.keys() == second.tensors.keys()
    assert all(first.tensors[name].tobytes() == second.tensors[name].tobytes() for name in first.tensors)
    changed = [name for name in first.tensors if first.tensors[name].tobytes() != moved.tensors[name].tobytes()]
    assert len(changed) == 1
    assert np.count_nonzero(first.tensors[changed[0]] != moved.tensors[changed[0]]) == 1


def test_a_lowered_limit_is_a_promise_that_got_worse(honest: Path, tmp_path: Path) -> None:
    from instantstyle.distribution.comparison.release import Side, differences

    bundle = read_bundle(honest)
    first = bundle.artifacts[0]
    limits = first.limits.model_copy(update={"min_ssim_worst": 0.9, "max_bytes": 10_000})
    lower = replace(bundle, artifacts=(replace(first, limits=limits, notes=("minimum deployment target iOS18",)), *bundle.artifacts[1:]))
    found = differences(Side(bundle, honest), Side(lower, honest))
    assert found.worse == (
        "onnx-float32-32x32: limit min_ssim_worst: 0.98 became 0.9",
        "onnx-float32-32x32: new: minimum deployment target iOS18",
    )
    assert found.better == ("onnx-float32-32x32: limit max_bytes: none became 10000",)


def test_releases_of_different_models_are_not_compared(signed: Signed, honest: Path) -> None:
    other = replace(read_bundle(honest), model=replace(read_bundle(honest).model, name="other"))
    from instantstyle.distribution.comparison.release import Side, check_same_model

    with pytest.raises(Exception, match="is of 'painter', .* of 'other'"):
        check_same_model(Side(other, honest), Side(read_bundle(honest), honest))


# --- parity ---


@pytest.fixture
def registry(signed: Signed, tmp_path: Path) -> Path:
    folder = tmp_path / "registry"
    options = ("--version", "1.0.0", "--channel", "stable", "--key", signed.private)
    assert run("publish", signed.dist, "--to", folder, *options)[0] == 0
    return folder


def test_the_release_itself_is_no_worse_than_it_is(signed: Signed, registry: Path, tmp_path: Path) -> None:
    files = ("--markdown", tmp_path / "parity.md", "--junit", tmp_path / "parity.xml")
    code, output = run("parity", "--baseline", f"{registry}@stable", "--candidate", signed.dist, "--key", signed.public, *files)
    assert code == 0, output
    text = (tmp_path / "parity.md").read_text()
    assert text.startswith("# painter: no worse than allowed, compared with 1.0.0\n") and text in output
    suite = ElementTree.parse(tmp_path / "parity.xml").getroot()[0]
    assert suite.get("failures") == "0" and int(suite.get("tests") or 0) == 13


def test_a_larger_candidate_is_named(signed: Signed, registry: Path, tmp_path: Path) -> None:
    variant(signed, "painter.onnx", b"more" * 1000)
    files = ("--junit", tmp_path / "parity.xml")
    code, output = run("parity", "--baseline", f"{registry}@stable", "--candidate", signed.dist, "--key", signed.public, *files)
    assert code == 1
    assert re.search(r"onnx-float32-32x32: bytes \d+, at most \d+ is allowed", output), output
    failures = ElementTree.parse(tmp_path / "parity.xml").getroot().findall(".//testcase[failure]")
    assert [(case.get("classname"), case.get("name")) for case in failures] == [("onnx-float32-32x32", "bytes")]


def test_an_altered_candidate_is_not_compared(signed: Signed, registry: Path) -> None:
    of_artifact(lambda artifact: artifact.update(shipped_bytes=1))(signed.dist)
    code, output = run("parity", "--baseline", f"{registry}@stable", "--candidate", signed.dist, "--key", signed.public)
    assert code == 2 and "shipped_bytes" in output


def changed(bundle: Bundle, change: Callable[[Measurements], Measurements | None]) -> Bundle:
    def apply(artifact: BundleArtifact) -> BundleArtifact:
        return replace(artifact, measurements=change(artifact.measurements)) if artifact.measurements else artifact

    return replace(bundle, artifacts=(apply(bundle.artifacts[0]), *bundle.artifacts[1:]))


def with_ssim(value: float) -> Callable[[Measurements], Measurements]:
    def change(measured: Measurements) -> Measurements:
        scores = (replace(measured.end_to_end.scores[0], ssim=value), *measured.end_to_end.scores[1:])
        return replace(measured, end_to_end=replace(measured.end_to_end, scores=scores))

    return change


def with_speed(factor: float) -> Callable[[Measurements], Measurements]:
    def change(measured: Measurements) -> Measurements:
        rows = (
            replace(row, over_ort_float=row.over_ort_float * factor, over_pytorch=row.over_pytorch * factor) for row in measured.latency
        )
        return replace(measured, latency=tuple(rows))

    return change


def judged(honest: Path, change: Callable[[Measurements], Measurements | None], allowed: ParitySettings | None = None) -> Parity:
    bundle = read_bundle(honest)
    return compare(Baseline("1.0.0", bundle), changed(bundle, change), allowed or ParitySettings())


def names(found: Parity) -> list[tuple[str, str]]:
    return [(row.artifact, row.quantity) for row in found.rows if row.failure]


def test_a_worse_picture_stops_the_candidate_and_one_within_the_allowance_does_not(honest: Path) -> None:
    worst = min(score.ssim or 0.0 for score in read_bundle(honest).artifacts[0].measurements.end_to_end.scores)  # type: ignore[union-attr]
    assert names(judged(honest, with_ssim(worst - 0.004))) == []
    assert names(judged(honest, with_ssim(worst - 0.006))) == [("onnx-float32-32x32", "SSIM worst")]
    assert names(judged(honest, with_ssim(float("nan")))) == [("onnx-float32-32x32", "SSIM mean"), ("onnx-float32-32x32", "SSIM worst")]
    assert names(judged(honest, with_ssim(worst - 0.006), ParitySettings(max_ssim_drop=0.01))) == []


def test_speed_is_compared_as_a_ratio_to_float(honest: Path) -> None:
    assert names(judged(honest, with_speed(0.91))) == []
    assert names(judged(honest, with_speed(0.89))) == [("onnx-float32-32x32", "times ORT float"), ("onnx-float32-32x32", "times PyTorch")]


def test_what_was_not_measured_stops_the_candidate(honest: Path) -> None:
    found = judged(honest, lambda measured: None)
    assert len(names(found)) == 5
    assert "was not measured of the candidate" in found.failures[-1]


def test_an_artifact_that_is_gone_stops_the_candidate(honest: Path) -> None:
    bundle = read_bundle(honest)
    found = compare(Baseline("1.0.0", bundle), replace(bundle, artifacts=bundle.artifacts[:1]), ParitySettings())
    assert "onnx-int8-32x32: is in the release, and not in the candidate" in found.failures


def test_the_action_runs_the_command(signed: Signed) -> None:
    import yaml

    action = yaml.safe_load((Path(__file__).parents[2] / ".github/actions/parity/action.yml").read_text())
    assert action["runs"]["using"] == "composite"
    (step,) = (step for step in action["runs"]["steps"] if "instantstyle parity" in step["run"])
    assert {"baseline", "candidate", "key"} <= action["inputs"].keys()
    assert all(f"{name.upper()}" in step["env"] for name in ("baseline", "candidate", "key"))
    assert "${{" not in step["run"], "inputs reach the shell as variables, never as text of the script"


def test_content_of_the_bundle_stays_as_it_is(signed: Signed, registry: Path) -> None:
    before = content(signed.dist)
    run("parity", "--baseline", f"{registry}@stable", "--candidate", signed.dist, "--key", signed.public)
    assert json.dumps(content(signed.dist)) == json.dumps(before)
