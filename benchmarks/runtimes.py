"""``make bench-runtimes``: one model in all runtimes that are installed, from one program, timed turn by turn in one run.

Quality is against the whole float model in PyTorch, on pairs of validation images; time is of the graph that runs once per image, as a
share of ONNX Runtime float's. The disagreement map says, module by module, how far each runtime's int8 is from the program's.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from disagreement import LIMIT_LEVELS, TOLERANCE, Disagreement, as_markdown, disagreements, tapped, worst

from instantstyle.capture.program import Program
from instantstyle.export.session import cache_folder, session
from instantstyle.export.source.checked_recipe import load_recipe
from instantstyle.export.source.source import Source, load
from instantstyle.export.stages.capture import capture, read_program
from instantstyle.export.stages.plan import fit
from instantstyle.export.stages.prune import prune
from instantstyle.export.stages.quantize import calibrate
from instantstyle.metrics.ssim import ssim
from instantstyle.metrics.statistics import median, ratio_of_medians
from instantstyle.model.graph import Arrays, Model
from instantstyle.model.runs import graph_inputs, runs_from_modules, torch_threads
from instantstyle.recipe.precision import Precision
from instantstyle.system.errors import InstantStyleError
from instantstyle.system.plotting import figure_of, png
from instantstyle.targets.artifact import describe_files, write_manifest
from instantstyle.targets.base import Artifact, Runner
from instantstyle.targets.registry import get_target
from instantstyle.validation.measure.latency import describe_machine, interleave, load_average
from instantstyle.validation.measure.memory import Request, peak_over_baseline
from instantstyle.validation.results.timing import Machine

RESULTS = Path(__file__).parent / "results"
EAGER, BASELINE = "PyTorch eager", "onnx-float32"
CONTESTANTS = (
    ("onnx", "float32"), ("onnx", "int8"), ("android", "int8"), ("openvino", "float32"), ("openvino", "float16"), ("openvino", "int8"),
    ("litert", "float32"), ("litert", "float16"), ("litert", "int8"), ("executorch", "float32"), ("executorch", "int8"),
    ("pt2", "float32"), ("torchscript", "float32"),
)  # fmt: skip
MAPPED = ("pt2", "litert", "onnx", "openvino")


@dataclass(frozen=True)
class Row:
    """One contestant; ``share`` is its time as a share of ONNX Runtime float's, with the ends of its interval."""

    name: str
    shipped_bytes: int
    int8_convolutions: int
    convolutions: int
    ssim_mean: float
    ssim_worst: float
    p50_ms: float
    share: tuple[float, float, float]
    peak_memory_bytes: int


@dataclass(frozen=True)
class Opened:
    """An artifact with all its graphs open."""

    artifact: Artifact
    folder: Path
    runners: Mapping[str, Runner]


def emit_all(program: Program, root: Path, threads: int, stack: ExitStack) -> Iterator[tuple[str, Opened | str]]:
    """Each contestant by name, or why it does not take part."""
    for name, precision in CONTESTANTS:
        target, key = get_target(name), f"{name}-{precision}"
        available = target.availability()
        if not (available.can_emit and available.can_run):
            yield key, available.reason
            continue
        folder = root / key
        folder.mkdir()
        try:
            artifact = target.emit(program, Precision(precision), folder)
            write_manifest(artifact, folder)
            runners = {graph.name: stack.enter_context(target.open(artifact, folder, graph.name, threads)) for graph in artifact.graphs}
        except InstantStyleError as error:
            yield key, str(error)
            continue
        if artifact.files != tuple(file for file in describe_files(folder)):
            raise InstantStyleError(f"{key} lists other files than it wrote")
        yield key, Opened(artifact, folder, runners)


def measure(source: Source, program: Program, pairs: int, threads: int, runs: int) -> tuple[list[Row], dict[str, str], Machine]:
    """All contestants in one run, those that do not take part with the reason, and the machine."""
    images, model, size = source.validation, source.model, program.size
    samples = images.first(model, size, pairs)
    whole = runs_from_modules(source.reference)
    references = [source.reference.scenario(whole, sample.inputs) for sample in samples]
    (fed,) = graph_inputs(model, samples[:1])
    inputs = {name: {key: np.ascontiguousarray(value, np.float32) for key, value in each.items()} for name, each in fed.items()}
    load_before = load_average()
    with tempfile.TemporaryDirectory(prefix="instantstyle-") as root, ExitStack() as stack:
        found = dict(emit_all(program, Path(root), threads, stack))
        opened = {name: each for name, each in found.items() if isinstance(each, Opened)}
        absent = {name: each for name, each in found.items() if isinstance(each, str)}
        if BASELINE not in opened:
            raise InstantStyleError(f"{BASELINE} is what all others are compared with: {absent[BASELINE]}")
        hot, eager = model.hot_graph, runs_from_modules(model)
        passes = [partial(each.runners[hot].run, inputs[hot]) for each in opened.values()] + [partial(eager[hot], inputs[hot])]
        with torch_threads(threads):
            times = dict(zip([*opened, EAGER], interleave(passes, 3, runs), strict=True))
        rows = [
            _row(name, each, model=model, samples=samples, references=references, times=times, inputs=inputs, threads=threads)
            for name, each in opened.items()
        ]
    share = ratio_of_medians(times[EAGER], times[BASELINE])
    own = [ssim(one[0], model.scenario(eager, sample.inputs)[0], -1, 1) for one, sample in zip(references, samples, strict=True)]
    scores = float(np.mean(own)), min(own)
    rows.append(Row(EAGER, 0, 0, rows[0].convolutions, *scores, median(times[EAGER]).value, (share.value, share.low, share.high), 0))
    return rows, absent, describe_machine(threads, load_before)


def _row(
    name: str,
    opened: Opened,
    *,
    model: Model,
    samples: Sequence,
    references: Sequence[np.ndarray],
    times: Mapping[str, np.ndarray],
    inputs: Mapping[str, Arrays],
    threads: int,
) -> Row:
    runs = {graph: runner.run for graph, runner in opened.runners.items()}
    output = next(spec for spec in model.graph(model.hot_graph).outputs)
    scores = [
        ssim(one[0], model.scenario(runs, sample.inputs)[0], output.minimum, output.maximum)
        for one, sample in zip(references, samples, strict=True)
    ]
    share = ratio_of_medians(times[name], times[BASELINE])
    executions = [runner.execution for runner in opened.runners.values()]
    artifact = opened.artifact
    memory = peak_over_baseline(Request(get_target(artifact.target), artifact, opened.folder, inputs, threads))
    counts = sum(each.int8_convolutions for each in executions), sum(each.convolutions for each in executions)
    spread = (share.value, share.low, share.high)
    return Row(name, artifact.shipped_bytes, *counts, float(np.mean(scores)), min(scores), median(times[name]).value, spread, memory)


def map_of(source: Source, program: Program) -> dict[str, tuple[Disagreement, ...]]:
    """Of the graph that runs once per image, on the first validation pair."""
    images, model = source.validation, source.model
    samples = images.first(model, program.size, 1)
    (fed,) = graph_inputs(model, samples)
    tap = tapped(program, model.hot_graph)
    inputs = {key: np.ascontiguousarray(value, np.float32) for key, value in fed[model.hot_graph].items()}
    able = [name for name in MAPPED if get_target(name).availability().can_run]
    return {name: disagreements(tap, get_target(name), inputs) for name in able}


def table(rows: Sequence[Row], absent: Mapping[str, str]) -> str:
    """Fastest first."""
    lines = [
        "| runtime | bytes | int8 convolutions | SSIM mean / worst | time, ONNX Runtime float = 1 | median | peak memory |",
        "|---" * 7 + "|",
    ]
    for row in sorted(rows, key=lambda row: row.share[0]):
        int8 = f"{row.int8_convolutions} of {row.convolutions}"
        share = f"{row.share[0]:.2f} ({row.share[1]:.2f} to {row.share[2]:.2f})"
        memory = f"{row.peak_memory_bytes / 1e6:.0f} MB" if row.peak_memory_bytes else "-"
        size = f"{row.shipped_bytes:,}" if row.shipped_bytes else "-"
        score = f"{row.ssim_mean:.4f} / {row.ssim_worst:.4f}"
        lines.append(f"| {row.name} | {size} | {int8} | {score} | {share} | {row.p50_ms:.1f} ms | {memory} |")
    return "\n".join([*lines, *(f"\n{name} took no part: {reason}" for name, reason in absent.items())])


def plot(rows: Sequence[Row]) -> bytes:
    """Time to the right, quality upwards, area by bytes."""
    figure = figure_of(7.5, 4.5)
    axes = figure.subplots()
    for row in rows:
        axes.scatter(row.share[0], row.ssim_mean, s=max(row.shipped_bytes, 1e6) / 2e4, alpha=0.6)
        axes.annotate(row.name, (row.share[0], row.ssim_mean), fontsize=8, xytext=(4, 4), textcoords="offset points")
    axes.set_xlabel("time, ONNX Runtime float = 1")
    axes.set_ylabel("SSIM to the whole float model, mean")
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    return png(figure)


def main() -> None:
    """Exit code 2 for wrong input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--pairs", type=int, default=12, help="of validation images")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--map", action="store_true", help="the disagreement map as well")
    parser.add_argument("--write", action="store_true", help="keep table, plot and numbers in benchmarks/results")
    options = parser.parse_args()
    try:
        _run(options)
    except InstantStyleError as error:
        print(f"bench-runtimes: {error}", file=sys.stderr)
        sys.exit(2)


def _run(options: argparse.Namespace) -> None:
    recipe = load_recipe(options.recipe)
    with session(cache_folder(recipe, options.cache)) as pipeline:
        source = prune(pipeline, load(pipeline, recipe))
        tuned = fit(pipeline, source)
        entry = capture(pipeline, source, recipe.model.sizes[0], tuned, calibrate(pipeline, source, tuned))
        program = read_program(entry, source.model)
        rows, absent, machine = measure(source, program, options.pairs, options.threads, options.runs)
        found = map_of(source, program) if options.map else {}
    head = f"{machine.cpu}, {machine.threads} threads, load {machine.load_before:.1f} before and {machine.load_after:.1f} after"
    text = f"# {recipe.name} in every runtime\n\n{head}\n\n{table(rows, absent)}\n"
    if found:
        title = f"Levels between each runtime's tensor and the program's, on its own inputs (limit {LIMIT_LEVELS:g})"
        text += f"\n## {title}\n\n{as_markdown(found)}\n"
    print(text)
    for name, levels in found.items():
        most = worst(levels)
        if most.levels > LIMIT_LEVELS + TOLERANCE:
            print(f"{name}: {most.levels:.1f} levels in module '{most.module_path}'", file=sys.stderr)
    if options.write:
        RESULTS.mkdir(exist_ok=True)
        content = {"machine": asdict(machine), "rows": [asdict(row) for row in rows], "absent": absent}
        content["map"] = {name: [asdict(each) for each in levels] for name, levels in found.items()}
        (RESULTS / "runtimes.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        (RESULTS / "runtimes.md").write_text(text, encoding="utf-8")
        (RESULTS / "runtimes.png").write_bytes(plot(rows))


if __name__ == "__main__":
    main()
