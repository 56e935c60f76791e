"""What a graph's file says of itself, against what its manifest says: every runner checks it before it runs anything.

Hashes prove that a file is the one that was measured; this proves that an app which follows the manifest feeds it what it wants.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from ..capture.program import GraphProgram, Program
from ..model.graph import Model, Size, TensorKind, TensorSpec
from ..recipe.precision import Precision
from ..system.errors import ExecutionError
from .artifact import MANIFEST
from .base import Artifact, GraphArtifact
from .identity import fingerprint

FLOAT32 = "float32"
REBUILD = "file and manifest are not of one build; build the artifact again"
MISSING = "a tool that saved it again left it out; build the artifact again, and ship the file as it was built"
# What the facts about a graph's tensors are called.
TENSORS = ("inputs", "outputs")


@dataclass(frozen=True)
class Tensor:
    """One input or output as a file declares it.

    Attributes:
        dtype: of its numbers as NumPy calls it, or ``image`` for an image type of the platform's own.
        shape: a name or a text stands for a length that is open.
        colours: of an image type: in which order it has its channels; otherwise empty.
        optional: whether a caller may leave it out.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    colours: str = ""
    optional: bool = False


@dataclass(frozen=True)
class Declared:
    """A graph's interface, in order, and the facts in its metadata by their names (``facts``)."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    facts: Mapping[str, str]


def facts(whole: Program | Artifact, graph: GraphProgram | GraphArtifact, precision: Precision, size: Size | None) -> dict[str, str]:
    """What the metadata of a graph's file must say: written when it is made, compared when it is opened. What is not known is not in it.

    Args:
        whole: what the graph belongs to.
        size: height and width; None for a file that takes several.
    """
    origin = whole.provenance
    known = {
        "model": whole.model,
        "graph": graph.name,
        "precision": str(precision),
        "size": f"{size[0]}x{size[1]}" if size else "",
        "recipe": origin.recipe,
        "checkpoint_sha256": origin.checkpoint_sha256,
        "program_sha256": graph.program_sha256 if isinstance(graph, GraphArtifact) else fingerprint(graph, precision),
    }
    for key, specs in zip(TENSORS, (graph.inputs, graph.outputs), strict=True):
        known[key] = json.dumps([_describe(spec, size) for spec in specs], separators=(",", ":"))
    return {key: value for key, value in known.items() if value}


def _describe(spec: TensorSpec, size: Size | None) -> dict[str, object]:
    known: dict[str, object] = {"name": spec.name, "kind": str(spec.kind)}
    if size is not None:
        known["shape"] = spec.shape(size)
    known |= {"minimum": spec.minimum, "maximum": spec.maximum}
    if spec.kind is not TensorKind.IMAGE:
        return known
    return known | {"order": spec.order if spec.channels >= 3 else "L", "mean": list(spec.mean), "std": list(spec.std)}


def as_arrays(artifact: Artifact, graph: GraphArtifact) -> Declared:
    """What a file without image types must declare: float32 arrays of fixed shapes."""

    def arrays(specs: Iterable[TensorSpec]) -> tuple[Tensor, ...]:
        return tuple(Tensor(spec.name, FLOAT32, spec.shape(artifact.size)) for spec in specs)

    return Declared(arrays(graph.inputs), arrays(graph.outputs), facts(artifact, graph, artifact.precision, artifact.size))


def check_declared(found: Declared, wanted: Declared, path: Path) -> None:
    """Compares what a file declares with what its manifest says.

    Raises:
        ExecutionError: they differ: names the file and the tensor or the fact, what is declared, what was found, and what to do.
    """
    tensors = (_of_tensors(kind, getattr(found, f"{kind}s"), getattr(wanted, f"{kind}s")) for kind in ("input", "output"))
    problem = next(chain(*tensors, _of_facts(found.facts, wanted.facts)), None)
    if problem is not None:
        raise ExecutionError(f"{path}: {problem}")


def _of_tensors(kind: str, found: tuple[Tensor, ...], wanted: tuple[Tensor, ...]) -> Iterator[str]:
    has, declared = [tensor.name for tensor in found], [tensor.name for tensor in wanted]
    for tensor in wanted:
        if tensor.name not in has:
            yield f"it has no {kind} '{tensor.name}', which {MANIFEST} declares; its {kind}s are {_listed(has)}: {REBUILD}"
    for tensor in found:
        if tensor.name not in declared:
            nature = f"optional {kind}" if tensor.optional else kind
            yield f"it has the {nature} '{tensor.name}', and {MANIFEST} declares {_listed(declared)} alone: {REBUILD}"
    if has != declared:
        yield f"its {kind}s are in the order {_listed(has)}, and {MANIFEST} declares {_listed(declared)}: {REBUILD}"
    for one, other in zip(found, wanted, strict=True):
        yield from _of_tensor(f"its {kind} '{other.name}'", one, other)


def _of_tensor(where: str, found: Tensor, wanted: Tensor) -> Iterator[str]:
    if found.optional:
        yield f"{where} is optional, and {MANIFEST} declares all of them necessary: who leaves it out gets another picture; {REBUILD}"
    if found.dtype != wanted.dtype:
        yield f"{where} is {found.dtype}, and {MANIFEST} declares {wanted.dtype}: {REBUILD}"
    if found.shape != wanted.shape:
        still_open = "".join(f", in which '{length}' is open" for length in dict.fromkeys(found.shape) if isinstance(length, str))
        yield f"{where} has the shape {_shape(found)}{still_open}, and {MANIFEST} declares {_shape(wanted)}: {REBUILD}"
    if found.colours != wanted.colours:
        yield f"{where} is {found.colours or 'no picture'}, and {MANIFEST} declares {wanted.colours or 'none'}: {REBUILD}"


def _of_facts(found: Mapping[str, str], wanted: Mapping[str, str]) -> Iterator[str]:
    for key, value in wanted.items():
        if key not in found:
            yield f"its metadata has no '{key}', which is {value} in {MANIFEST}: {MISSING}"
        elif key in TENSORS:
            yield from _of_described(key, found[key], value)
        elif found[key] != value:
            yield f"its metadata says {key} '{found[key]}', and {MANIFEST} '{value}': {REBUILD}"
    known = ("checkpoint_sha256", "program_sha256", "recipe")
    for key in (key for key in known if found.get(key) and key not in wanted):
        yield f"its metadata says {key} '{found[key]}', and {MANIFEST} knows of none: {REBUILD}"


def _of_described(key: str, found: str, wanted: str) -> Iterator[str]:
    """Parsed, because 1 and 1.0 are the same."""
    try:
        has = json.loads(found)
    except ValueError:
        yield f"'{key}' in its metadata is no JSON: {REBUILD}"
        return
    declared = json.loads(wanted)
    if has == declared:
        return
    pairs = zip(has, declared, strict=False) if isinstance(has, list) else ()
    different = next((pair for pair in pairs if pair[0] != pair[1]), None)
    yield f"its metadata says of its {key}: {_difference(*different) if different else f'{found}, not {wanted}'}: {REBUILD}"


def _difference(found: Any, wanted: Mapping[str, Any]) -> str:
    if not isinstance(found, dict):
        return f"{found}, and {MANIFEST} {dict(wanted)}"
    field = next(each for each in (*wanted, *found) if found.get(each) != wanted.get(each))
    return f"'{wanted['name']}' has {field} {found.get(field, 'none')}, and in {MANIFEST} {wanted.get(field, 'none')}"


def check_manifest(artifact: Artifact, model: Model) -> None:
    """Compares what a manifest declares with the model.

    Raises:
        ExecutionError: they differ: names graph, tensor and field, and says what was found.
    """
    wanted, found = [graph.name for graph in model.graphs], [graph.name for graph in artifact.graphs]
    if sorted(wanted) != sorted(found):
        raise ExecutionError(f"{artifact.name} has the graphs {_listed(found)}; the model has {_listed(wanted)}")
    for graph in model.graphs:
        made = artifact.graph(graph.name)
        for kind, has, declared in (("input", made.inputs, graph.inputs), ("output", made.outputs, graph.outputs)):
            problem = _of_specs(kind, has, declared)
            if problem:
                raise ExecutionError(f"{artifact.name}: graph '{graph.name}': {MANIFEST} says that {problem}; build the artifact again")


def _of_specs(kind: str, found: tuple[TensorSpec, ...], wanted: tuple[TensorSpec, ...]) -> str:
    has, declared = _listed(spec.name for spec in found), _listed(spec.name for spec in wanted)
    if has != declared:
        return f"its {kind}s are {has}; the model's are {declared}"
    for one, other in zip(map(_plain, found), map(_plain, wanted), strict=True):
        for field, value in other.items():
            if one[field] != value:
                return f"{field} of {kind} '{other['name']}' is {one[field]}; in the model it is {value}"
    return ""


def _plain(spec: TensorSpec) -> dict[str, Any]:
    """As it comes back from JSON: a model may have lists where a manifest has tuples, and NumPy's numbers where it has Python's."""
    return json.loads(json.dumps(asdict(spec), default=float))


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "()"


def _listed(names: Any) -> str:
    return ", ".join(names) or "nothing"
