"""What the result of each stage depends on besides its inputs: sources, packages, and the machine. The one table of it.

A test imports every stage in a process of its own and refuses what is loaded and not declared here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ..model.errors import InstantStyleError

# Packages that compute; of others the version does not matter. A target's are no reason to train again.
LIBRARIES = ("torch", "torchao", "torch-pruning", "numpy", "pillow", "safetensors", "scikit-image", "sympy")
TARGET_LIBRARIES = (
    ("coremltools", "flatbuffers", "ml_dtypes", "onnx", "onnx-ir", "onnxruntime", "onnxruntime-gpu", "onnxscript", "onnxsim")
    + ("protobuf", "tensorrt", "tensorrt-rtx")
)  # fmt: skip
SEARCH_LIBRARIES = ("optuna",)

# Files that arrange, show, store or judge: they are loaded with stages and cannot change their results.
IDLE = frozenset(
    {
        f"export/{name}.py"
        for name in "bundling cli defect dependencies device disk doctor events lock logs measure pipeline progress".split()
    }
    | {f"export/{name}.py" for name in "recipe recipe_errors release settings store summary swap".split()}
    | {f"validation/{name}.py" for name in "agreement bundle checks choice comparison entries gate integrity junit limits".split()}
    | {f"validation/{name}.py" for name in "listing page plausible rejudge report rows".split()}
    | {"pruning/report.py"}
)
FITTING = ("model", "calibration", "export", "pruning", "validation", "targets/__init__.py", "targets/artifact.py", "targets/base.py")


@dataclass(frozen=True)
class Stage:
    """What one stage depends on.

    Attributes:
        modules: where its work is done, also those that are imported while it runs; packages stand for all of their modules.
        sources: folders and files of the product.
        libraries: packages by their name in the index.
        on_device: whether it builds for this machine, or measures on it.
    """

    modules: tuple[str, ...]
    sources: tuple[str, ...] = FITTING
    libraries: tuple[str, ...] = LIBRARIES
    on_device: bool = False


_TARGETS = (*FITTING, "targets"), (*LIBRARIES, *TARGET_LIBRARIES)

STAGES: Mapping[str, Stage] = {
    "images": Stage(("calibration.imageset", "export.stages")),
    "probe": Stage(("export.stages", "export.photo_probe")),
    "importance": Stage(("export.prune", "pruning.prune")),
    "prune": Stage(("export.prune", "pruning.stage", "pruning.checkpoint")),
    "recover": Stage(("export.prune", "pruning.recover", "pruning.checkpoint")),
    "qat": Stage(("export.stages", "export.qat")),
    "calibrate": Stage(("export.stages", "export.quantize")),
    "capture": Stage(("export.stages", "export.capture")),
    "headroom": Stage(("export.headroom", "validation.magnitudes")),
    "preflight": Stage(("export.preflight", "targets"), *_TARGETS, on_device=True),
    "emit": Stage(("export.emission", "targets"), *_TARGETS, on_device=True),
    "validate": Stage(("export.measuring", "targets", "validation.memory", "validation.mil"), *_TARGETS, on_device=True),
    "golden": Stage(("export.golden",)),
    "styles": Stage(("export.app.styles",)),
    "replay": Stage(("export.replaying", "targets"), *_TARGETS, on_device=True),
    "sensitivity": Stage(("search.stage", "search.analysis"), (*FITTING, "search")),
    "search": Stage(
        ("search.trial", "search.search", "targets"),
        (*FITTING, "targets", "search"),
        (*LIBRARIES, *TARGET_LIBRARIES, *SEARCH_LIBRARIES),
        on_device=True,
    ),
}


def dependencies(stage: str) -> Stage:
    """What a stage depends on.

    Raises:
        InstantStyleError: it is not in the table, so that nobody knows when its results are stale.
    """
    if stage not in STAGES:
        raise InstantStyleError(f"stage '{stage}' is not in export/dependencies.py; declare there what its results depend on")
    return STAGES[stage]
