"""Which tensors of a checkpoint are the model's: under which key, behind which prefix, in which form."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..system.errors import CheckpointError
from .adoption_candidate import Candidate
from .adoption_errors import dtype_name, kind, listed, listing, misfit, shape_text, shown
from .checkpoint_file import Content
from .finite import not_finite
from .reparametrized import as_wanted

DEPTH = 4
# Written between the names of modules by torch.compile and DataParallel.
INNER_WRAPPERS = ("_orig_mod", "module")
BOOKKEEPING = ("n_averaged", "num_batches_tracked")
AVERAGED = "ema"


def adopt(module: nn.Module, content: Content, path: Path, key: str | None) -> Candidate:
    """The tensors of a file that fit ``module``.

    Args:
        path: for messages.
        key: which to take, as ``Candidate.key``; None where only one fits.

    Raises:
        CheckpointError: none fits, or several do that differ; lists what the file holds, and what to write.
    """
    places = dict(_places(content.tree))
    found = [candidate for place, tensors in places.items() for candidate in _candidates(module, place, tensors)]
    if key is not None:
        found = [candidate for candidate in found if candidate.key == key or candidate.key.startswith(f"{key}.")]
        found = [candidate for candidate in found if candidate.key == key and not candidate.problems] or found
    if not found:
        missing = "there are no named tensors in it" if key is None else f"model.checkpoint_key: there are no tensors under '{key}'"
        raise CheckpointError(f"checkpoint {path}: {missing}\n{listing(content.tree, places)}")
    fitting = _different([candidate for candidate in found if not candidate.problems])
    if len(fitting) > 1:
        keys = [candidate.key for candidate in fitting]
        averaged = next((name for name in keys if AVERAGED in name.lower()), None)
        why = f" ('{averaged}' is the moving average, which is usually what is shipped)" if averaged else ""
        raise CheckpointError(
            f"checkpoint {path}: {', '.join(keys)} in it all fit the model {type(module).__name__}, and differ. "
            f'Say which in [model] of the recipe: checkpoint_key = "{averaged or keys[0]}"{why}'
        )
    if fitting and (fitting[0].trusted or key == fitting[0].key):
        return fitting[0]
    raise CheckpointError(misfit(module, tensors_of(module), fitting=fitting, found=found, content=content, places=places, path=path))


def _places(tree: Mapping[Any, Any], where: str = "", depth: int = 0) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """All mappings with named tensors, by their dotted place in the file."""
    own = {name: value for name, value in tree.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if own:
        yield where, own
    for name, value in tree.items():
        if isinstance(name, str) and isinstance(value, Mapping) and depth < DEPTH:
            yield from _places(value, f"{where}.{name}".lstrip("."), depth + 1)


def _candidates(module: nn.Module, where: str, tensors: dict[str, Tensor]) -> Iterator[Candidate]:
    """The tensors of one place, whole and behind each prefix that has enough of them; a fit of the whole rules out the others."""
    whole = _candidate(module, where, "", tensors)
    yield whole
    if not whole.problems:
        return
    needed = sum(not name.endswith(BOOKKEEPING) for name in tensors_of(module)) / 2
    for prefix in _prefixes(tensors):
        if sum(name.startswith(prefix) for name in tensors) >= needed:
            yield _candidate(module, where, prefix, tensors)


def _prefixes(tensors: Mapping[str, Tensor]) -> list[str]:
    parts = [name.split(".")[:-1] for name in tensors]
    return list(dict.fromkeys(".".join(own[:length]) + "." for own in parts for length in range(1, min(len(own), DEPTH) + 1)))


def _candidate(module: nn.Module, place: str, prefix: str, tensors: Mapping[str, Tensor]) -> Candidate:
    own = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    left_out = [name for name in tensors if not name.startswith(prefix) and not name.endswith(BOOKKEEPING)]
    shaped = (_shaped(module, variant, note) for variant, note in _variants(own))
    best = min(shaped, key=lambda one: len(one[1]))
    return Candidate(place, prefix, best[0], best[1], tuple(left_out), best[2])


def _variants(tensors: dict[str, Tensor]) -> Iterator[tuple[dict[str, Tensor], str]]:
    """The tensors as they are named, and without what wraps modules inside the model."""
    yield tensors, ""
    for wrappers in (INNER_WRAPPERS[:1], INNER_WRAPPERS):
        split = {name: name.split(".") for name in tensors}
        bare = {
            ".".join(part for index, part in enumerate(split[name]) if not index or part not in wrappers): value
            for name, value in tensors.items()
        }
        if bare.keys() != tensors.keys() and len(bare) == len(tensors):
            yield bare, f"{' and '.join(wrappers)} removed from inside of names"


def _shaped(module: nn.Module, tensors: Mapping[str, Tensor], note: str) -> tuple[dict[str, Tensor], tuple[str, ...], tuple[str, ...]]:
    """The tensors as the module wants them, what is wrong with them, and what was done."""
    wanted = tensors_of(module)
    found, converted = as_wanted(tensors, module)
    recomputed = {name for name, _ in module.named_buffers()} - wanted.keys()
    dropped = [name for name in found if name not in wanted and (name in recomputed or name.endswith(BOOKKEEPING))]
    for name in dropped:
        del found[name]
    # Counts how many batches the statistics saw; files from before PyTorch 0.4.1 and some converters lack it, and inference ignores it.
    counters = {name: value for name, value in wanted.items() if name.endswith("num_batches_tracked") and name not in found}
    problems = misfits({**found, **counters}, wanted)
    computed = [name for name in dropped if name in recomputed]
    notes = (note, converted, f"left out, because the model computes them: {shown(computed)}" if computed else "")
    return {**found, **counters}, problems, tuple(filter(None, notes))


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """What a checkpoint of ``module`` has to hold; modules may keep other values in their state."""
    return {name: value for name, value in module.state_dict().items() if isinstance(value, Tensor)}


def misfits(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> tuple[str, ...]:
    """What keeps tensors from being loaded as ``wanted``, names, shapes and kinds strictly equal, a line each."""
    both = [(name, tensors[name], value) for name, value in wanted.items() if name in tensors]
    shapes = [
        f"{name}: {shape_text(own)} in the file, {shape_text(value)} in the model" for name, own, value in both if own.shape != value.shape
    ]
    kinds = [
        f"{name}: {dtype_name(own)} in the file, {dtype_name(value)} in the model"
        for name, own, value in both
        if kind(own) != kind(value) and own.shape == value.shape
    ]
    lines = (
        listed("missing from the file", [name for name in wanted if name not in tensors]),
        listed("unknown to the model", [name for name in tensors if name not in wanted]),
        listed("of another shape", shapes),
        listed("of another type", kinds),
    )
    return tuple(filter(None, lines))


def infinities(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> tuple[str, ...]:
    """The same for values that are not finite, in the file or in the model's precision."""
    stored = {name: value.to(wanted[name].dtype) for name, value in tensors.items() if name in wanted}
    wrong = listed("not finite (NaN or infinity)", not_finite(stored))
    return (wrong,) if wrong else ()


def _different(candidates: list[Candidate]) -> list[Candidate]:
    """Without those that are the same weights as an earlier one."""
    kept: list[Candidate] = []
    for candidate in candidates:
        if not any(_equal(candidate.tensors, other.tensors) for other in kept):
            kept.append(candidate)
    return kept


def _equal(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> bool:
    return all(value is right[name] or torch.equal(value, right[name]) for name, value in left.items())
