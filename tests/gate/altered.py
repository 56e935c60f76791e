"""Files of artifacts that were changed behind their manifest's back, and manifests that say so."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx

from instantstyle.targets.android.ort_format import to_ort_format
from instantstyle.targets.artifact import describe_files
from instantstyle.targets.base import Artifact

# Changes the message of a model, of ONNX or Core ML, in place.
Edit = Callable[[Any], object]
SPECIFICATION = "Data/com.apple.CoreML/model.mlmodel"


def rehashed(artifact: Artifact, folder: Path) -> Artifact:
    """The artifact with the sizes and hashes that its files have now."""
    return replace(artifact, files=tuple(file for file in describe_files(folder) if file.path in {each.path for each in artifact.files}))


def edit_onnx(path: Path, edit: Edit) -> None:
    model = onnx.load(path)
    before = model.SerializeToString(deterministic=True)
    edit(model)
    after = model.SerializeToString(deterministic=True)
    assert after != before
    path.write_bytes(after)


def edit_package(path: Path, edit: Edit) -> None:
    """The specification of a Core ML package."""
    from coremltools.proto import Model_pb2

    specification: Any = getattr(Model_pb2, "Model")()  # noqa: B009  (generated)
    file = path / SPECIFICATION
    specification.ParseFromString(file.read_bytes())
    before = specification.SerializeToString(deterministic=True)
    edit(specification)
    after = specification.SerializeToString(deterministic=True)
    assert after != before
    file.write_bytes(after)


def rebuild_ort(path: Path, model: Path, edit: Edit, scratch: Path) -> None:
    """An ``.ort`` file made of an ONNX file that was changed."""
    source, made = scratch / "source", scratch / "made"
    source.mkdir(parents=True)
    made.mkdir()
    copy = source / f"{path.stem}.onnx"
    copy.write_bytes(model.read_bytes())
    edit_onnx(copy, edit)
    to_ort_format(source, made, halve=False)
    path.write_bytes((made / path.name).read_bytes())


def value(model: onnx.ModelProto, name: str) -> onnx.ValueInfoProto:
    """An input or output."""
    return next(each for each in (*model.graph.input, *model.graph.output) if each.name == name)


def rename(old: str, new: str) -> Edit:
    """A tensor everywhere in an ONNX graph, so that it still runs."""

    def edit(model: onnx.ModelProto) -> None:
        for each in (*model.graph.input, *model.graph.output, *model.graph.initializer):
            each.name = new if each.name == old else each.name
        for node in model.graph.node:
            for names in (node.input, node.output):
                names[:] = [new if name == old else name for name in names]

    return edit


def swapped_inputs(model: onnx.ModelProto) -> None:
    """The first two inputs change places."""
    inputs = list(model.graph.input)
    del model.graph.input[:]
    model.graph.input.extend([inputs[1], inputs[0], *inputs[2:]])


def half_input(name: str) -> Edit:
    """An input in float16, cast to float32 at once."""

    def edit(model: onnx.ModelProto) -> None:
        rename(name, f"{name}.wide")(model)
        given = value(model, f"{name}.wide")
        given.name, given.type.tensor_type.elem_type = name, onnx.TensorProto.FLOAT16
        cast = onnx.helper.make_node("Cast", [name], [f"{name}.wide"], to=onnx.TensorProto.FLOAT)
        nodes = [cast, *model.graph.node]
        del model.graph.node[:]
        model.graph.node.extend(nodes)

    return edit


def half_output(name: str) -> Edit:
    """An output in float16."""

    def edit(model: onnx.ModelProto) -> None:
        rename(name, f"{name}.wide")(model)
        found = value(model, f"{name}.wide")
        found.name, found.type.tensor_type.elem_type = name, onnx.TensorProto.FLOAT16
        model.graph.node.append(onnx.helper.make_node("Cast", [f"{name}.wide"], [name], to=onnx.TensorProto.FLOAT16))

    return edit


def open_length(name: str, axis: int) -> Edit:
    """A length that any number fits."""

    def edit(model: onnx.ModelProto) -> None:
        length = value(model, name).type.tensor_type.shape.dim[axis]
        length.ClearField("dim_value")
        length.dim_param = "height"

    return edit


def optional_input(name: str) -> Edit:
    """An input with a value of its own."""

    def edit(model: onnx.ModelProto) -> None:
        shape = [each.dim_value for each in value(model, name).type.tensor_type.shape.dim]
        count = 1
        for length in shape:
            count *= length
        model.graph.initializer.append(onnx.helper.make_tensor(name, onnx.TensorProto.FLOAT, shape, [1.0] * count))

    return edit


def extra_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(onnx.helper.make_tensor_value_info("seed", onnx.TensorProto.FLOAT, [1, 1]))


def extra_output(model: onnx.ModelProto) -> None:
    """One that shows something of the inside."""
    source = model.graph.output[0].name
    model.graph.node.append(onnx.helper.make_node("Neg", [source], ["debug"]))
    shape = [each.dim_value for each in model.graph.output[0].type.tensor_type.shape.dim]
    model.graph.output.append(onnx.helper.make_tensor_value_info("debug", onnx.TensorProto.FLOAT, shape))


def fact(key: str, new: str | None) -> Edit:
    """An entry of an ONNX model's metadata with another value, or gone."""

    def edit(model: onnx.ModelProto) -> None:
        kept = [(each.key, each.value) for each in model.metadata_props]
        del model.metadata_props[:]
        for name, old in kept:
            if name != f"instantstyle.{key}" or new is not None:
                model.metadata_props.add(key=name, value=new if name == f"instantstyle.{key}" else old)

    return edit


def no_facts(model: onnx.ModelProto) -> None:
    del model.metadata_props[:]


def described(key: str, index: int, **changes: object) -> Edit:
    """What the metadata say of an input or output, changed."""

    def edit(model: onnx.ModelProto) -> None:
        (entry,) = (each for each in model.metadata_props if each.key == f"instantstyle.{key}")
        rows = json.loads(entry.value)
        rows[index] |= changes
        entry.value = json.dumps(rows)

    return edit
