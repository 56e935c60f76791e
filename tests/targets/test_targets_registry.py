"""The registry: built-in targets, other packages' targets, and what happens to broken ones."""

import subprocess
import sys
from pathlib import Path

import pytest
from plugin import TARGET_MODULE, install

from instantstyle.capture.program import Program
from instantstyle.recipe.precision import Precision
from instantstyle.system.errors import InstantStyleError, TargetUnavailableError
from instantstyle.targets.android.target import AndroidTarget
from instantstyle.targets.base import Artifact, Target
from instantstyle.targets.coreai.target import CoreAITarget
from instantstyle.targets.coreml.target import CoreMLTarget
from instantstyle.targets.executorch.target import ExecuTorchTarget
from instantstyle.targets.litert.target import LiteRTTarget
from instantstyle.targets.onnx.target import OnnxTarget
from instantstyle.targets.openvino.target import OpenVINOTarget
from instantstyle.targets.pt2.target import PT2Target
from instantstyle.targets.qnn.target import QNNTarget
from instantstyle.targets.registry import get_target, targets
from instantstyle.targets.tensorrt.target import TensorRTRTXTarget, TensorRTTarget
from instantstyle.targets.torchscript.target import TorchScriptTarget
from instantstyle.targets.triton.target import TritonTarget
from instantstyle.targets.web.target import WebTarget

BROKEN_KINDS = """
class Odd:
    pass

class Fails:
    def __init__(self):
        1 / 0
"""
HEAVY = (
    "coreai",
    "coreai_torch",
    "coremltools",
    "executorch",
    "openvino",
    "ai_edge_litert",
    "tensorrt_rtx",
    "onnxruntime",
    "onnxruntime_qnn",
    "onnx",
    "onnx_ir",
    "onnxscript",
    "onnxsim",
    "torch.onnx",
    "torchao",
)
EMPTY = Program("none", (8, 8), ())
BUILT_IN = {
    "android": AndroidTarget,
    "coreai": CoreAITarget,
    "coreml": CoreMLTarget,
    "executorch": ExecuTorchTarget,
    "litert": LiteRTTarget,
    "onnx": OnnxTarget,
    "openvino": OpenVINOTarget,
    "pt2": PT2Target,
    "qnn": QNNTarget,
    "tensorrt": TensorRTTarget,
    "tensorrt_rtx": TensorRTRTXTarget,
    "torchscript": TorchScriptTarget,
    "triton": TritonTarget,
    "web": WebTarget,
}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on ``sys.path``."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def assert_unavailable(target: Target, reason: str, remedy: str, folder: Path) -> None:
    availability = target.availability()
    assert not availability.can_emit and not availability.can_run
    assert reason in availability.reason and remedy in availability.remedy
    with pytest.raises(TargetUnavailableError, match=target.name):
        target.emit(EMPTY, Precision.FLOAT32, folder)
    with pytest.raises(TargetUnavailableError, match=target.name):
        target.open(Artifact(target.name, Precision.FLOAT32, (8, 8), (), (), 0), folder, "graph", threads=1)


def test_built_in_targets() -> None:
    assert {name: type(target) for name, target in targets().items()} == BUILT_IN
    assert all(name == target.name and target.description and target.precisions for name, target in targets().items())


def test_unknown_name_lists_those_there_are() -> None:
    with pytest.raises(InstantStyleError, match=rf"no target 'andriod'; the targets are {', '.join(sorted(BUILT_IN))}"):
        get_target("andriod")


def test_broken_third_party_costs_only_itself(site: Path) -> None:
    install(
        site,
        "broken-things",
        {
            "broken_import": "import a_package_that_is_not_there",
            "broken_kinds": BROKEN_KINDS,
        },
        {"gone": "broken_import:Target", "lost": "no_such_module:Target", "odd": "broken_kinds:Odd", "fails": "broken_kinds:Fails"},
    )
    install(site, "tiny-target", {"tiny_good": TARGET_MODULE, "tiny_runtime": ""}, {"tiny": "tiny_good:TinyTarget"})
    found = targets()
    assert list(found) == [*BUILT_IN, "fails", "gone", "lost", "odd", "tiny"]
    assert found["tiny"].availability().can_emit and found["onnx"].availability().can_emit
    for name, reason in {
        "gone": "broken_import:Target cannot be loaded: ModuleNotFoundError: No module named 'a_package_that_is_not_there'",
        "lost": "No module named 'no_such_module'",
        "odd": "broken_kinds:Odd is no instantstyle.targets.base.Target",
        "fails": "ZeroDivisionError",
    }.items():
        assert_unavailable(found[name], reason, "repair or uninstall broken-things", site)


def test_third_party_cannot_replace_a_target(site: Path) -> None:
    install(site, "impostor", {"impostor": TARGET_MODULE.replace('name = "tiny"', 'name = "onnx"')}, {"onnx": "impostor:TinyTarget"})
    assert type(get_target("onnx")) is OnnxTarget
    assert_unavailable(get_target("onnx@impostor"), "the name 'onnx' is taken", "uninstall impostor", site)


def test_entry_point_and_target_must_agree_on_the_name(site: Path) -> None:
    install(site, "renamed", {"renamed": TARGET_MODULE}, {"small": "renamed:TinyTarget"})
    assert_unavailable(get_target("small"), "calls itself 'tiny', its entry point 'small'", "uninstall renamed", site)


def test_listing_targets_imports_no_heavy_package() -> None:
    script = (
        "import sys; from instantstyle.targets.registry import targets\n"
        "[target.availability() for target in targets().values()]\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
