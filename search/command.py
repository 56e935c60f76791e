"""``instantstyle sensitivity`` and ``instantstyle search``."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from ..compression.pruning.prune import parameter_count
from ..export.cache.pipeline import Pipeline, surroundings
from ..export.session import cache_folder, session
from ..export.source.checked_recipe import load_recipe
from ..export.source.source import Source, load
from ..export.stages.emit import ArtifactSpec
from ..export.variants import without_pruning
from ..recipe.precision import Precision
from ..recipe.recipe import Recipe
from ..system.disk import atomic_write, check_output, explained_disk_errors
from ..system.errors import RecipeError
from ..system.hashing import digest
from .candidate import Budget, Candidate, best, shortfall
from .plots import plot_pareto, plot_sensitivity
from .proposal import Space
from .report import (
    CANDIDATE_COLUMNS,
    SENSITIVITY_COLUMNS,
    TERMINAL_COLUMNS,
    candidate_rows,
    search_markdown,
    sensitivity_markdown,
    sensitivity_rows,
    terminal_table,
)
from .stage import FILE, as_json, sensitivity
from .study import Search
from .trial import Trials
from .winner import found_recipe

SHOWN = 20
INTERRUPTED = 130


def analyse(recipe_path: Path, folder: Path, cache: Path | None) -> None:
    """Writes ``sensitivity.json``, ``.md`` and ``.png`` into ``folder``; shows the most harmful changes.

    Raises:
        InstantStyleError: wrong input.
    """
    recipe = without_pruning(load_recipe(recipe_path))
    check_output(folder, folder=True)
    root = cache_folder(recipe, cache)
    with explained_disk_errors(root, folder):
        with session(root) as pipeline:
            rows = sensitivity(pipeline, load(pipeline, recipe))
        picture = Path(FILE).with_suffix(".png")
        atomic_write(folder / FILE, as_json(rows))
        atomic_write(folder / picture, plot_sensitivity(rows))
        atomic_write(folder / Path(FILE).with_suffix(".md"), sensitivity_markdown(recipe.name, rows, picture.name))
    table = sensitivity_rows(rows)
    Console().print(terminal_table(f"{recipe.name}: most harmful of {len(rows)} changes", SENSITIVITY_COLUMNS, table[:SHOWN]))
    print(f"{os.path.relpath(folder)}: {FILE} and its table and picture")


@dataclass(frozen=True)
class SearchOptions:
    """The command line of ``instantstyle search``. ``output``: where the winner's recipe goes, beside ``recipe``."""

    recipe: Path
    output: Path
    budget: Budget
    trials: int
    pairs: int
    recover_steps: int
    cache: Path | None = None


def search(options: SearchOptions) -> int:
    """Searches until there are enough candidates; 0 with a recipe of the winner, 1 if none keeps the budget, 130 if interrupted.

    Reports and the best recipe so far are written after every candidate.

    Raises:
        InstantStyleError: wrong input.
    """
    recipe = without_pruning(load_recipe(options.recipe))
    if options.output.absolute().parent.resolve() != recipe.base.resolve():
        raise RecipeError(f"{options.output}: the paths in a recipe are relative to it, so the new one goes beside {recipe.path}")
    if options.output.resolve() == recipe.path.resolve():
        raise RecipeError(f"{options.output}: that is the recipe itself; give the new one another name")
    check_output(options.output, recipe.path, recipe.model.checkpoint)
    root = cache_folder(recipe, options.cache)
    interrupted = False
    with explained_disk_errors(root, options.output), session(root) as pipeline:
        source = load(pipeline, recipe)
        run = _Run(options, recipe, pipeline, source)
        try:
            with _interrupt_as_exception():
                run.go()
        except KeyboardInterrupt:
            interrupted = True
        sentences = run.write()
    rows = candidate_rows(run.candidates, options.budget)
    Console().print(terminal_table(f"{recipe.name}: what was measured", CANDIDATE_COLUMNS, rows, TERMINAL_COLUMNS))
    for sentence in sentences:
        print(sentence)
    if interrupted:
        print("interrupted; the same command goes on")
        return INTERRUPTED
    return 0 if best(run.candidates, options.budget) else 1


class _Run:
    """One call of ``search``."""

    def __init__(self, options: SearchOptions, recipe: Recipe, pipeline: Pipeline, source: Source) -> None:
        self.options, self.recipe, self.pipeline = options, recipe, pipeline
        self.spec = _spec(recipe)
        self.space = Space(sensitivity(pipeline, source))
        self.trials = Trials(pipeline, source, self.spec, options.pairs, options.recover_steps)
        whole = self.trials.measure_whole()
        parameters = sum(parameter_count(graph.module) for graph in source.model.graphs)
        key = digest(
            {
                "model": source.fingerprint,
                "recipe": recipe.model_dump(mode="json", exclude={"path", "sha256", "name", "limits", "target_limits"}),
                "budget": asdict(options.budget),
                "job": self.spec.name,
                "trial": [options.pairs, options.recover_steps],
                **surroundings("search"),
            }
        )
        self.search = Search(self.space, options.budget, whole, parameters, pipeline.store.root / "search" / f"{key[:24]}.log")

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        return self.search.candidates

    def go(self) -> None:
        if self.search.done:
            self.pipeline.display.notice(f"goes on after {self.search.done} of {self.options.trials} candidates")
        self.search.run(self.options.trials, self.trials.measure, self._after)

    def _after(self, candidate: Candidate | None, problem: str) -> None:
        if candidate is None:
            self.pipeline.display.notice(problem)
            return
        kept = "keeps the budget" if self.options.budget.kept(candidate) else "misses the budget"
        self.pipeline.display.notice(
            f"candidate {candidate.number} of {self.options.trials}: {candidate.size_bytes:,} bytes, SSIM {candidate.ssim_mean:.4f} / "
            f"{candidate.ssim_worst:.4f}, {candidate.p50_ms:.1f} ms, {candidate.over_whole:.2f}x the whole one's speed; {kept}"
        )
        self.write()

    def write(self) -> tuple[str, ...]:
        """Reports and the recipe; what to say at the end."""
        budget, output, candidates = self.options.budget, self.options.output, self.candidates
        found = best(candidates, budget)
        if found is None:
            sentences = shortfall(candidates, budget)
        else:
            text = found_recipe(self.recipe, found, budget, self.spec.target, self.options.recover_steps)
            atomic_write(output, text)
            sentences = (
                f"candidate {found.number} is the most similar within the budget: {found.size_bytes:,} bytes, SSIM {found.ssim_mean:.4f}, "
                f"{found.p50_ms:.1f} ms; its recipe: {os.path.relpath(output)}",
            )
        picture = output.with_suffix(".png")
        atomic_write(picture, plot_pareto(candidates, budget))
        atomic_write(output.with_suffix(".md"), search_markdown(self.recipe.name, candidates, budget, sentences, picture.name))
        return sentences


def _spec(recipe: Recipe) -> ArtifactSpec:
    """The artifact whose bytes count: the first required target's, int8 if it builds that."""
    target, precisions = recipe.targets.named(recipe.targets.required[0])
    chosen = Precision.INT8 if Precision.INT8 in precisions else Precision(precisions[0])
    return ArtifactSpec(target, chosen, recipe.model.sizes[0])


@contextmanager
def _interrupt_as_exception() -> Iterator[None]:
    """SIGTERM ends a search as Ctrl-C does: with the best so far."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
