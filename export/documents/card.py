"""The model card: what the model is, what it takes and gives, and on what it was judged. Numbers are in ``summary.md``."""

from collections.abc import Iterator

from ...model.graph import Model, TensorSpec
from ...model.pixels import describe
from ...recipe.settings import ModelSettings
from ...system.tables import markdown_table
from ...validation.results.bundle import Bundle

FILE = "model-card.md"


def model_card(bundle: Bundle, model: Model, settings: ModelSettings) -> str:
    """The file's content."""
    lines = [f"# {bundle.model.name}", ""]
    lines += [*_facts(bundle, settings), ""]
    lines += ["## What it takes and gives", ""]
    lines += markdown_table(("Graph", "Direction", "Name", "Kind", "Shape", "Values"), _tensors(model, bundle.sizes[0]))
    lines += ["## Artifacts", ""]
    rows = ((each.name, each.precision, f"{each.shipped_bytes:,}") for each in bundle.artifacts)
    lines += markdown_table(("Artifact", "Precision", "Bytes in an app"), rows)
    lines += ["## What it was judged on", ""]
    counts = " and ".join(str(len(images)) for images in bundle.samples.images)
    lines += [f"{len(bundle.samples.names())} samples of {counts} images, and hard ones; nothing else is known of other pictures.", ""]
    lines += [f"Scores, times and limits of every artifact are in summary.md, what was removed from the model in {_pruning(bundle)}.", ""]
    return "\n".join(lines)


def _facts(bundle: Bundle, settings: ModelSettings) -> Iterator[str]:
    facts = {
        "Author": settings.author,
        "Licence": settings.license,
        "Version": settings.version,
        "Recipe": f"{bundle.recipe.name} (recipe.toml)",
        "Checkpoint, SHA-256": bundle.model.checkpoint_sha256 or "",
        "Weights of the float reference, SHA-256": bundle.reference_sha256,
        "Built": f"{bundle.created:%Y-%m-%d %H:%M} UTC",
    }
    yield from (f"- {name}: {value}" for name, value in facts.items() if value)


def _tensors(model: Model, size: tuple[int, int]) -> Iterator[tuple[str, ...]]:
    for graph in model.graphs:
        for direction, specs in (("in", graph.inputs), ("out", graph.outputs)):
            for spec in specs:
                yield graph.name, direction, spec.name, str(spec.kind), "x".join(map(str, spec.shape(size))), _values(spec)


def _values(spec: TensorSpec) -> str:
    return describe(spec) if spec.kind == "image" else f"{spec.minimum:g} to {spec.maximum:g}"


def _pruning(bundle: Bundle) -> str:
    return "its section on pruning" if bundle.pruning else "no place, for nothing was"
