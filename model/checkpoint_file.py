"""Checkpoint files as they come, told apart by their content, whatever they are called. Nothing but tensors and plain values is ever
unpickled: what else a file names is read as text, for the message."""

import argparse
import collections
import datetime
import io
import pathlib
import pickle
import pickletools
import re
import types
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from numpy._core import multiarray

from ..system.errors import CheckpointError

ZIP, PICKLES = b"PK", (b"\x80", b"(")
# What people mistake for a checkpoint: starts of files, and what they are.
FOREIGN = {
    b"\x89HDF": "an HDF5 file (of Keras or h5py)",
    b"\x1f\x8b": "a gzip archive; unpack it first",
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself; fetch it with `git lfs pull`",
    b"<!DOCTYPE": "a web page, so the download went wrong",
    b"<html": "a web page, so the download went wrong",
    b"GGUF": "a GGUF file",
    b"\x08": "an ONNX model; the recipe exports PyTorch modules",
}
AGAIN = "torch.save(model.state_dict(), path)"
# Values that training frameworks keep beside the weights. Making one runs no code of a file.
PLAIN_TYPES: list[Any] = [
    argparse.Namespace,
    types.SimpleNamespace,
    collections.defaultdict,
    dict,
    list,
    tuple,
    slice,
    range,
    datetime.datetime,
    datetime.date,
    datetime.timedelta,
    np.dtype,
    np.ndarray,
    *(type(np.dtype(kind)) for kind in ("bool", "i1", "u1", "i2", "i4", "i8", "f2", "f4", "f8", "U1", "S1")),
    *((multiarray.scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    *((multiarray._reconstruct, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
    # Paths of another system cannot be made here, pure ones can.
    *((pathlib.PurePosixPath, f"pathlib.{module}PosixPath") for module in ("", "_local.")),
    *((pathlib.PureWindowsPath, f"pathlib.{module}WindowsPath") for module in ("", "_local.")),
]


@dataclass(frozen=True)
class Content:
    """What a file holds.

    Attributes:
        tree: names to tensors, mappings and plain values.
        metadata: of a safetensors file; empty for others.
    """

    tree: Mapping[Any, Any]
    metadata: Mapping[str, str]


def read_content(path: Path) -> Content:
    """Reads a safetensors file or what ``torch.save`` wrote, of any version. Tensors of a zip archive stay in the file until they are used.

    Raises:
        CheckpointError: missing, empty, truncated, damaged or something else: says what, and what to do.
    """
    start = _start(path)
    if start.startswith(ZIP):
        return Content(_read_archive(path), {})
    if _is_safetensors(start):
        return _read_safetensors(path)
    what = next((what for magic, what in FOREIGN.items() if start.startswith(magic)), None)
    if start.lstrip().startswith(b"{"):
        what = _json(path)
    if what is not None:
        raise CheckpointError(f"checkpoint {path}: it is {what}")
    if start.startswith(PICKLES):
        return Content(_load(path), {})
    raise CheckpointError(f"checkpoint {path}: not a safetensors file and nothing that torch.save writes; write it again with {AGAIN}")


def read_header(path: Path) -> Mapping[str, str]:
    """The metadata of a safetensors file; of other files none.

    Raises:
        CheckpointError: missing, empty, truncated or damaged.
    """
    return _read_safetensors(path, tensors=False).metadata if _is_safetensors(_start(path)) else {}


def _start(path: Path) -> bytes:
    if path.is_dir():
        raise CheckpointError(f"checkpoint {path}: it is a folder; name the file with the weights in it")
    if not path.exists():
        raise CheckpointError(f"checkpoint {path}: no such file")
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise CheckpointError(f"checkpoint {path}: cannot be read ({error.strerror})") from error
    if not start:
        raise CheckpointError(f"checkpoint {path}: the file is truncated (0 bytes): it is empty")
    # What is cut so short, or named so, can only be judged by its name.
    if len(start) < 10 and path.suffix == ".safetensors":
        raise _truncated(path)
    return start


def _truncated(path: Path, detail: object = "") -> CheckpointError:
    said = f": {_first_line(detail)}" if str(detail) else ""
    return CheckpointError(f"checkpoint {path}: the file is truncated ({path.stat().st_size} bytes) or damaged{said}; get it again")


def _is_safetensors(start: bytes) -> bool:
    """The length of a JSON header, and the header: see the format's specification."""
    return len(start) > 8 and start[8:9] == b"{" and 0 < int.from_bytes(start[:8], "little") < 100_000_000


def _read_safetensors(path: Path, tensors: bool = True) -> Content:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            found = {name: file.get_tensor(name) for name in file.keys()} if tensors else {}  # noqa: SIM118 - not a mapping
            return Content(found, file.metadata() or {})
    except safetensors.SafetensorError as error:
        raise _truncated(path, error) from error


def _json(path: Path) -> str:
    found = re.findall(rb'"([^"]+\.(?:safetensors|bin|pth?))"', path.read_bytes())
    if b"weight_map" in path.read_bytes() and found:
        shards = sorted({name.decode(errors="replace") for name in found})
        return f"the index of weights in {len(shards)} files ({shards[0]}, …); merge them: load each, update one dict, save that"
    return "a JSON file"


def _read_archive(path: Path) -> Mapping[Any, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            _refuse_archive(path, names)
            # PyTorch does not look at the checksums.
            damaged = archive.testzip()
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError) as error:
        raise _truncated(path) from error
    if damaged is not None:
        raise CheckpointError(f"checkpoint {path}: the file is damaged (wrong checksum of {damaged}); copy or download it again")
    return _load(path, mmap=True)


def _refuse_archive(path: Path, names: list[str]) -> None:
    """Archives that are no checkpoints."""
    inner = {name.partition("/")[2] for name in names}
    if "constants.pkl" in inner or any(name.startswith("code/") for name in inner):
        raise CheckpointError(
            f"checkpoint {path}: it is a TorchScript archive (torch.jit.save), a compiled program. Take its weights out of it: "
            "torch.save(torch.jit.load(path).state_dict(), 'weights.pth'), and let the factory return the Python module"
        )
    if "archive_format" in inner or any(name.endswith("models/model.json") for name in names):
        raise CheckpointError(
            f"checkpoint {path}: it is an exported program (torch.export.save). Save the module's weights instead: {AGAIN}"
        )
    if "data.pkl" not in inner:
        holds = ", ".join(sorted(names)[:3]) or "nothing"
        raise CheckpointError(f"checkpoint {path}: it is a zip archive, but not of torch.save (it holds {holds}); write it with {AGAIN}")


def _load(path: Path, mmap: bool = False) -> Mapping[Any, Any]:
    try:
        with torch.serialization.safe_globals(PLAIN_TYPES), path.open("rb") as file:
            # PyTorch goes by the name: given a path that ends so, it would read safetensors.
            source = file if path.suffix == ".safetensors" else path
            content = torch.load(source, map_location="cpu", weights_only=True, mmap=mmap and source is path)
    except pickle.UnpicklingError as error:
        raise _refused(path, error) from error
    except MemoryError:
        raise
    except Exception as error:  # damaged pickles give whatever error the bytes happen to lead to
        raise _truncated(path, error) from error
    if not isinstance(content, Mapping):
        found = type(content).__name__
        raise CheckpointError(f"checkpoint {path}: expected a state dict (names to tensors), found a {found}; write it again with {AGAIN}")
    return content


def _refused(path: Path, error: pickle.UnpicklingError) -> CheckpointError:
    """What is in the way of reading a pickle, by the names of classes and functions in it."""
    try:
        named = list(_named_in(path))
    except (ValueError, OSError, zipfile.BadZipFile, UnicodeDecodeError):
        return _truncated(path, "its pickle ends early")
    modules = [name for name in named if name.startswith("torch.nn.modules.") or name.startswith("torch.fx.")]
    if modules:
        foreign = (name for name in named if not name.startswith(("torch.", "collections.", "__builtin__", "builtins")))
        return CheckpointError(
            f"checkpoint {path}: it holds a whole pickled module ({next(foreign, modules[0])}), not just weights, and is not unpickled, "
            "because that could run any code. Where its class can be imported, and if you trust the file: "
            f"model = torch.load(path, weights_only=False); {AGAIN}"
        )
    told = re.search(r"GLOBAL ([\w.]+)", str(error))
    found = told[1] if told else ", ".join(named[:3]) or "something"
    return CheckpointError(
        f"checkpoint {path}: it holds more than tensors ({found}), and is not unpickled, because that could run any code. "
        f"Where it was made, write the weights alone: {AGAIN}, or as safetensors"
    )


def _named_in(path: Path) -> Iterator[str]:
    """Classes and functions that a file's pickles name, found without unpickling anything."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            yield from _globals(io.BytesIO(archive.read(name)))
        return
    size = path.stat().st_size
    with path.open("rb") as file:
        yield from _globals(file)
        # The old format: a magic number, its version and the system come before the content.
        for _ in range(3):
            if file.tell() < size and file.peek(1)[:1] == b"\x80":
                yield from _globals(file)


def _globals(stream: Any) -> Iterator[str]:
    texts: list[str] = []
    for operation, argument, _ in pickletools.genops(stream):
        if isinstance(argument, str):
            texts.append(argument)
        if operation.name == "GLOBAL" and isinstance(argument, str):
            yield argument.replace(" ", ".")
        elif operation.name == "STACK_GLOBAL":
            yield ".".join(texts[-2:])


def _first_line(error: object) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
