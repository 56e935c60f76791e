"""The winner of a search as a recipe that ``make release`` takes."""

import tomlkit
from tomlkit import TOMLDocument
from tomlkit.items import Table

from ..recipe.recipe import Recipe
from .candidate import Budget, Candidate


def found_recipe(recipe: Recipe, candidate: Candidate, budget: Budget, target: str, recover_steps: int) -> str:
    """The text of ``recipe`` with the winner's pruning and precision, and the budget as limits. Comments and the name stay:
    the name is part of a user's model, and what the search built is then not built again.

    Args:
        target: whose files the budget counts.
        recover_steps: what the recipe recovers for if it says nothing.
    """
    document = tomlkit.parse(recipe.path.read_text(encoding="utf-8"))
    prune = _table(document, "prune")
    prune["method"] = "structured"
    prune.pop("result", None)
    for key, shares in (("channels", candidate.channels), ("heads", candidate.heads)):
        prune.pop(key, None)
        if shares:
            table = tomlkit.table()
            table.update(shares)
            prune[key] = table
    if not recipe.prune.recover.any_steps:
        prune["recover"] = {**recipe.prune.recover.model_dump(exclude_defaults=True), "steps": recover_steps}
    if candidate.keep_float:
        quantize = _table(document, "quantize")
        quantize["keep_float"] = [*recipe.quantize.keep_float, *candidate.keep_float]
    limits = _table(_table(document, "limits"), target)
    limits["max_bytes"] = budget.max_bytes
    limits["min_ssim_mean"] = budget.min_ssim
    if budget.max_latency_ms is not None:
        limits["max_p50_ms"] = budget.max_latency_ms
    return tomlkit.dumps(document)


def _table(parent: TOMLDocument | Table, name: str) -> Table:
    """A table of ``parent``, made if it is missing; an inline one becomes a full one."""
    found = parent.get(name)
    if not isinstance(found, Table):
        table = tomlkit.table()
        table.update(found or {})
        parent[name] = table
    return parent[name]  # type: ignore[return-value]
