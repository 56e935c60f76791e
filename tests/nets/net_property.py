"""What must hold for every net: it is refused with a reason, or every form of it computes what the module computes."""

import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from net_integers import as_executed, as_written, halved, rewritten
from net_spec import Net, build, pictures
from torch import Tensor, nn

from instantstyle.capture.program import GraphProgram, Program
from instantstyle.compression.quantization.capture import float_graph, quantized_graph
from instantstyle.compression.quantization.quantize import PreparedGraph, prepare, set_mode
from instantstyle.compression.quantization.ranges import fix_ranges
from instantstyle.export.source.probe import as_model
from instantstyle.model.graph import Graph
from instantstyle.recipe.precision import Precision
from instantstyle.recipe.recipe import QuantizeSettings
from instantstyle.system.errors import CaptureError, InstantStyleError
from instantstyle.targets.base import Target
from instantstyle.targets.onnx.exporter import to_onnx
from instantstyle.targets.registry import get_target
from instantstyle.validation.measure.quality import checked_run

SETTINGS = QuantizeSettings(method="ptq", observer="min_max")
T = TypeVar("T")
CALIBRATION, TRIALS = 4, 2
# Largest difference as a share of the largest value. A float16 rounding inside a module (mix.double) that falls the other way costs 0.002.
PREPARED, FLOAT32, CONVERTED, FLOAT16 = 1e-4, 3e-3, 1e-3, 2e-2
# Energy of the error as a share of the signal's: of the int8 program in ONNX against fake quantisation, every node computed as written,
# besides twice what quantisation loses (sums that fall on half a level, as a Haar transform's do, are rounded by the last bit of float
# arithmetic, and a norm behind them enlarges it: two programs whose roundings have nothing in common differ so much); of the rewritten
# one against itself as ONNX Runtime executes it, besides what quantisation loses, for the same reason; of an evaluated package
# besides twice what it loses.
WRITTEN, EXECUTED, EVALUATED = 1e-3, 0.01, 0.01


@dataclass(frozen=True)
class Outcome:
    """What became of one step: ``kind`` is ``equal``, ``refused``, ``wrong`` or ``crash``."""

    step: str
    kind: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.step}: {self.kind} {self.detail}"


@dataclass(frozen=True)
class Prepared:
    """A net with fake quantisers and ranges, and its results on the trial pictures under fake quantisation."""

    graph: PreparedGraph
    results: list[Tensor]


class Wrong(Exception):
    """A form of the net computes something else."""


@dataclass(frozen=True)
class Form:
    """One artifact to make: target and precision."""

    target: str
    precision: Precision

    def __str__(self) -> str:
        return f"{self.target} {self.precision}"


FORMS = (Form("onnx", Precision.FLOAT32), Form("onnx", Precision.INT8), Form("android", Precision.INT8))
APPLE = (Form("coreml", Precision.FLOAT16), Form("coreml", Precision.INT8))
EDGE = tuple(Form(target, each) for target in ("openvino", "litert") for each in (Precision.FLOAT32, Precision.INT8))


def check(net: Net, forms: Sequence[Form] = FORMS) -> list[Outcome]:
    """Takes a net through load, prepare, float, convert and emission; a step that fails ends what depends on it."""
    return list(_check(net, forms))


def _check(net: Net, forms: Sequence[Form]) -> Iterator[Outcome]:
    module = build(net)
    # Of 256 levels, as photos are: a pixel buffer has no others.
    images = ((pictures(TRIALS, net.size, torch.Generator().manual_seed(2)) + 1) * 127.5).round().div(127.5).sub(1).split(1)
    with torch.no_grad():
        wanted = [module(image.clone()) for image in images]

    model, outcome = _step("load", lambda: as_model(module, "net", (net.size,)))
    yield outcome
    if model is None:
        return
    (graph,) = model.graphs
    prepared, outcome = _step("prepare", lambda: _prepared(graph, net, images, wanted))
    yield outcome
    plain, outcome = _step("float", lambda: _captured(graph, net, images, wanted))
    yield outcome
    if plain is None:
        return
    whole = None
    if prepared is not None:
        whole, outcome = _step("convert", lambda: _converted(graph, net, plain, prepared, images))
        yield outcome
    for form in forms:
        program = whole if form.precision is Precision.INT8 else Program(model.name, net.size, (plain,))
        if program is not None:
            reference = prepared.results if prepared is not None and form.precision is Precision.INT8 else wanted
            yield _step(
                str(form), lambda form=form, program=program, reference=reference: _emitted(form, program, images, wanted, reference)
            )[1]


def _step(name: str, work: Callable[[], T]) -> tuple[T | None, Outcome]:
    """What ``work`` makes, None if it fails, and what became of it."""
    try:
        with _seeded():
            made = work()
    except InstantStyleError as error:
        return None, Outcome(name, "refused", f"{type(error).__name__}: {error}")
    except Wrong as error:
        return None, Outcome(name, "wrong", str(error))
    except Exception as error:
        return None, Outcome(name, "crash", f"{type(error).__name__}: {str(error).strip()[:300]}{_frame(error)}")
    return made, Outcome(name, "equal", made if isinstance(made, str) else "")


@contextmanager
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def _frame(error: Exception) -> str:
    """The innermost line of our own code."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "site-packages" not in frame.filename and "/tests/" not in frame.filename
    ]
    return f" at {Path(frames[-1].filename).name}:{frames[-1].lineno} {frames[-1].name}" if frames else ""


def _prepared(graph: Graph, net: Net, images: Sequence[Tensor], wanted: Sequence[Tensor]) -> Prepared:
    """The prepared graph with its ranges, and results under fake quantisation."""
    learn = pictures(CALIBRATION, net.size, torch.Generator().manual_seed(3)).split(1)
    prepared = prepare(graph, net.size, SETTINGS)
    with torch.no_grad():
        _compare([prepared.module(image.clone()) for image in images], wanted, PREPARED)
        fix_ranges(prepared, graph, [{"image": image.numpy()} for image in learn], SETTINGS)
        set_mode(prepared, fake_quantize=True)
        return Prepared(prepared, [prepared.module(image.clone()) for image in images])


def _captured(graph: Graph, net: Net, images: Sequence[Tensor], wanted: Sequence[Tensor]) -> GraphProgram:
    captured = float_graph(graph, net.size, ())
    with torch.no_grad():
        _compare([_run(captured.float_program, image) for image in images], wanted, PREPARED)
    return captured


def _converted(graph: Graph, net: Net, plain: GraphProgram, prepared: Prepared, images: Sequence[Tensor]) -> Program:
    """The program of all precisions."""
    made = quantized_graph(graph, net.size, prepared.graph, (), plain.float_program)
    assert made.int8_program is not None
    with torch.no_grad():
        _compare([_run(made.int8_program, image) for image in images], prepared.results, CONVERTED)
    return Program("net", net.size, (made,))


def _run(program: torch.export.ExportedProgram, image: Tensor) -> Tensor:
    module: nn.Module = program.module()
    return module(image.clone())


def _emitted(form: Form, program: Program, images: Sequence[Tensor], wanted: Sequence[Tensor], reference: Sequence[Tensor]) -> str:
    """Notes how far the artifact is from the module, and how far fake quantisation is."""
    target: Target = get_target(form.target)
    graph = program.graphs[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = target.preflight(program, [form.precision])
        if found:
            raise CaptureError("; ".join(map(str, found)))
        artifact = target.emit(program, form.precision, folder)
        with target.open(artifact, folder, graph.name, 1) as runner:
            run = checked_run(runner.run, Graph(graph.name, nn.Identity(), graph.inputs, graph.outputs), program.size, artifact.name)
            results = [torch.from_numpy(run({"image": image.numpy()})["output"]) for image in images]
    if form.target == "coreml":
        wanted, reference = ([value.clamp(-1, 1) for value in values] for values in (wanted, reference))
    if form.precision is not Precision.INT8:
        _compare(results, wanted, FLOAT32 if form.precision is Precision.FLOAT32 else FLOAT16)
        return ""
    if form.target in ("onnx", "android"):
        return _integers(form, program, images, wanted, reference)
    return _limited("the artifact", _loss(results, wanted), 2 * _loss(reference, wanted) + EVALUATED)


def _integers(form: Form, program: Program, images: Sequence[Tensor], wanted: Sequence[Tensor], reference: Sequence[Tensor]) -> str:
    """An int8 ONNX model beside fake quantisation, step by step, on this processor whatever its kernels are."""
    plain = to_onnx(program.graphs[0], Precision.INT8, program.size)
    gentle = rewritten(halved(plain), form.target)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lost = _loss(reference, wanted)
        told = [_limited("the ONNX model from fake quantisation", _loss(as_written(plain, folder, images), reference), 2 * lost + WRITTEN)]
        finer = _loss(as_written(rewritten(plain, form.target), folder, images), wanted)
        told.append(_limited("the rewritten model", finer, 1.5 * lost + WRITTEN))
        written = as_written(gentle, folder, images)
        told.append(
            _limited("execution from what is written", _loss(as_executed(gentle, form.target, folder, images), written), lost + EXECUTED)
        )
    return ", ".join(told)


def _limited(what: str, loss: float, limit: float) -> str:
    text = f"{what} {loss:.2g} of {limit:.2g}"
    if not loss <= limit:
        raise Wrong(text)
    return text


def _compare(results: Sequence[Tensor], wanted: Sequence[Tensor], limit: float) -> None:
    for result, expected in zip(results, wanted, strict=True):
        if result.shape != expected.shape:
            raise Wrong(f"shape {tuple(result.shape)}, not {tuple(expected.shape)}")
        share = float((result - expected).abs().max() / expected.abs().max())
        if not share <= limit:
            raise Wrong(f"differs by {share:.2g} of the largest value")


def _loss(results: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    error = sum(float((result - expected).double().square().sum()) for result, expected in zip(results, wanted, strict=True))
    return error / sum(float((expected - expected.mean()).double().square().sum()) for expected in wanted)
