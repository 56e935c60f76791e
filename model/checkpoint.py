"""Checkpoints: safetensors files that rebuild their own network, and what others wrote of anybody's module.

A checkpoint of InstantStyle carries its ``NetworkConfig`` as JSON in the file's metadata, so that a narrower network comes back
in its own widths. A pruned checkpoint, of InstantStyle or of anybody's module, says so in its metadata: the shapes of its tensors
are then the widths. Nothing here ever unpickles code.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

from safetensors.torch import save
from torch import Tensor, nn

from ..system.disk import atomic_write
from ..system.errors import CheckpointError
from .adoption import adopt, infinities, misfits, tensors_of
from .adoption_errors import NAMES_SHOWN
from .checkpoint_file import read_content, read_header
from .finite import require_finite
from .network import InstantStyle, NetworkConfig
from .parametrizations import fold_parametrizations
from .resize import resize

FORMAT = "instantstyle"
PRUNED = "pruned"


def save_checkpoint(network: InstantStyle, path: Path, half: bool = False) -> None:
    """Writes ``network`` to ``path``, atomically.

    Args:
        half: weights of convolutions and linear layers as float16, half the bytes. Vectors (biases, normalisation
            statistics) stay float32: they are few, and a variance can be too small for float16.
    """
    whole = InstantStyle(network.config).state_dict()
    tensors = network.state_dict()
    pruned = any(whole[name].shape != value.shape for name, value in tensors.items())
    metadata = {"format": FORMAT, "config": json.dumps(_plain(network.config))} | ({PRUNED: "true"} if pruned else {})
    save_tensors(tensors, path, metadata, half)


def save_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str], half: bool = False) -> None:
    """Writes named tensors and metadata, atomically. TrainingError if one is NaN or infinite."""
    stored = {name: _stored(value, half) for name, value in tensors.items()}
    require_finite(
        stored, f"checkpoint {path}", "look at the training that made these weights" + " (or they do not fit into float16)" * half
    )
    # Through memory: the library's own writer makes files that only their owner can read.
    atomic_write(path, save(stored, metadata))


def load_checkpoint(path: Path) -> InstantStyle:
    """The network that ``save_checkpoint`` wrote, float32, in eval mode.

    Raises:
        CheckpointError: missing, truncated, no safetensors, not a checkpoint of InstantStyle, or tensors that do not fit.
    """
    network, tensors = InstantStyle(_read_config(path)), read_tensors(path)
    fit(network, tensors, path)
    load_tensors(network, tensors, path)
    return network.eval()


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file or of a state dict that ``torch.save`` wrote (also one under a key, if it is the only one).

    Raises:
        CheckpointError: missing, truncated, or holding anything else than named tensors.
    """
    tree = read_content(path).tree
    maps = [tree, *(value for value in tree.values() if isinstance(value, Mapping))]
    named = [own for own in maps if own and all(isinstance(value, Tensor) for value in own.values())]
    if len(named) != 1 and tree:
        found = ", ".join(map(str, list(tree)[:NAMES_SHOWN]))
        raise CheckpointError(f"checkpoint {path}: expected a state dict (names to tensors), found {found}")
    return {str(name): value for own in named for name, value in own.items()}


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file; none of other files.

    Raises:
        CheckpointError: missing, truncated or damaged.
    """
    return dict(read_header(path))


def load_weights(module: nn.Module, path: Path, key: str | None = None) -> tuple[str, ...]:
    """Loads into ``module`` what fits it in a checkpoint that anybody wrote; what was decided or converted, a sentence each.

    Args:
        key: where the weights are in the file (``params_ema``, ``state_dict.generator``), where several sets of them fit.

    Raises:
        CheckpointError: missing, truncated, no checkpoint, or nothing in it fits, or several things do.
    """
    content = read_content(path)
    if PRUNED in content.metadata:
        fold_parametrizations(module)  # as the model was when it was pruned
        tensors = {name: value for name, value in content.tree.items() if isinstance(value, Tensor)}
        resize(module, {name: value.shape for name, value in tensors.items()})
        load_tensors(module, tensors, path)
        return ()
    chosen = adopt(module, content, path, key)
    taken = f"taken from '{chosen.place}'" if chosen.place else ""
    prefix = f"prefix '{chosen.prefix}' removed" if chosen.prefix else ""
    notes = [note for note in (taken, prefix, *chosen.notes) if note]
    if chosen.left_out:
        notes.append(f"left out: {', '.join(dict.fromkeys(name.partition('.')[0] for name in chosen.left_out))}")
    notes += _converted(chosen.tensors, tensors_of(module))
    load_tensors(module, chosen.tensors, path)
    return (f"{path.name}: {'; '.join(notes)}",) if notes else ()


def fit(module: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Gives ``module`` the widths of the tensors of ``path`` if that says that it is pruned.

    Raises:
        CheckpointError: truncated or no safetensors.
    """
    if PRUNED in read_metadata(path):
        resize(module, {name: value.shape for name, value in tensors.items()})


def load_tensors(module: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Copies ``tensors`` into the parameters and buffers of ``module``, names and shapes strictly equal.

    Args:
        path: for the message.

    Raises:
        CheckpointError: says which tensors are missing, left over, of another shape or not finite.
    """
    wanted = tensors_of(module)
    problems = (*misfits(tensors, wanted), *infinities(tensors, wanted))
    if problems:
        raise CheckpointError("\n".join((f"checkpoint {path} does not fit the model {type(module).__name__}", *problems)))
    module.load_state_dict(dict(tensors), strict=False)  # names are equal; what is no tensor stays as it is


def _converted(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> list[str]:
    """Which precisions become which."""
    pairs = dict.fromkeys((value.dtype, wanted[name].dtype) for name, value in tensors.items() if value.dtype != wanted[name].dtype)
    return [f"{own} converted to {new}".replace("torch.", "") for own, new in pairs if own.is_floating_point]


def _stored(value: Tensor, half: bool) -> Tensor:
    value = value.detach().cpu().contiguous().clone()  # of its own: safetensors refuses tensors that share memory
    return value.half() if half and value.is_floating_point() and value.dim() > 1 else value


def _read_config(path: Path) -> NetworkConfig:
    metadata = read_metadata(path)
    if metadata.get("format") != FORMAT or "config" not in metadata:
        read_content(path)  # says so if it is no checkpoint at all
        raise CheckpointError(f"checkpoint {path}: no InstantStyle configuration in its metadata; was it written by save_checkpoint?")
    try:
        return _typed(NetworkConfig, json.loads(metadata["config"]))
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"checkpoint {path}: its network configuration cannot be read by this version ({error})") from error


def _plain(value: Any) -> Any:
    """NamedTuples to dicts, all the way down, for JSON."""
    if hasattr(value, "_asdict"):
        return {name: _plain(item) for name, item in value._asdict().items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _typed(kind: Any, value: Any) -> Any:
    """The inverse of ``_plain`` for a NamedTuple class ``kind``; TypeError for a field that it does not have."""
    if hasattr(kind, "_fields"):
        hints = get_type_hints(kind)
        unknown = set(value) - set(hints)
        if unknown:
            raise TypeError(f"unknown field {sorted(unknown)[0]!r}")
        return kind(**{name: _typed(hints[name], item) for name, item in value.items()})
    return tuple(value) if isinstance(value, list) else value
