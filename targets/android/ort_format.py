"""ONNX models to ONNX Runtime's own format, which a phone opens without an optimiser."""

import shutil
from contextlib import suppress
from pathlib import Path

from ...system.errors import CaptureError
from ...system.silence import silence
from .compact import UnknownFieldError, compact

OPERATORS_FILE = "required_operators.config"
# The one optimisation whose nodes exist on x86 alone: convolutions on blocked channels.
X86_ONLY = ["NchwcTransformer"]
LOG_NOTHING = 4


def to_ort_format(source: Path, folder: Path, halve: bool) -> None:
    """Every ``.onnx`` file of ``source`` to an ``.ort`` file in ``folder``, with the list of operators that they need.

    Files are compact, and equal for equal models, see ``compact``. The graph is optimised twice. An ``.ort`` file keeps a description of
    every tensor that its optimiser saw, also of those that it removed; the second time there is hardly any (2% less of a 3.5 MB file).

    Args:
        halve: whether float weights are stored in half precision.

    Raises:
        CaptureError: ONNX Runtime's converter left one out.
    """
    optimized = source / "optimized"
    optimized.mkdir()
    paths = sorted(source.glob("*.onnx"))
    for path in paths:
        _optimize(path, optimized / path.name)
    try:
        halved = [halve and _halve(optimized / path.name) for path in paths]
        _convert(optimized, folder, finished=any(halved))
    finally:
        shutil.rmtree(optimized)


def _optimize(path: Path, output: Path) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = LOG_NOTHING
    options.optimized_model_filepath = str(output)
    # As the converter does for Arm, where kernels for int8 activations are as good as for uint8.
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"], disabled_optimizers=X86_ONLY)


def _halve(path: Path) -> bool:
    """After the optimiser, which would fold the Cast of a constant into a float32 again."""
    import onnx_ir as ir

    from ..onnx.rewrites.store_half import store_half

    model = ir.load(path)
    changes = store_half.change(model)
    if changes:
        ir.save(model, path)
    return bool(changes)


def _convert(source: Path, folder: Path, finished: bool) -> None:
    """``finished``: the models are taken as they are, where the converter would optimise them once more."""
    from onnxruntime.tools.convert_onnx_models_to_ort import (
        OptimizationStyle,
        convert_onnx_models_to_ort,
        create_config_from_models,
    )

    config = folder / OPERATORS_FILE
    with silence():
        if finished:
            models = [_save(path, folder / f"{path.stem}.ort") for path in sorted(source.glob("*.onnx"))]
            create_config_from_models(models, config, enable_type_reduction=False)
        else:
            convert_onnx_models_to_ort(source, folder, [OptimizationStyle.Fixed], target_platform="arm")
    wanted = sorted(path.with_suffix(".ort").name for path in source.glob("*.onnx"))
    made = sorted(path.name for path in folder.glob("*.ort"))
    if made != wanted:
        raise CaptureError(f"ONNX Runtime's converter wrote {made}, not {wanted}")
    # Its head has the absolute paths of this machine.
    lines = [line for line in config.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    for path in folder.glob("*.ort"):
        # What a newer ONNX Runtime writes may have fields that are not known here: it stays as it is.
        with suppress(UnknownFieldError):
            path.write_bytes(compact(path.read_bytes()))
    head = f"# Operators of {', '.join(made)}, for a reduced build: --include_ops_by_config"
    config.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")


def _save(path: Path, output: Path) -> Path:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = LOG_NOTHING
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.optimized_model_filepath = str(output)
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return output
