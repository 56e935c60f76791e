"""What the result of each stage depends on besides its inputs: folders of the product, packages, and the machine. The one table of it.

A test imports every stage in a process of its own and refuses what is loaded and not declared here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ...system.errors import InstantStyleError
from ...system.versions import LIBRARIES, TARGET_LIBRARIES

SEARCH_LIBRARIES = ("optuna",)

# What arranges, shows, stores or judges: it is loaded with stages and cannot change their results.
IDLE = (
    ("instantstyle", "system", "recipe", "cli", "export/__init__.py", "export/bundle", "export/cache", "targets/__init__.py")
    + ("targets/base.py", "validation/__init__.py", "validation/judge", "validation/page.py", "validation/plots.py", "validation/report")
    + ("validation/results",)
)  # fmt: skip
FITTING = ("model", "metrics", "calibration", "capture", "compression", "export/source", "export/stages")
MEASURING = (*FITTING, "targets", "validation/results", "validation/measure", "validation/golden", "validation/judge/speed.py")


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


_TARGETS = MEASURING, (*LIBRARIES, *TARGET_LIBRARIES)

STAGES: Mapping[str, Stage] = {
    "images": Stage(("calibration.imageset", "export.source.source")),
    "probe": Stage(("export.source.source", "export.source.photo_probe")),
    "importance": Stage(("export.stages.prune", "compression.pruning.prune")),
    "prune": Stage(("export.stages.prune", "compression.pruning.whole", "compression.pruning.checkpoint")),
    "recover": Stage(("export.stages.prune", "compression.distillation.recover", "compression.pruning.checkpoint")),
    "rounded": Stage(("export.stages.prune", "compression.distillation.rounded", "compression.pruning.checkpoint")),
    "qat": Stage(("export.stages.quantize", "compression.quantization.qat")),
    "plan": Stage(("export.stages.plan", "compression.quantization.plan.make")),
    "calibrate": Stage(("export.stages.quantize", "compression.quantization.quantize")),
    "capture": Stage(("export.stages.capture", "compression.quantization.capture")),
    "headroom": Stage(("export.stages.headroom", "validation.measure.magnitudes"), MEASURING),
    "losses": Stage(("export.stages.losses", "validation.measure.module_losses"), MEASURING),
    "preflight": Stage(("export.stages.preflight", "targets"), *_TARGETS, on_device=True),
    "emit": Stage(("export.stages.emit", "targets"), *_TARGETS, on_device=True),
    "validate": Stage(("export.stages.measure", "targets", "validation.measure.memory"), *_TARGETS, on_device=True),
    "blame": Stage(("export.stages.blame", "compression.quantization.ranges", "validation.measure.blame"), *_TARGETS),
    "times": Stage(("export.stages.blame", "targets"), *_TARGETS, on_device=True),
    "golden": Stage(("export.stages.golden",), MEASURING),
    "styles": Stage(("export.app.styles",), (*FITTING, "export/app")),
    "replay": Stage(("export.stages.replay", "targets"), *_TARGETS, on_device=True),
    "sensitivity": Stage(("search.stage", "search.analysis"), (*MEASURING, "search")),
    "search": Stage(
        ("search.trial", "search.study", "targets"),
        (*MEASURING, "search"),
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
        raise InstantStyleError(f"stage '{stage}' is not in export/cache/dependencies.py; declare there what its results depend on")
    return STAGES[stage]
