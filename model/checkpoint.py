"""Checkpoints: safetensors files that rebuild their own network, and state dicts of anybody's module.

A checkpoint of InstantStyle carries its ``NetworkConfig`` as JSON in the file's metadata, so that a narrower network comes back
in its own widths. A pruned checkpoint, of InstantStyle or of anybody's module, says so in its metadata: the shapes of its tensors
are then the widths. Nothing here ever unpickles code.
"""

import json
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

import safetensors
import torch
from safetensors.torch import save
from torch import Tensor, nn

from .errors import CheckpointError
from .files import write_atomically
from .network import InstantStyle, NetworkConfig
from .resize import resize

FORMAT = "instantstyle"
PRUNED = "pruned"
PICKLE_SUFFIXES = (".pt", ".pth")
NAMES_SHOWN = 5


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
    """Writes named tensors and metadata, atomically."""
    # Through memory: the library's own writer makes files that only their owner can read.
    write_atomically(path, save({name: _stored(value, half) for name, value in tensors.items()}, metadata))


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
    """All tensors of a ``.safetensors`` file or of a ``.pt``/``.pth`` state dict (also one under the key ``state_dict``).

    Raises:
        CheckpointError: missing, truncated, or holding anything else than named tensors.
    """
    if not path.is_file():
        raise CheckpointError(f"checkpoint {path}: no such file")
    if path.suffix in PICKLE_SUFFIXES:
        return _read_state_dict(path)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except safetensors.SafetensorError as error:
        raise CheckpointError(_explain(path, error)) from error


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a ``.safetensors`` file; none of other files.

    Raises:
        CheckpointError: missing, truncated or no safetensors.
    """
    if path.suffix in PICKLE_SUFFIXES:
        return {}
    if not path.is_file():
        raise CheckpointError(f"checkpoint {path}: no such file")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except safetensors.SafetensorError as error:
        raise CheckpointError(_explain(path, error)) from error


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
    wanted = module.state_dict()
    problems = [
        _listed("missing from the file", [name for name in wanted if name not in tensors]),
        _listed("unknown to the model", [name for name in tensors if name not in wanted]),
        _listed(
            "of another shape",
            [
                f"{name}: {_shape(tensors[name])} in the file, {_shape(value)} in the model"
                for name, value in wanted.items()
                if name in tensors and tensors[name].shape != value.shape
            ],
        ),
        _listed("not finite (NaN or infinity)", [name for name, value in tensors.items() if not torch.isfinite(value).all()]),
    ]
    if any(problems):
        raise CheckpointError(f"checkpoint {path} does not fit the model {type(module).__name__}\n" + "\n".join(filter(None, problems)))
    module.load_state_dict(dict(tensors))


def _stored(value: Tensor, half: bool) -> Tensor:
    value = value.detach().cpu().contiguous()
    return value.half() if half and value.is_floating_point() and value.dim() > 1 else value


def _read_state_dict(path: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"checkpoint {path}: it holds more than tensors, or is no PyTorch file, and is not unpickled, because that could run any code. "
            "Write it again with torch.save(model.state_dict(), path), or as safetensors"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise CheckpointError(f"checkpoint {path}: truncated or no PyTorch file ({_first_line(error)})") from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(isinstance(v, Tensor) for v in content.values()):
        found = type(content).__name__
        raise CheckpointError(f"checkpoint {path}: expected a state dict (names to tensors), found a {found} of other things")
    return {str(name): value for name, value in content.items()}


def _read_config(path: Path) -> NetworkConfig:
    metadata = read_metadata(path)
    if metadata.get("format") != FORMAT or "config" not in metadata:
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


def _explain(path: Path, error: Exception) -> str:
    with path.open("rb") as file:
        start = file.read(8)
        size = os.fstat(file.fileno()).st_size
    header_bytes = int.from_bytes(start, "little")
    # A safetensors file starts with the length of its JSON header; see the format's specification.
    plausible = len(start) == 8 and 0 < header_bytes < 100_000_000
    if size < 8 or "incomplete" in str(error).lower() or (plausible and size < 8 + header_bytes):
        return f"checkpoint {path}: the file is truncated ({size} bytes)"
    return f"checkpoint {path}: not a safetensors file ({_first_line(error)})"


def _listed(what: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" … and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f"  {what}: " + "; ".join(names[:NAMES_SHOWN]) + more


def _shape(value: Tensor) -> str:
    return "x".join(map(str, value.shape)) or "a single number"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
