"""Why the content of a checkpoint does not fit, as a sentence."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .adoption_candidate import WHOLE, Candidate
from .checkpoint_file import Content

NAMES_SHOWN = 5
OPTIMIZER = "it is the state of an optimizer, not of a model; take the file with the model's state_dict()"


def misfit(
    module: nn.Module,
    wanted: Mapping[str, Tensor],
    *,
    fitting: list[Candidate],
    found: list[Candidate],
    content: Content,
    places: Mapping[str, dict[str, Tensor]],
    path: Path,
) -> str:
    """Why none of the candidates is taken."""
    start = f"checkpoint {path} does not fit the model {type(module).__name__}"
    if fitting:
        own = fitting[0]
        return (
            f"{start}: what lies under '{own.key}' does, but there are other tensors beside it ({shown(list(own.left_out))}). "
            f'If those are not the model\'s, write in [model] of the recipe: checkpoint_key = "{own.key}"'
        )
    names = wanted.keys()
    best = max(found, key=lambda candidate: (len(candidate.tensors.keys() & names), -len(candidate.tensors)))
    if _is_optimizer(content.tree):
        return f"checkpoint {path}: {OPTIMIZER}"
    more = [listing(content.tree, places)] if best.key != WHOLE or len(places) > 1 else []
    return "\n".join((start + (f", nearest is '{best.key}'" if best.key != WHOLE else ""), *best.problems, *more))


def _is_optimizer(tree: Mapping[Any, Any]) -> bool:
    return {"state", "param_groups"} <= tree.keys()


def listing(tree: Mapping[Any, Any], places: Mapping[str, dict[str, Tensor]]) -> str:
    """The keys of a file, and what lies under them."""
    if _is_optimizer(tree):
        return f"  {OPTIMIZER}"
    tensors = [f"{place or 'without a key'} ({len(own)} tensors)" for place, own in places.items()]
    heads = {place.partition(".")[0] for place in places}
    others = [str(name) for name, value in tree.items() if not isinstance(value, Tensor) and name not in heads]
    return f"  found in the file: {shown(tensors + others, 12) or 'nothing'}"


def kind(value: Tensor) -> str:
    """Of its numbers."""
    if value.is_quantized:
        return "quantized"
    if value.is_floating_point():
        return "float"
    return "complex" if value.is_complex() else "bool" if value.dtype is torch.bool else "integer"


def dtype_name(value: Tensor) -> str:
    """As PyTorch calls it, without its module."""
    return str(value.dtype).removeprefix("torch.")


def shown(names: list[str], count: int = NAMES_SHOWN) -> str:
    """The first ``count`` of them."""
    return ", ".join(names[:count]) + (f" and {len(names) - count} more" if len(names) > count else "")


def listed(what: str, names: list[str]) -> str:
    """A line of a complaint; empty without names."""
    if not names:
        return ""
    more = f" … and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f"  {what}: " + "; ".join(names[:NAMES_SHOWN]) + more


def shape_text(value: Tensor) -> str:
    """Sizes with ``x`` between them."""
    return "x".join(map(str, value.shape)) or "a single number"
