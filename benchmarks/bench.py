"""``make bench``: the project's numbers for what is in ``dist``, against limits and aims.

Quality, sizes and memory are those that the build stored; latency is measured again, now and here. The time of a whole release is
measured with ``--release``, which builds the recipe once more, in a temporary folder with an empty cache.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench_latency import Remeasured, remeasure
from bench_rows import WholeRelease, table
from bench_table import Number, as_markdown, as_text

from instantstyle.export.source.checked_recipe import load_recipe
from instantstyle.recipe.recipe import Recipe
from instantstyle.system.disk import atomic_write
from instantstyle.system.errors import InstantStyleError
from instantstyle.system.hashing import file_sha256
from instantstyle.validation.integrity import verify
from instantstyle.validation.results.bundle import Bundle
from instantstyle.validation.results.bundle_file import read_bundle
from instantstyle.validation.results.timing import Machine

RESULTS = Path(__file__).parent / "results"


def time_release(recipe: Path) -> WholeRelease:
    """Builds the recipe in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="instantstyle-bench-") as folder:
        out = Path(folder) / "dist"
        program = "from instantstyle.cli.main import main; main()"
        arguments = ["release", str(recipe), "--out", str(out), "--cache", f"{folder}/cache"]
        start = time.monotonic()
        code = subprocess.run([sys.executable, "-c", program, *arguments], check=False).returncode
        seconds = time.monotonic() - start
        if not (out / "bundle.json").exists():
            raise InstantStyleError(f"the release ended with exit code {code} and wrote no bundle")
        return WholeRelease(seconds, read_bundle(out).pipeline_peak_memory_bytes)


def save(numbers: tuple[Number, ...], measured: tuple[Remeasured, ...], bundle: Bundle, title: str) -> Path:
    """Writes ``results/<date>-<cpu>.json`` and ``.md``; returns the latter."""
    RESULTS.mkdir(exist_ok=True)
    cpu = re.sub(r"[^a-z0-9]+", "-", (measured[0].machine.cpu if measured else bundle.machine.cpu).lower()).strip("-")
    stem = RESULTS / f"{datetime.now(UTC):%Y-%m-%d}-{cpu}"
    content = {
        "title": title,
        "checkpoint_sha256": bundle.model.checkpoint_sha256,
        "recipe_sha256": bundle.recipe.sha256,
        "libraries": {library.name: library.version for library in bundle.libraries},
        "numbers": [{**asdict(number), "standing": number.standing} for number in numbers],
        "latency": [asdict(entry) for entry in measured],
    }
    atomic_write(stem.with_suffix(".json"), json.dumps(content, indent=1) + "\n")
    atomic_write(stem.with_suffix(".md"), as_markdown(numbers, title))
    return stem.with_suffix(".md")


def check_source(recipe: Recipe, bundle: Bundle) -> None:
    """Raises InstantStyleError if the bundle was built from another recipe or checkpoint, or another state of it."""
    checkpoint = recipe.model.checkpoint
    for path, wanted in ((recipe.path, bundle.recipe.sha256), (checkpoint, bundle.model.checkpoint_sha256)):
        if path is not None and file_sha256(path) != wanted:
            raise InstantStyleError(f"{path}: not what the bundle was built from; run `make release` first")


def describe(model: str, machine: Machine) -> str:
    """Model, machine and, if other programs were running, a warning."""
    busy = "; other programs were running, so trust no time here" if machine.load_before > machine.cores / 2 else ""
    where = f"{machine.cpu}, {machine.cores} cores, {machine.threads} threads"
    return f"{model} on {where}, load before {machine.load_before:.1f}{busy}"


def run(dist: Path, recipe_file: Path, with_release: bool) -> None:
    """Measures, prints and saves."""
    bundle, recipe = read_bundle(dist), load_recipe(recipe_file)
    check_source(recipe, bundle)
    verify(bundle, dist)
    measured = remeasure(dist, bundle, recipe)
    release = time_release(recipe_file) if with_release else None
    numbers = table(bundle, measured, release)
    title = describe(bundle.model.name, measured[0].machine if measured else bundle.machine)
    print(f"\n{title}\n\n{as_text(numbers)}\n\n{save(numbers, measured, bundle, title)}")


def main() -> None:
    """Exit code 2 for wrong input; the numbers themselves are the gate's business, not this one's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dist", type=Path, nargs="?", default=Path("dist"))
    parser.add_argument("--recipe", type=Path, default=Path("recipes/mobile.toml"))
    parser.add_argument("--release", action="store_true", help="time a release from an empty cache, too")
    options = parser.parse_args()
    try:
        run(options.dist, options.recipe, options.release)
    except InstantStyleError as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
