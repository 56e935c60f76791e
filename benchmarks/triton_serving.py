"""``python benchmarks/triton_serving.py RECIPE``: a recipe's models on Triton, asked by one client at a time and by several.

Emits the repositories, int8 and float32, and starts four servers with them; contestants take turns, round by round. Quality is of the
ensemble's pictures against the whole float model in PyTorch. Not named after Triton alone: PyTorch imports a package of that name.
"""

import argparse
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from triton_load import Request, Row, Turn, summary, turn
from triton_page import as_markdown

from instantstyle.capture.program import Program
from instantstyle.export.session import cache_folder, session
from instantstyle.export.source.checked_recipe import load_recipe
from instantstyle.export.source.source import Source, load
from instantstyle.export.stages.capture import capture, read_program
from instantstyle.export.stages.plan import fit
from instantstyle.export.stages.prune import prune
from instantstyle.export.stages.quantize import calibrate
from instantstyle.metrics.ssim import ssim
from instantstyle.model.graph import scenario_output
from instantstyle.model.runs import graph_inputs, runs_from_modules
from instantstyle.recipe.precision import Precision
from instantstyle.system.errors import InstantStyleError
from instantstyle.targets.artifact import read_manifest, verify, write_manifest
from instantstyle.targets.triton.config import CONFIG, model_name, with_threads
from instantstyle.targets.triton.server import Server, installation
from instantstyle.targets.triton.target import TritonTarget
from instantstyle.validation.measure.latency import describe_machine, load_average

RESULTS = Path(__file__).parent / "results"
PRECISIONS = (Precision.FLOAT32, Precision.INT8)


@dataclass(frozen=True)
class Contestant:
    """Requests to one of the servers; ``baseline`` is the contestant that asks for the same one at a time."""

    name: str
    server: str
    models: tuple[str, ...]
    clients: int
    baseline: str


def variant(source: Path, folder: Path, *, instances: int, threads: int, batches: bool) -> Path:
    """A repository with other numbers in its configurations; nothing else is changed."""
    shutil.copytree(source, folder, dirs_exist_ok=True)
    for path in (source / each / CONFIG for each in _models(source)):
        text = path.read_text(encoding="utf-8")
        if "ensemble_scheduling" in text:
            continue
        text = re.sub(r"count: \d+", f"count: {instances}", with_threads(text, threads))
        (folder / path.parent.name / CONFIG).write_text(text if batches else re.sub(r"dynamic_batching .*\n", "", text), encoding="utf-8")
    return folder


def _models(repository: Path) -> list[str]:
    return sorted(path.parent.name for path in repository.glob(f"*/{CONFIG}"))


def servers(repositories: Mapping[Precision, Path], root: Path, stack: ExitStack) -> dict[str, Server]:
    """By name, all of them running until the stack ends."""

    def start(name: str, precisions: Sequence[Precision], *, instances: int = 1, threads: int = 1, batches: bool = False) -> Server:
        copies = [root / name / str(precision) for precision in precisions]
        for precision, copy in zip(precisions, copies, strict=True):
            variant(repositories[precision], copy, instances=instances, threads=threads, batches=batches)
        server = Server(copies)
        stack.callback(server.stop)
        return server

    return {
        "all": start("all", PRECISIONS),
        "two": start("two", (Precision.INT8,), instances=2),
        "wide": start("wide", (Precision.INT8,), threads=2),
        "batches": start("batches", (Precision.FLOAT32,), batches=True),
    }


def contestants(program: Program, hot: str) -> list[Contestant]:
    """Each baseline before those that are compared with it."""
    names = {precision: model_name(program, precision, hot) for precision in PRECISIONS}
    int8, whole = (names[Precision.INT8],), (model_name(program, Precision.INT8),)
    everything = tuple(model_name(program, precision, graph.name) for precision in PRECISIONS for graph in program.graphs)
    one, one_whole, one_all, one_float = (
        "int8, one at a time",
        "photo and style, one at a time",
        "all models, one at a time",
        "float32, one at a time",
    )
    return [
        Contestant(one, "all", int8, 1, one),
        Contestant("int8, one instance", "all", int8, 4, one),
        Contestant("int8, one instance of two threads", "wide", int8, 1, one),
        Contestant("int8, two instances", "two", int8, 2, one),
        Contestant("int8, two instances", "two", int8, 4, one),
        Contestant(one_whole, "two", whole, 1, one_whole),
        Contestant("photo and style, two instances", "two", whole, 4, one_whole),
        Contestant(one_all, "all", everything, 1, one_all),
        Contestant("all models at once", "all", everything, 4, one_all),
        Contestant(one_float, "all", (names[Precision.FLOAT32],), 1, one_float),
        Contestant("float32, one instance", "all", (names[Precision.FLOAT32],), 4, one_float),
        Contestant("float32, one instance, batches of up to 4", "batches", (names[Precision.FLOAT32],), 4, one_float),
    ]


def measure(program: Program, source: Source, found: Mapping[str, Server], *, rounds: int, requests: int) -> list[Row]:
    """All contestants, round by round; the order turns round with every round."""
    model = source.model
    samples = source.validation.first(model, program.size, 1)
    (fed,) = graph_inputs(model, samples)
    inputs = {model_name(program, precision, graph): arrays for precision in PRECISIONS for graph, arrays in fed.items()}
    inputs |= {model_name(program, precision): samples[0].inputs for precision in PRECISIONS}
    named = contestants(program, model.hot_graph)
    turns: list[list[Turn]] = [[] for _ in named]
    for number in range(rounds):
        order = range(len(named)) if number % 2 == 0 else reversed(range(len(named)))
        for index in order:
            each = named[index]
            asked = [
                Request(each.models[place % len(each.models)], inputs[each.models[place % len(each.models)]]) for place in range(requests)
            ]
            turns[index].append(turn(found[each.server], asked, each.clients))
        print(f"round {number + 1} of {rounds}", file=sys.stderr)
    first = {each.name: index for index, each in reversed(list(enumerate(named)))}
    return [summary(each.name, each.clients, turns[index], turns[first[each.baseline]]) for index, each in enumerate(named)]


def quality(program: Program, source: Source, server: Server, pairs: int) -> dict[str, tuple[float, float]]:
    """Mean and worst SSIM of the ensembles' pictures to the whole float model's, by precision."""
    samples = source.validation.first(source.model, program.size, pairs)
    whole, output, client = runs_from_modules(source.reference), scenario_output(source.model), server.client()
    scores: dict[str, list[float]] = {str(precision): [] for precision in PRECISIONS}
    for sample in samples:
        reference = source.reference.scenario(whole, sample.inputs)[0]
        for precision in PRECISIONS:
            (picture,) = client.infer(model_name(program, precision), sample.inputs).values()
            scores[str(precision)].append(ssim(reference, picture[0], output.minimum, output.maximum))
    client.close()
    return {precision: (float(np.mean(each)), min(each)) for precision, each in scores.items()}


def emit(program: Program, folder: Path) -> dict[Precision, Path]:
    """The repositories; those that are in the folder already are taken as they are."""
    for precision in PRECISIONS:
        place = folder / str(precision)
        if not place.exists():
            place.mkdir(parents=True)
            write_manifest(TritonTarget().emit(program, precision, place), place)
        verify(read_manifest(place), place)
    return {precision: folder / str(precision) for precision in PRECISIONS}


def main() -> None:
    """Exit code 2 for wrong input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--emitted", type=Path, help="where the repositories are kept, and taken from the next time")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=8, help="of a turn")
    parser.add_argument("--pairs", type=int, default=4, help="of validation images")
    parser.add_argument("--write", action="store_true", help="keep the page and the numbers in benchmarks/results")
    options = parser.parse_args()
    try:
        _run(options)
    except InstantStyleError as error:
        print(f"triton: {error}", file=sys.stderr)
        sys.exit(2)


def _run(options: argparse.Namespace) -> None:
    if installation() is None:
        raise InstantStyleError("Triton is not installed: instantstyle doctor --install triton")
    recipe = load_recipe(options.recipe)
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="instantstyle-")))
        with session(cache_folder(recipe, options.cache)) as pipeline:
            source = prune(pipeline, load(pipeline, recipe))
            tuned = fit(pipeline, source)
            entry = capture(pipeline, source, recipe.model.sizes[0], tuned, calibrate(pipeline, source, tuned))
            program = read_program(entry, source.model)
            repositories = emit(program, options.emitted or root / "emitted")
        load_before = load_average()
        found = servers(repositories, root, stack)
        scores = quality(program, source, found["all"], options.pairs)
        rows = measure(program, source, found, rounds=options.rounds, requests=options.requests)
        machine, version = describe_machine(1, load_before), found["all"].version
    listed = "; ".join(f"{precision} {mean:.4f} / {worst:.4f}" for precision, (mean, worst) in scores.items())
    qualities = f"SSIM of the ensembles' pictures to the whole float model in PyTorch, mean / worst of {options.pairs} pairs: {listed}."
    text = as_markdown(f"{recipe.name} on Triton {version}", machine, rows, qualities)
    print(text)
    if options.write:
        content = {"machine": asdict(machine), "triton": version, "ssim": scores, "rows": [asdict(row) for row in rows]}
        (RESULTS / "triton.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        (RESULTS / "triton.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
