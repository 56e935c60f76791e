"""The targets by name: the built-in ones and those of other packages.

Another package adds a target with an entry point of the group ``instantstyle.targets``: its name is the target's, its value
a ``Target`` subclass that takes no arguments.
"""

from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from ..capture.program import Program
from ..recipe.precision import Precision
from ..system.errors import InstantStyleError, TargetUnavailableError
from .android.target import AndroidTarget
from .base import Artifact, Availability, Runner, Target
from .coreai.target import CoreAITarget
from .coreml.target import CoreMLTarget
from .environments.remote import elsewhere
from .executorch.target import ExecuTorchTarget
from .litert.target import LiteRTTarget
from .onnx.target import OnnxTarget
from .openvino.target import OpenVINOTarget
from .pt2.target import PT2Target
from .qnn.target import QNNTarget
from .tensorrt.target import TensorRTRTXTarget, TensorRTTarget
from .torchscript.target import TorchScriptTarget
from .triton.target import TritonTarget
from .web.target import WebTarget

GROUP = "instantstyle.targets"
BUILT_IN: tuple[type[Target], ...] = (
    *(AndroidTarget, CoreAITarget, CoreMLTarget, ExecuTorchTarget, LiteRTTarget, OnnxTarget, OpenVINOTarget),
    *(PT2Target, QNNTarget, TensorRTTarget, TensorRTRTXTarget, TorchScriptTarget, TritonTarget, WebTarget),
)


class BrokenTarget(Target):
    """Stands for a target whose package cannot be loaded, so that ``doctor`` can list it with the reason."""

    precisions = ()

    def __init__(self, name: str, source: str, reason: str) -> None:
        self.name = name
        self.description = f"from {source}"
        self._reason = reason
        self._remedy = f"repair or uninstall {source}"

    def availability(self) -> Availability:
        return Availability(can_emit=False, can_run=False, reason=self._reason, remedy=self._remedy)

    def emit(self, program: Program, precision: Precision, folder: Path) -> Artifact:
        raise self._error()

    def open(self, artifact: Artifact, folder: Path, graph: str, threads: int) -> Runner:
        raise self._error()

    def _error(self) -> TargetUnavailableError:
        return TargetUnavailableError(f"target '{self.name}' {self.description}: {self._reason}; {self._remedy}")


def targets() -> dict[str, Target]:
    """All targets by name, as ``own_targets`` has them; those that have an environment of their own, and need it, work there."""
    return {name: elsewhere(target) for name, target in own_targets().items()}


def own_targets() -> dict[str, Target]:
    """All targets in this environment: the built-in ones first, then those of other packages. A broken one is there, unavailable.

    A package cannot replace a target that exists; its own is listed as ``name@package`` then, unavailable.
    """
    found: dict[str, Target] = {kind.name: kind() for kind in BUILT_IN}
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, _source(point))):
        if point.name in found:
            name = f"{point.name}@{_source(point)}"
            found[name] = BrokenTarget(name, _source(point), f"the name '{point.name}' is taken")
        else:
            found[point.name] = _load(point)
    return found


def get_target(name: str) -> Target:
    """The target of that name.

    Raises:
        InstantStyleError: there is none; lists those there are.
    """
    found = targets()
    if name not in found:
        raise InstantStyleError(f"there is no target '{name}'; the targets are {', '.join(sorted(found))}")
    return found[name]


def _source(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.module


def _load(point: EntryPoint) -> Target:
    try:
        kind = point.load()
        target = kind()
    except Exception as error:
        # Other people's code: whatever it raises must cost nothing but their own target, and must be seen.
        return BrokenTarget(point.name, _source(point), f"{point.value} cannot be loaded: {type(error).__name__}: {error}")
    if not isinstance(target, Target):
        return BrokenTarget(point.name, _source(point), f"{point.value} is no instantstyle.targets.base.Target")
    if target.name != point.name:
        return BrokenTarget(point.name, _source(point), f"{point.value} calls itself '{target.name}', its entry point '{point.name}'")
    return target
