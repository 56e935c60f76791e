"""The best int8 tools beside ours, used as their documentation recommends, on the same calibration photos.

Each is a function from a float graph to a file in a folder of its own. NNCF and AI Edge Quantizer are in the environment that
``make bench-networks`` makes; the others come with the project.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from instantstyle.model.graph import Arrays, Graph, Size
from instantstyle.system.errors import InstantStyleError
from instantstyle.targets.litert.interface import to_file

ORT, OPENVINO, LITERT = "ONNX Runtime", "OpenVINO", "LiteRT"
OPSET = 18


@dataclass(frozen=True)
class FloatGraph:
    """What a peer is given.

    Attributes:
        onnx: as ``torch.onnx.export`` writes it, without the exporter's notes, which cost bytes.
        tflite: the float file of our target ``litert``; None if it refused the network.
        calibration: inputs by name, of one sample after the other.
    """

    graph: Graph
    onnx: Path
    tflite: Path | None
    calibration: Sequence[Arrays]


@dataclass(frozen=True)
class Peer:
    """Another tool.

    Attributes:
        runtime: that its files run on.
        packages: whose versions count.
        quantize: writes into a folder; the file to open.
    """

    name: str
    runtime: str
    packages: tuple[str, ...]
    quantize: Callable[[FloatGraph, Path], Path]

    @property
    def versions(self) -> str:
        """E.g. ``nncf 3.4.0, openvino 2026.4.1``. InstantStyleError if one is not installed."""
        try:
            return ", ".join(f"{package} {version(package)}" for package in self.packages)
        except PackageNotFoundError as error:
            raise InstantStyleError(f"{error.name} is not installed; make bench-networks makes an environment that has it") from None


def export_onnx(graph: Graph, size: Size, path: Path) -> None:
    """A graph as its author would export it."""
    import onnx

    example = tuple(torch.zeros(spec.shape(size)) for spec in graph.inputs)
    given, made = [spec.name for spec in graph.inputs], [spec.name for spec in graph.outputs]
    program = torch.onnx.export(
        graph.module, example, dynamo=True, opset_version=OPSET, verbose=False, input_names=given, output_names=made
    )
    if program is None:
        raise RuntimeError(f"torch.onnx.export gave nothing for graph '{graph.name}'")
    model = program.model_proto
    for each in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output, model.graph):
        each.ClearField("metadata_props")
        each.ClearField("doc_string")
    onnx.save(model, path)


class Reader:
    """ONNX Runtime's way to read calibration samples."""

    def __init__(self, samples: Sequence[Arrays]) -> None:
        self._left: Iterator[Arrays] = iter(samples)

    def get_next(self) -> dict[str, Any] | None:
        sample = next(self._left, None)
        return None if sample is None else dict(sample)


def ort_static(given: FloatGraph, folder: Path) -> Path:
    """Its defaults (ranges from least to greatest, signed) with a scale for each channel, after its own pre-processing."""
    return _ort_static(given, folder)


def ort_percentile(given: FloatGraph, folder: Path) -> Path:
    """Unsigned activations, 99.99th percentile, convolutions alone: of this tool, the best and fastest on a trained style network."""
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization.calibrate import create_calibrator, save_tensors_data

    kinds = ["Conv"]
    with tempfile.TemporaryDirectory(prefix="instantstyle-") as temporary:
        ranges = Path(temporary) / "ranges.json"
        prepared = _prepared(given, Path(temporary))
        options = {"percentile": 99.99, "num_bins": 2048, "symmetric": False}
        calibrator: Any = create_calibrator(
            prepared,
            kinds,
            augmented_model_path=str(Path(temporary) / "augmented.onnx"),
            calibrate_method=CalibrationMethod.Percentile,
            extra_options=options,
        )
        # One after the other: all at once would be held in memory with everything that they make.
        for sample in given.calibration:
            calibrator.collect_data(Reader([sample]))
        save_tensors_data(calibrator.compute_data(), ranges)
        method = {"calibrate_method": CalibrationMethod.Percentile, "calibration_cache_path": ranges}
        return _ort_static(given, folder, op_types_to_quantize=kinds, activation_type=QuantType.QUInt8, **method)


def _prepared(given: FloatGraph, folder: Path) -> Path:
    from onnxruntime.quantization.shape_inference import quant_pre_process

    path = folder / "prepared.onnx"
    quant_pre_process(str(given.onnx), str(path))
    return path


def _ort_static(given: FloatGraph, folder: Path, **options: Any) -> Path:
    from onnxruntime.quantization import QuantFormat, quantize_static

    path = folder / f"{given.graph.name}.onnx"
    with tempfile.TemporaryDirectory(prefix="instantstyle-") as temporary:
        prepared, reader = _prepared(given, Path(temporary)), Reader(given.calibration)
        quantize_static(prepared, path, reader, quant_format=QuantFormat.QDQ, per_channel=True, **options)  # pyright: ignore[reportArgumentType]
    return path


def _nncf(model: Any, given: FloatGraph) -> Any:
    """The mixed preset, which its documentation recommends for activations other than ReLU."""
    import nncf  # pyright: ignore[reportMissingImports]

    samples = nncf.Dataset([dict(sample) for sample in given.calibration])
    return nncf.quantize(model, samples, preset=nncf.QuantizationPreset.MIXED, subset_size=len(given.calibration))


def nncf_onnx(given: FloatGraph, folder: Path) -> Path:
    """On the ONNX file."""
    import onnx

    path = folder / f"{given.graph.name}.onnx"
    onnx.save(_nncf(onnx.load(given.onnx), given), path)
    return path


def nncf_openvino(given: FloatGraph, folder: Path) -> Path:
    """On OpenVINO's reading of the ONNX file; what stays float is stored in float16, which is OpenVINO's default."""
    import openvino

    path = folder / f"{given.graph.name}.xml"
    openvino.save_model(_nncf(openvino.Core().read_model(given.onnx), given), path)
    return path


def ai_edge_static(given: FloatGraph, folder: Path) -> Path:
    """Integers inside, weights by channel; float at both ends as all others have it, where its recipe alone has integers."""
    from ai_edge_quantizer import recipe  # pyright: ignore[reportMissingImports]
    from ai_edge_quantizer.algorithm_manager import AlgorithmName  # pyright: ignore[reportMissingImports]
    from ai_edge_quantizer.qtyping import TFLOperationName  # pyright: ignore[reportMissingImports]
    from ai_edge_quantizer.recipe_manager import RecipeManager  # pyright: ignore[reportMissingImports]

    manager = RecipeManager()
    manager.load_quantization_recipe(recipe.static_wi8_ai8())
    for end in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
        manager.add_quantization_config(".*", end, algorithm_key=AlgorithmName.NO_QUANTIZE)
    return _ai_edge(given, folder, manager.get_quantization_recipe())


def ai_edge_dynamic(given: FloatGraph, folder: Path) -> Path:
    """Weights in int8, activations quantised as they come."""
    from ai_edge_quantizer import recipe  # pyright: ignore[reportMissingImports]

    return _ai_edge(given, folder, recipe.dynamic_wi8_afp32())


def _ai_edge(given: FloatGraph, folder: Path, recipe: Any) -> Path:
    from ai_edge_quantizer.quantizer import Quantizer  # pyright: ignore[reportMissingImports]

    if given.tflite is None:
        raise RuntimeError("there is no float .tflite to start from")
    path = folder / f"{given.graph.name}.tflite"
    quantizer = Quantizer(str(given.tflite), recipe)
    samples = [{name: to_file(array) for name, array in sample.items()} for sample in given.calibration]
    ranges = quantizer.calibrate({"serving_default": samples}, num_threads=1) if quantizer.need_calibration else None
    path.write_bytes(bytes(quantizer.quantize(ranges).quantized_model or b""))
    return path


PEERS = (
    Peer("ORT static", ORT, ("onnxruntime",), ort_static),
    Peer("ORT static, percentile", ORT, ("onnxruntime",), ort_percentile),
    Peer("NNCF on ONNX", ORT, ("nncf", "onnxruntime"), nncf_onnx),
    Peer("NNCF on OpenVINO", OPENVINO, ("nncf", "openvino"), nncf_openvino),
    Peer("AI Edge, static", LITERT, ("ai-edge-quantizer", "ai-edge-litert"), ai_edge_static),
    Peer("AI Edge, dynamic", LITERT, ("ai-edge-quantizer", "ai-edge-litert"), ai_edge_dynamic),
)
