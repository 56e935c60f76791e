"""Opens a saved ``.mlpackage`` with coremltools' own reader, after checking what that reader takes for granted."""

import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import PackageError, UnknownOperatorError
from .kernels import known

if TYPE_CHECKING:
    from coremltools.converters.mil.mil import Program

SPECIFICATION = Path("Data/com.apple.CoreML/model.mlmodel")
WEIGHTS = Path("Data/com.apple.CoreML/weights")
# The MIL operator sets by the name that a program gives them, with the specification version that each came with.
OPSETS = {"CoreML5": ("iOS15", 6), "CoreML6": ("iOS16", 7), "CoreML7": ("iOS17", 8), "CoreML8": ("iOS18", 9)}
# A blob in a weight file: https://github.com/apple/coremltools/blob/9.0/mlmodel/src/MILBlob/Blob/StorageFormat.hpp
BLOB_HEADER = struct.Struct("<IIQQ")
BLOB_SENTINEL = 0xDEADBEEF


@dataclass(frozen=True)
class Package:
    """A package as it lies on disk.

    Attributes:
        specification: the parsed ``Model`` message.
        program: its MIL program, weights included.
        opset: e.g. ``iOS17``.
    """

    path: Path
    specification: Any
    program: "Program"
    opset: str


def open_package(path: Path) -> Package:
    """Reads a package.

    Raises:
        PackageError: it is truncated, its weight file is too short, its specification version is unknown, a value is used before it
            is made (which a cycle always is), or the reader refuses it.
        UnknownOperatorError: an operator that the evaluator has no kernel for.
    """
    specification = read_specification(path)
    opset = _opset(specification)
    _check_known(path, specification, opset)
    _unshare_slice_bounds(specification)
    from coremltools.converters.mil.frontend.milproto.load import load

    try:
        program = load(specification, specification.specificationVersion, str(path / WEIGHTS))
    except Exception as error:
        # The reader fails with whatever class it meets; the file is what the user can do something about.
        problem = f"{type(error).__name__}: {error}"
        raise PackageError(f"{path}: coremltools cannot read its program: {problem}; build the artifact again") from error
    return Package(path, specification, program, opset)


def read_specification(path: Path) -> Any:
    """The parsed ``Model`` message of a package whose structure was checked; its weights are not read.

    Raises:
        PackageError: as ``open_package``.
    """
    specification = _parse(path)
    _check_version(path, specification)
    _check_weights(path, specification)
    _check_order(path, specification)
    return specification


def _parse(path: Path) -> Any:
    from coremltools.proto import Model_pb2

    if not path.is_dir():
        raise PackageError(f"{path} is no folder; a Core ML package is a folder that ends with .mlpackage")
    manifest = path / "Manifest.json"
    try:
        items = json.loads(manifest.read_bytes())["itemInfoEntries"]
        listed = {entry["path"] for entry in items.values()}
    except FileNotFoundError:
        raise PackageError(f"{manifest} is missing; build the artifact again") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PackageError(f"{manifest} is not a package's manifest ({error}); build the artifact again") from error
    for item in sorted(listed):
        if not (path / "Data" / item).exists():
            raise PackageError(f"{path / 'Data' / item}, which the manifest lists, is missing; build the artifact again")
    file = path / SPECIFICATION
    specification: Any = Model_pb2.Model()
    try:
        specification.ParseFromString(file.read_bytes())
    except OSError as error:
        raise PackageError(f"{file}: cannot be read ({error.strerror}); build the artifact again") from error
    except Exception as error:  # protobuf's DecodeError, from whatever place coremltools has protobuf
        raise PackageError(f"{file} is truncated or damaged ({error}); build the artifact again") from error
    return specification


def _check_version(path: Path, specification: Any) -> None:
    """The program is of a known specification version and operator set, and has one function."""
    if specification.WhichOneof("Type") != "mlProgram":
        raise PackageError(f"{path / SPECIFICATION} holds a '{specification.WhichOneof('Type')}', not an ML program")
    version, known_versions = specification.specificationVersion, {number: name for name, number in OPSETS.values()}
    if version not in known_versions:
        raise PackageError(
            f"{path / SPECIFICATION}: specification version {version} is unknown; known are {', '.join(map(str, sorted(known_versions)))}"
        )
    functions = specification.mlProgram.functions
    if list(functions) != ["main"]:
        raise PackageError(f"{path / SPECIFICATION}: it has the functions {', '.join(functions)}; one function, 'main', can be evaluated")
    main = functions["main"]
    if main.opset not in OPSETS or main.opset not in main.block_specializations:
        raise PackageError(f"{path / SPECIFICATION}: function 'main' is of opset '{main.opset}'; known are {', '.join(OPSETS)}")


def _opset(specification: Any) -> str:
    return OPSETS[specification.mlProgram.functions["main"].opset][0]


def main_block(specification: Any) -> Any:
    """The operations and outputs of the function ``main``."""
    main = specification.mlProgram.functions["main"]
    return main.block_specializations[main.opset]


def replace_operations(block: Any, operations: Sequence[Any]) -> None:
    """Gives a block other operations, which may be its own."""
    copies = [operation.SerializeToString() for operation in operations]
    del block.operations[:]
    for copy in copies:
        block.operations.add().ParseFromString(copy)


def _check_weights(path: Path, specification: Any) -> None:
    """Every blob that the program refers to lies within its file, header and content."""
    for operation in main_block(specification).operations:
        for value in _values(operation):
            if value.WhichOneof("value") != "blobFileValue":
                continue
            file = path / WEIGHTS / value.blobFileValue.fileName.rpartition("/")[2]
            _check_blob(file, value.blobFileValue.offset, _place(path, operation))


def _values(operation: Any) -> Iterator[Any]:
    yield from operation.attributes.values()
    for argument in operation.inputs.values():
        yield from (binding.value for binding in argument.arguments if binding.WhichOneof("binding") == "value")


def _check_blob(file: Path, offset: int, place: str) -> None:
    try:
        length = file.stat().st_size
        with file.open("rb") as stream:
            stream.seek(offset)
            header = stream.read(BLOB_HEADER.size)
    except OSError as error:
        raise PackageError(f"{file}: cannot be read ({error.strerror}), needed by {place}; build the artifact again") from error
    if len(header) < BLOB_HEADER.size:
        raise PackageError(f"{file} has {length} bytes, but {place} refers to offset {offset}; build the artifact again")
    sentinel, _, size_bytes, start = BLOB_HEADER.unpack(header)
    if sentinel != BLOB_SENTINEL:
        raise PackageError(f"{file}: there is no weight at offset {offset}, where {place} expects one; build the artifact again")
    if start + size_bytes > length:
        raise PackageError(f"{file} has {length} bytes, but the weight of {place} ends at {start + size_bytes}; build the artifact again")


def _check_order(path: Path, specification: Any) -> None:
    """Every value is made before it is used."""
    block = main_block(specification)
    made = {value.name for value in specification.mlProgram.functions["main"].inputs}
    later = {output.name for operation in block.operations for output in operation.outputs}
    for operation in block.operations:
        for parameter, argument in operation.inputs.items():
            for binding in argument.arguments:
                if binding.WhichOneof("binding") == "name" and binding.name not in made:
                    problem = "made only later: the program is cyclic or out of order" if binding.name in later else "made nowhere"
                    place = _place(path, operation)
                    raise PackageError(
                        f"{place}: its input '{parameter}' is '{binding.name}', which is {problem}; build the artifact again"
                    )
        made |= {output.name for output in operation.outputs}
    for output in block.outputs:
        if output not in made:
            raise PackageError(f"{path / SPECIFICATION}: the output '{output}' is made nowhere; build the artifact again")


def _check_known(path: Path, specification: Any, opset: str) -> None:
    """Every operator has a kernel, of some opset at least: the reader itself refuses what coremltools does not know, without a place."""
    operators = {name for name, _ in known()}
    for operation in main_block(specification).operations:
        if operation.type != "const" and operation.type not in operators:
            raise UnknownOperatorError(
                f"{_place(path, operation)}: the reference evaluator does not know the operator '{operation.type}' of {opset}; "
                "nothing was evaluated"
            )


def _unshare_slice_bounds(specification: Any) -> None:
    """Gives every slice constants of its own: coremltools 9.0 overwrites negative bounds in place by the length of the first tensor that
    they slice, and the next slice that shares the constant would get those.
    """
    block = main_block(specification)
    constants = {operation.outputs[0].name: operation for operation in block.operations if operation.type == "const"}
    operations = []
    for operation in block.operations:
        for parameter in ("begin", "end") if operation.type == "slice_by_index" else ():
            for binding in operation.inputs[parameter].arguments if parameter in operation.inputs else ():
                if binding.name in constants:
                    own = type(operation).FromString(constants[binding.name].SerializeToString())
                    binding.name = own.outputs[0].name = f"{parameter} of {operation.outputs[0].name}"
                    operations.append(own)
        operations.append(operation)
    replace_operations(block, operations)


def _place(path: Path, operation: Any) -> str:
    names = ", ".join(output.name for output in operation.outputs)
    return f"operation '{names}' ({operation.type}) of function 'main' in {path}"
