"""The files that are compared on one network: ours, from the recipe that a newcomer writes, and the peers'. All are kept in a folder."""

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import network_peers
from network_peers import LITERT, OPENVINO, ORT, PEERS, FloatGraph, Peer, export_onnx
from network_runs import OPENERS
from network_training import PHOTOS, ROOT, STYLES, Network
from torch import nn

from instantstyle.calibration.samples import make_samples
from instantstyle.capture.program import Program
from instantstyle.export.session import session
from instantstyle.export.source.checked_recipe import load_recipe
from instantstyle.export.source.source import Source, load
from instantstyle.export.stages.capture import capture, read_program
from instantstyle.export.stages.plan import fit
from instantstyle.export.stages.quantize import calibrate
from instantstyle.export.written_recipe import WrittenRecipe
from instantstyle.model.graph import Model, Run, Sample, Size
from instantstyle.model.runs import graph_inputs
from instantstyle.recipe.precision import Precision
from instantstyle.system.errors import InstantStyleError
from instantstyle.system.hashing import file_sha256
from instantstyle.system.silence import silence
from instantstyle.targets.artifact import read_manifest, write_manifest
from instantstyle.targets.registry import get_target

VALIDATION = ROOT / "samples/validation"
SIZE: Size = (256, 256)
# Ours: runtime by target.
RUNTIMES = {"onnx": ORT, "android": ORT, "openvino": OPENVINO, "litert": LITERT}
REFUSED, SUFFIXES = "refused.txt", {ORT: ".onnx", OPENVINO: ".xml", LITERT: ".tflite"}


@dataclass(frozen=True)
class Contestant:
    """What takes part, in its folder.

    Attributes:
        open: its graphs, ready to run with that many threads; int8 convolutions and convolutions of the graph asked for.
    """

    name: str
    runtime: str
    ours: bool
    shipped_bytes: int
    open: Callable[[ExitStack, int], tuple[dict[str, Run], int, int]]


@dataclass(frozen=True)
class Prepared:
    """A network with everything that takes part, and what refused it, by name."""

    model: Model
    contestants: tuple[Contestant, ...]
    refused: dict[str, str]
    samples: tuple[Sample, ...]


def prepare(network: Network, module: nn.Module, cache: Path, validation: int) -> Prepared:
    """Makes all files, or finds them made.

    Args:
        cache: a folder for this network with these weights.
        validation: photos to compare on.
    """
    given = network.as_given(module)
    styles = (STYLES, VALIDATION / "styles") if isinstance(given, Model) else (None, None)
    asked = {target: ["int8"] for target in RUNTIMES} | {"onnx": ["float32", "int8"], "litert": ["float32", "int8"]}
    written = WrittenRecipe(
        network.name,
        given,
        images=str(PHOTOS),
        validation=str(VALIDATION / "photos"),
        styles=_text(styles[0]),
        validation_styles=_text(styles[1]),
        targets=asked,
        size=SIZE,
        quantize="ptq",
        **dict.fromkeys(("limits", "input", "output", "latency", "required", "level")),
    )
    recipe = load_recipe(written.write(cache / "stages"))
    found: dict[str, Contestant | str] = {}
    with session(cache / "stages") as pipeline:
        source = load(pipeline, recipe, given)
        tuned = fit(pipeline, source)
        entries = capture(pipeline, source, SIZE, tuned, calibrate(pipeline, source, tuned)), capture(pipeline, source, SIZE, None, None)
        int8, whole = (read_program(entry, source.model) for entry in entries)
    model = source.model
    shutil.rmtree(cache / "ours", ignore_errors=True)
    for target in RUNTIMES:
        found[f"{target}-int8"] = _ours(target, int8, Precision.INT8, cache, model.hot_graph)
    for target in ("onnx", "litert"):
        found[f"{target}-float32"] = _ours(target, whole, Precision.FLOAT32, cache, model.hot_graph)
    graphs = list(_float_graphs(source, cache))
    found |= {peer.name: peer_files(peer, graphs, cache, model.hot_graph) for peer in PEERS}
    images = source.validation.sets
    samples = tuple(islice(make_samples(model, SIZE, images, "cycle"), validation))
    contestants = tuple(each for each in found.values() if isinstance(each, Contestant) and each.name != "litert-float32")
    return Prepared(model, contestants, {name: each for name, each in found.items() if isinstance(each, str)}, samples)


def _ours(target_name: str, program: Program, precision: Precision, cache: Path, hot: str) -> Contestant | str:
    """An artifact as a release emits it, or why it is none."""
    target, name = get_target(target_name), f"{target_name}-{precision}"
    folder = cache / "ours" / name
    folder.mkdir(parents=True)
    try:
        artifact = target.emit(program, precision, folder)
        write_manifest(artifact, folder)
    except InstantStyleError as error:
        return str(error)

    def open_all(stack: ExitStack, threads: int) -> tuple[dict[str, Run], int, int]:
        made = read_manifest(folder)
        runners = {graph.name: stack.enter_context(target.open(made, folder, graph.name, threads)) for graph in made.graphs}
        executed = runners[hot].execution
        return {graph: runner.run for graph, runner in runners.items()}, executed.int8_convolutions, executed.convolutions

    return Contestant(name, RUNTIMES[target_name], ours=True, shipped_bytes=artifact.shipped_bytes, open=open_all)


def _float_graphs(source: Source, cache: Path) -> Iterator[FloatGraph]:
    """What the peers start from: each graph's float files, and what the scenario feeds it on the calibration samples."""
    images, folder = source.calibration, cache / "float"
    folder.mkdir(exist_ok=True)
    fed = list(graph_inputs(source.model, images.samples(source.model, SIZE)))
    for graph in source.model.graphs:
        onnx, tflite = folder / f"{graph.name}.onnx", cache / "ours" / "litert-float32" / f"{graph.name}.tflite"
        with silence(native=True):
            export_onnx(graph, SIZE, onnx)
        yield FloatGraph(graph, onnx, tflite if tflite.is_file() else None, [each[graph.name] for each in fed])


def peer_files(peer: Peer, graphs: Sequence[FloatGraph], cache: Path, hot: str) -> Contestant | str:
    """A peer's files, made now if the folder has none of that version; or the sentence with which it refuses."""
    used = file_sha256(Path(network_peers.__file__))[:8]  # how we use it counts, too
    folder = cache / "peers" / re.sub("[^A-Za-z0-9.]+", "-", f"{peer.name} {peer.versions} {used}")
    if not folder.is_dir():
        making = folder.parent / f"{folder.name}.making"
        shutil.rmtree(making, ignore_errors=True)
        for graph in graphs:
            (making / graph.graph.name).mkdir(parents=True)
            try:
                with silence(native=True):
                    peer.quantize(graph, making / graph.graph.name)
            except Exception as error:  # whatever another tool raises is its answer
                sentence = f"graph '{graph.graph.name}': {type(error).__name__}: {' '.join(str(error).split())[:300]}"
                (making / REFUSED).write_text(sentence, encoding="utf-8")
                break
        making.rename(folder)
    if (folder / REFUSED).is_file():
        return (folder / REFUSED).read_text(encoding="utf-8")
    suffix, opener = SUFFIXES[peer.runtime], OPENERS[peer.runtime]

    def open_all(_: ExitStack, threads: int) -> tuple[dict[str, Run], int, int]:
        opened = {each.graph.name: opener(folder / each.graph.name / f"{each.graph.name}{suffix}", each.graph, threads) for each in graphs}
        return {name: each.run for name, each in opened.items()}, opened[hot].int8, opened[hot].convolutions

    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return Contestant(peer.name, peer.runtime, ours=False, shipped_bytes=size, open=open_all)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
