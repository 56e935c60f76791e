"""What the interface of a model file may be instead of the declared one, and the sentence that refuses it.

The files still run, most of them with the right picture: only what they say of themselves is wrong.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from altered import (
    Edit,
    described,
    extra_input,
    extra_output,
    fact,
    half_input,
    half_output,
    no_facts,
    open_length,
    optional_input,
    rename,
    swapped_inputs,
)
from gate_helpers import Change, content, entry, listed, sealed, sha256

OTHER = "cd" * 32

# ONNX's message, for .onnx files and for what .ort files are made of. Graph, change, sentence.
ONNX: dict[str, tuple[str, Edit, str]] = {
    "an input renamed": ("painter", rename("photo", "picture"), "no input 'photo', which artifact.json declares; its inputs are picture"),
    "an output renamed": ("painter", rename("image", "result"), "no output 'image'.*its outputs are result"),
    "an input of the other graph renamed": ("encoder", rename("style", "artwork"), "encoder.*no input 'style'"),
    "inputs in another order": ("painter", swapped_inputs, "inputs are in the order code, photo, alpha.*declares photo, code, alpha"),
    "an input in float16": ("painter", half_input("photo"), "input 'photo' is float16, and artifact.json declares float32"),
    "an output in float16": ("encoder", half_output("code"), "output 'code' is float16, and artifact.json declares float32"),
    "an open height": ("painter", open_length("photo", 2), "input 'photo' has the shape 1x3xheightx32, in which 'height' is open"),
    "an open batch": ("encoder", open_length("style", 0), "input 'style' has the shape heightx3x16x16, in which 'height' is open"),
    "an optional input": ("painter", optional_input("alpha"), "input 'alpha'.* is optional|no input 'alpha'"),
    "an input more": ("painter", extra_input, "has the input 'seed', and artifact.json declares photo, code, alpha alone"),
    "an output more": ("painter", extra_output, "has the output 'debug', and artifact.json declares image alone"),
    "BGR in": ("painter", described("inputs", 0, order="BGR"), "inputs: 'photo' has order BGR, and in artifact.json RGB"),
    "BGR out": ("painter", described("outputs", 0, order="BGR"), "outputs: 'image' has order BGR, and in artifact.json RGB"),
    "BGR of a style": ("encoder", described("inputs", 0, order="BGR"), "encoder.*inputs: 'style' has order BGR"),
    "another range": ("painter", described("inputs", 0, minimum=0.0, maximum=255.0), "'photo' has minimum 0.0, and in artifact.json -1.0"),
    "another range of alpha": ("painter", described("inputs", 2, maximum=100.0), "'alpha' has maximum 100.0, and in artifact.json 1.0"),
    "a mean": ("painter", described("inputs", 0, mean=[0.5, 0.5, 0.5]), r"'photo' has mean \[0.5, 0.5, 0.5\], and in artifact.json \[\]"),
    "another kind": ("painter", described("inputs", 1, kind="scalar"), "'code' has kind scalar, and in artifact.json vector"),
    "tensors that are no JSON": ("painter", fact("inputs", "RGB"), "'inputs' in its metadata is no JSON"),
    "no metadata": ("painter", no_facts, "its metadata has no 'model', which is painter in artifact.json"),
    "no checkpoint": ("painter", fact("checkpoint_sha256", None), "its metadata has no 'checkpoint_sha256', which is abab"),
    "another checkpoint": ("painter", fact("checkpoint_sha256", OTHER), f"its metadata says checkpoint_sha256 '{OTHER}', and.*'abab"),
    "another program": ("encoder", fact("program_sha256", OTHER), f"encoder.*its metadata says program_sha256 '{OTHER}'"),
    "another recipe": ("painter", fact("recipe", "server"), "its metadata says recipe 'server', and artifact.json 'phone'"),
    "another model": ("painter", fact("model", "large"), "its metadata says model 'large', and artifact.json 'painter'"),
    "the other graph's name": ("painter", fact("graph", "encoder"), "its metadata says graph 'encoder', and artifact.json 'painter'"),
    "another precision": ("painter", fact("precision", "int8"), "its metadata says precision 'int8', and artifact.json 'float32'"),
}
# ONNX Runtime's converter is a process of seconds: of each kind one, and what may get lost on the way.
ORT = (
    "an input renamed", "inputs in another order", "an input in float16", "an open height", "an output more", "BGR in", "another range",
    "no metadata", "another checkpoint", "an input of the other graph renamed",
)  # fmt: skip


def feature(specification: Any, name: str) -> Any:
    described = specification.description
    return next(each for each in (*described.input, *described.output) if each.name == name)


def of_image(name: str, **changes: int) -> Edit:
    def edit(specification: Any) -> None:
        for key, value in changes.items():
            setattr(feature(specification, name).type.imageType, key, value)

    return edit


def of_array(name: str, change: Callable[[Any], object]) -> Edit:
    return lambda specification: change(feature(specification, name).type.multiArrayType)


def of_metadata(key: str, value: str | None) -> Edit:
    def edit(specification: Any) -> None:
        known = specification.description.metadata.userDefined
        if value is None:
            del known[f"com.instantstyle.{key}"]
        else:
            known[f"com.instantstyle.{key}"] = value

    return edit


def any_size(specification: Any) -> None:
    sizes = feature(specification, "photo").type.imageType.imageSizeRange
    for lengths in (sizes.widthRange, sizes.heightRange):
        lengths.lowerBound, lengths.upperBound = 1, -1


def optional_feature(specification: Any) -> None:
    feature(specification, "alpha").type.isOptional = True


def default_value(array: Any) -> None:
    array.floatDefaultValue = 1.0


def renamed_feature(specification: Any) -> None:
    feature(specification, "photo").name = "picture"


def swapped_features(specification: Any) -> None:
    features = specification.description.input
    one, other = type(features[0])(), type(features[0])()
    one.CopyFrom(features[0])
    other.CopyFrom(features[1])
    features[0].CopyFrom(other)
    features[1].CopyFrom(one)


def array_for_image(specification: Any) -> None:
    array = feature(specification, "photo").type.multiArrayType
    array.shape.extend([1, 3, 32, 32])
    array.dataType = 65568


def feature_more(specification: Any) -> None:
    more = specification.description.output.add()
    more.CopyFrom(specification.description.output[0])
    more.name = "debug"


def state(specification: Any) -> None:
    specification.description.state.add().name = "memory"


def other_range(specification: Any) -> None:
    known = specification.description.metadata.userDefined
    rows = json.loads(known["com.instantstyle.inputs"])
    rows[2]["maximum"] = 100.0
    known["com.instantstyle.inputs"] = json.dumps(rows)


# Values of FeatureTypes.proto.
GREY, RGB, BGR, FLOAT16, INT32 = 10, 20, 30, 65552, 131104
COREML: dict[str, tuple[str, Edit, str]] = {
    "BGR in": ("painter", of_image("photo", colorSpace=BGR), "input 'photo' is BGR, and artifact.json declares RGB"),
    "BGR out": ("painter", of_image("image", colorSpace=BGR), "output 'image' is BGR, and artifact.json declares RGB"),
    "grey in": ("painter", of_image("photo", colorSpace=GREY), "input 'photo' is GRAYSCALE, and artifact.json declares RGB"),
    "BGR of a style": ("encoder", of_image("style", colorSpace=BGR), "encoder.*input 'style' is BGR"),
    "another height": ("painter", of_image("photo", height=64), "input 'photo' has the shape 64x32, and artifact.json declares 32x32"),
    "any size": ("painter", any_size, r"input 'photo' has the shape \?x\?, in which '\?' is open"),
    "an array for an image": ("painter", array_for_image, "input 'photo' is float32, and artifact.json declares image"),
    "an array in float16": ("painter", of_array("code", lambda each: setattr(each, "dataType", FLOAT16)), "input 'code' is float16, and"),
    "an array of integers": ("encoder", of_array("code", lambda each: setattr(each, "dataType", INT32)), "output 'code' is int32, and"),
    "another length": ("painter", of_array("code", lambda each: each.shape.__setitem__(1, 9)), "input 'code' has the shape 1x9"),
    "an optional input": ("painter", optional_feature, "input 'alpha' is optional"),
    "an input with a default": ("painter", of_array("alpha", default_value), "input 'alpha' is optional"),
    "an input renamed": ("painter", renamed_feature, "no input 'photo'.*its inputs are picture"),
    "inputs in another order": ("painter", swapped_features, "inputs are in the order code, photo, alpha"),
    "an output more": ("painter", feature_more, "has the output 'debug'"),
    "a state": ("painter", state, "has the input 'memory'"),
    "another checkpoint": ("painter", of_metadata("checkpoint_sha256", OTHER), f"checkpoint_sha256 '{OTHER}'"),
    "no checkpoint": ("encoder", of_metadata("checkpoint_sha256", None), "encoder.*no 'checkpoint_sha256'"),
    "another range of alpha": ("painter", other_range, "'alpha' has maximum 100.0"),
}

HOME, MODEL = "onnx/float32-32x32", "painter.onnx"


def fitting(change: Callable[[Path, dict[str, Any]], object]) -> Change:
    """Another model file or manifest, and every size and hash of the bundle as if it had been built and measured so.

    Args:
        change: gets the artifact's folder, and its manifest to be changed in place.
    """

    def apply(dist: Path) -> None:
        folder = dist / HOME
        manifest = json.loads((folder / "artifact.json").read_text())
        change(folder, manifest)
        for row in manifest["files"]:
            row.update(_now(folder / row["path"]))
        manifest["shipped_bytes"] = sum(row["size_bytes"] for row in manifest["files"])
        (folder / "artifact.json").write_text(json.dumps(manifest))
        bundle = content(dist)
        artifact = entry(bundle)
        artifact["shipped_bytes"] = artifact["measurements"]["shipped_bytes"] = manifest["shipped_bytes"]
        for row in (*artifact["files"], *artifact["measurements"]["evidence"]["files"]):
            row.update(_now(folder / row["path"]))
        (dist / "bundle.json").write_text(json.dumps(sealed(listed(bundle, dist))))

    return apply


def _now(path: Path) -> dict[str, object]:
    return {"size_bytes": path.stat().st_size, "sha256": sha256(path.read_bytes())}
