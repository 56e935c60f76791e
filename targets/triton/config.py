"""``config.pbtxt``: what Triton is told of a model, in protobuf's text format."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ...capture.program import Program
from ...model.graph import Size, TensorSpec
from ...recipe.precision import Precision
from .options import TritonOptions

CONFIG = "config.pbtxt"
# Of an ensemble's step: whatever version of a model is the newest.
NEWEST = -1
THREADS = "intra_op_thread_count"


@dataclass(frozen=True)
class Tensor:
    """One input or output: float32, ``dims`` with the batch unless the model has batches."""

    name: str
    dims: tuple[int, ...]


@dataclass(frozen=True)
class Step:
    """A model of an ensemble, whose tensors have the same names there."""

    model: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def model_name(program: Program, precision: Precision, graph: str = "") -> str:
    """Of a graph or, without one, of the ensemble of all; no two artifacts of different networks, precisions or sizes share it, so that
    one server can have them all."""
    parts = (program.model, *filter(None, (graph,)), str(precision), "x".join(map(str, program.size)))
    return re.sub(r"[^\w.-]", "_", "-".join(parts))


def tensors(specs: Sequence[TensorSpec], size: Size, *, batched: bool = False) -> tuple[Tensor, ...]:
    """Of a graph."""
    return tuple(Tensor(spec.name, spec.shape(size)[1 if batched else 0 :]) for spec in specs)


def of_graph(
    name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], options: TritonOptions, *, batched: bool, why_not: str = ""
) -> str:
    """The configuration of one graph's ``model.onnx``.

    Args:
        batched: whether the file takes batches.
        why_not: said where it does not.
    """
    batches = (
        f"max_batch_size: {options.max_batch_size}\ndynamic_batching {{ max_queue_delay_microseconds: {options.queue_delay_us} }}\n"
        if batched
        else f"# One picture a request: {why_not}.\nmax_batch_size: 0\n"
    )
    return (
        f"name: {_text(name)}\nbackend: {_text(options.backend)}\n"
        f"{batches}{_interface(inputs, outputs)}"
        f"# Each instance has a session of its own; requests run side by side in different instances, and one after another in one.\n"
        f"instance_group [ {{ count: {options.instances} kind: KIND_CPU }} ]\n"
        f"parameters [\n  {_parameter(THREADS, options.threads)},\n  {_parameter('inter_op_thread_count', 1)}\n]\n"
        "version_policy { all { } }\n"
    )


def of_ensemble(name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], steps: Sequence[Step]) -> str:
    """The configuration of the ensemble of all graphs: tensors of one name are one tensor."""
    listed = ",\n".join(
        f"    {{ model_name: {_text(step.model)} model_version: {NEWEST}\n"
        + "".join(f"      input_map {{ key: {_text(each)} value: {_text(each)} }}\n" for each in step.inputs)
        + "".join(f"      output_map {{ key: {_text(each)} value: {_text(each)} }}\n" for each in step.outputs)
        + "    }"
        for step in steps
    )
    return (
        f'name: {_text(name)}\nplatform: "ensemble"\nmax_batch_size: 0\n{_interface(inputs, outputs)}'
        f"# Of each model the newest version that is served.\nensemble_scheduling {{\n  step [\n{listed}\n  ]\n}}\n"
        "version_policy { all { } }\n"
    )


def with_threads(text: str, threads: int) -> str:
    """A graph's configuration with another number of threads.

    Raises:
        ValueError: it is none of ``of_graph``.
    """
    changed, count = re.subn(rf'(key: "{THREADS}" value {{ string_value: )"\d+"', rf'\1"{threads}"', text)
    if count != 1:
        raise ValueError(f"no configuration of a graph has {THREADS} {count} times")
    return changed


def _interface(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> str:
    return "".join(f"{kind} [\n{_listed(each)}\n]\n" for kind, each in (("input", inputs), ("output", outputs)))


def _listed(found: Sequence[Tensor]) -> str:
    return ",\n".join(f"  {{ name: {_text(each.name)} data_type: TYPE_FP32 dims: {list(each.dims)} }}" for each in found)


def _parameter(key: str, value: int) -> str:
    return f'{{ key: "{key}" value {{ string_value: "{value}" }} }}'


def _text(text: str) -> str:
    """A string of the text format, which takes JSON's escapes of ASCII."""
    return json.dumps(text, ensure_ascii=False)
