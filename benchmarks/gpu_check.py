"""``make gpu-check``: builds, runs, judges and times the TensorRT engines on this machine's NVIDIA GPU.

Writes ``results/tensorrt-<gpu>.json`` and ``.md``. Where no TensorRT runs on the GPU, what it said and the times of PyTorch and ONNX
Runtime under their own names go to ``results/without-tensorrt-<gpu>``. The exit code is 0 if every TensorRT that is usable here ran and
passed the gate with level ``passed``, 1 if not, and 2, with nothing written, if nothing could be measured.
"""

import argparse
import platform
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from cuda_latency import Schedule
from gpu_result import CHECK, PART, Check, Part
from gpu_survey import Survey, driver_version, survey, versions
from gpu_table import as_markdown, gpu_row

from instantstyle.export.source.checked_recipe import load_recipe
from instantstyle.system.disk import atomic_write
from instantstyle.system.errors import InstantStyleError
from instantstyle.system.hashing import file_sha256
from instantstyle.targets.tensorrt.bindings import Gpu, Product, probe

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
WORK = ROOT / "build" / "gpu-check"
MEASURE = Path(__file__).with_name("gpu_measure.py")


def check(found: Survey, gpu: Gpu, recipe: Path) -> Check:
    """All usable products one after the other and, if no engine of theirs ran, what can be measured without them.

    Raises:
        InstantStyleError: the recipe cannot be read.
    """
    checkpoint = load_recipe(recipe).model.checkpoint
    parts = [measure_apart(product, gpu, recipe) for product in found.usable]
    if not any(part.ran for part in parts):
        parts.append(measure_apart(None, gpu, recipe))
    return Check(
        gpu=gpu,
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        driver=driver_version(),
        cuda=_cuda(),
        system=f"{platform.system()} {platform.machine()}",
        versions=versions(),
        missing=found.missing,
        schedule=asdict(Schedule()),
        recipe_sha256=file_sha256(recipe),
        checkpoint_sha256=file_sha256(checkpoint) if checkpoint else None,
        parts=tuple(parts),
    )


def measure_apart(product: Product | None, gpu: Gpu, recipe: Path) -> Part:
    """``gpu_measure`` in a process of its own; how that ended is all that is said of one that wrote nothing."""
    # Engines and measurements of another GPU or version are not this one's.
    name = f"{slug(gpu.name)}-{slug(probe(product).version)}" if product else slug(gpu.name)
    with tempfile.TemporaryDirectory(prefix="instantstyle-gpu-check-") as folder:
        output = Path(folder) / "part.json"
        arguments = [str(output), "--recipe", str(recipe), "--capability", str(gpu.capability), "--work", str(WORK / name)]
        if product:
            arguments += ["--product", product.target]
        (WORK / name).mkdir(parents=True, exist_ok=True)
        child = subprocess.run([sys.executable, str(MEASURE), *arguments], stderr=subprocess.PIPE, text=True, check=False)
        print(child.stderr, end="", file=sys.stderr)
        if output.exists():
            return PART.validate_json(output.read_bytes())
    printed = [line for line in child.stderr.splitlines() if line.strip()]
    ending = signal.Signals(-child.returncode).name if child.returncode < 0 else f"exit code {child.returncode}"
    said = f"measuring ended with {ending}: {printed[-1] if printed else 'it printed nothing'}"
    if product is None:
        return Part("", "PyTorch and ONNX Runtime", said=said)
    return Part(product.target, f"{product.title} {probe(product).version}", gate=(said,), said=said)


def write(found: Check, folder: Path) -> Path:
    """JSON and Markdown, each all or nothing; returns the latter. A run without TensorRT leaves the result of one with it alone."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{'tensorrt' if found.ran else 'without-tensorrt'}-{slug(found.gpu.name)}"
    clean = CHECK.validate_python(without_paths(CHECK.dump_python(found)))
    atomic_write(folder / f"{name}.json", CHECK.dump_json(clean, indent=1) + b"\n")
    atomic_write(folder / f"{name}.md", as_markdown(clean))
    return folder / f"{name}.md"


def without_paths(value):
    """Data without this machine's paths, which errors have in them."""
    if isinstance(value, str):
        for place, short in ((ROOT, "."), (Path(tempfile.gettempdir()), "TMP"), (Path.home(), "~")):
            value = re.sub(rf"{re.escape(str(place))}(?=[/\\])", short, value) if len(place.parts) > 1 else value
        return value
    if isinstance(value, Mapping):
        return {without_paths(key): without_paths(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(without_paths, value))
    return value


def slug(text: str) -> str:
    """``NVIDIA A100-SXM4-40GB`` -> ``nvidia-a100-sxm4-40gb``."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def run(recipe: Path, results: Path) -> int:
    """Measures, writes and prints; the exit code.

    Raises:
        InstantStyleError: wrong input.
    """
    found = survey()
    if found.obstacle or found.gpu is None:
        print(f"gpu-check: {_sentence(dict.fromkeys((found.obstacle, *found.missing)))}; nothing was measured", file=sys.stderr)
        return 2
    if found.missing:
        print(f"gpu-check: {found.gpu.name}; missing: {_sentence(found.missing)}", flush=True)
    checked = check(found, found.gpu, recipe)
    if not checked.measured:
        said = (f"{part.title}: {part.said or '; '.join(_failures(part))}" for part in checked.parts)
        print(f"gpu-check: nothing was measured: {_sentence(said)}", file=sys.stderr)
        return 2
    path = write(checked, results)
    print("\n".join(gpu_row(checked)) if checked.ran else "no TensorRT engine ran here")
    for problem in (problem for part in checked.parts for problem in part.gate):
        print(f"gate: {problem}")
    print(f"{path.with_suffix('.json').name} and {path.name} written to {path.parent.name}")
    return 0 if checked.passed else 1


def _failures(part: Part) -> list[str]:
    return [f"{name}: {why}" for graph in part.latency for name, why in graph.failures.items()]


def _sentence(parts: Iterable[str]) -> str:
    return "; ".join(part for part in parts if part)


def _cuda() -> str:
    import torch

    return torch.version.cuda or "none"


def main() -> None:
    """Exit code 2 for wrong input, and where nothing can be measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=Path, default=ROOT / "recipes" / "server.toml")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the result")
    options = parser.parse_args()
    try:
        sys.exit(run(options.recipe.absolute(), options.results))
    except InstantStyleError as error:
        print(f"gpu-check: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
