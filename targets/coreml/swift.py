"""The Swift file beside the packages: loads them and runs the whole model on pixel buffers.

Names, kinds and sizes of inputs and outputs are read from the packages, so that the file cannot disagree with them.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..base import GraphArtifact
from .features import shapes_of
from .mil.package import read_specification

# https://docs.swift.org/swift-book/documentation/the-swift-programming-language/lexicalstructure/#Keywords-and-Punctuation
KEYWORDS = frozenset(
    "associatedtype class deinit enum extension fileprivate func import init inout internal let open operator private precedencegroup "
    "protocol public rethrows static struct subscript typealias var break case catch continue default defer do else fallthrough for guard "
    "if in repeat return throw switch where while Any as await false is nil self Self super throws true try".split()
)


@dataclass(frozen=True)
class Feature:
    """An input or output of a package.

    Attributes:
        kind: ``image``, ``number`` or ``array``.
        sizes: widths and heights that an image may have, in pixels, the usual one first; empty for an output of any size.
        pixel_format: of an image, as Core Video calls it.
        about: its description.
        array_type: element type of an array or number, as in ``MLMultiArrayDataType``.
        shape: of an array or number.
    """

    name: str
    kind: str
    sizes: tuple[tuple[int, int], ...]
    pixel_format: str
    about: str
    array_type: str
    shape: tuple[int, ...]

    @property
    def swift_name(self) -> str:
        """``style_image`` as ``styleImage``."""
        return identifier(self.name)

    @property
    def swift_type(self) -> str:
        """What an app passes or gets."""
        return {"image": "CVPixelBuffer", "number": "Double", "array": "MLMultiArray"}[self.kind]


@dataclass(frozen=True)
class Network:
    """A package as Swift sees it."""

    name: str
    inputs: tuple[Feature, ...]
    outputs: tuple[Feature, ...]

    @property
    def swift_name(self) -> str:
        """``style_encoder`` as ``styleEncoder``."""
        return identifier(self.name)

    @property
    def property_name(self) -> str:
        """``style_encoder`` as ``styleEncoderModel``."""
        return identifier(f"{self.name}_model")


def write_swift(model: str, graphs: Sequence[GraphArtifact], folder: Path) -> None:
    """Writes ``<Model>.swift`` into the artifact's folder, where its packages lie."""
    networks = [_network(graph.name, read_specification(folder / graph.file)) for graph in graphs]
    name = type_name(model)
    (folder / f"{name}.swift").write_text(swift_source(name, networks), encoding="utf-8")


def identifier(name: str) -> str:
    """A name in lower camel case; with backticks if Swift has reserved it."""
    words = [word for word in re.split(r"[^A-Za-z0-9]+", name) if word]
    camel = words[0][0].lower() + words[0][1:] + "".join(word[0].upper() + word[1:] for word in words[1:])
    camel = f"_{camel}" if camel[0].isdigit() else camel
    return f"`{camel}`" if camel in KEYWORDS else camel


def type_name(name: str) -> str:
    """A name in upper camel case."""
    camel = identifier(name).strip("`_")
    return camel[0].upper() + camel[1:] if camel[0].isalpha() else f"Model{camel}"


def _network(name: str, specification: Any) -> Network:
    described = specification.description
    return Network(name, tuple(map(_feature, described.input)), tuple(map(_feature, described.output)))


def _feature(feature: Any) -> Feature:
    from coremltools.proto import FeatureTypes_pb2

    array_types: Any = FeatureTypes_pb2.ArrayFeatureType
    image_types: Any = FeatureTypes_pb2.ImageFeatureType
    image, array = feature.type.imageType, feature.type.multiArrayType
    if feature.type.WhichOneof("Type") == "imageType":
        sizes = [(width, height) for height, width in shapes_of(feature)]
        grey = image.colorSpace == image_types.GRAYSCALE
        pixel_format = "kCVPixelFormatType_OneComponent8" if grey else "kCVPixelFormatType_32BGRA"
        return Feature(feature.name, "image", tuple(sizes), pixel_format, feature.shortDescription, "", ())
    kinds = {array_types.FLOAT16: "float16", array_types.FLOAT32: "float32"}
    kind = "number" if tuple(array.shape) == (1,) else "array"
    return Feature(feature.name, kind, (), "", feature.shortDescription, kinds[array.dataType], tuple(array.shape))


def swift_source(name: str, networks: Sequence[Network]) -> str:
    """The file's content. Graphs are chained by name: what one gives is what a later one takes."""
    given = {feature.name for network in networks for feature in network.outputs}
    asked = {feature.name: feature for network in networks for feature in network.inputs if feature.name not in given}
    last = networks[-1]
    parts = [
        HEAD,
        f"/// Runs {', '.join(f'{network.name}.mlpackage' for network in networks)}. One instance is enough; it is not thread-safe.",
        f"public final class {name} {{",
        *(f"    private let {network.property_name}: MLModel" for network in networks),
        "    private let context = CIContext(options: [.workingColorSpace: NSNull()])",
        "",
        "    /// - Parameter bundle: where Xcode put the compiled packages; drag them into the project.",
        "    public init(bundle: Bundle = .main, configuration: MLModelConfiguration = MLModelConfiguration()) throws {",
        *(f'        {network.property_name} = try Self.load("{network.name}", bundle, configuration)' for network in networks),
        "    }",
    ]
    for network in networks:
        parts += ["", *_run(network)]
    if len(networks) > 1:
        parts += ["", *_chain(networks, list(asked.values()), last.outputs)]
    return "\n".join([*parts, TAIL])


def _run(network: Network) -> Iterator[str]:
    yield from (f"    /// - Parameter {feature.swift_name.strip('`')}: {_about(feature)}" for feature in network.inputs)
    yield f"    /// - Returns: {', '.join(_about(feature) for feature in network.outputs)}"
    yield f"    public func {network.swift_name}({_parameters(network.inputs)}) throws -> {_result_type(network.outputs)} {{"
    yield "        let inputs = try MLDictionaryFeatureProvider(dictionary: ["
    yield from (f'            "{feature.name}": {_value(feature)},' for feature in network.inputs)
    yield "        ])"
    yield f"        let outputs = try {network.property_name}.prediction(from: inputs)"
    yield f"        return {_tuple([_found(feature) for feature in network.outputs])}"
    yield "    }"


def _chain(networks: Sequence[Network], asked: Sequence[Feature], outputs: Sequence[Feature]) -> Iterator[str]:
    yield "    /// All of it: what one package gives is what the next one takes. Keep a result that several images share instead."
    yield f"    public func run({_parameters(asked)}) throws -> {_result_type(outputs)} {{"
    for network in networks[:-1]:
        yield f"        let {_tuple([feature.swift_name for feature in network.outputs])} = try {_call(network)}"
    yield f"        return try {_call(networks[-1])}"
    yield "    }"


def _call(network: Network) -> str:
    return f"{network.swift_name}({', '.join(f'{feature.swift_name}: {feature.swift_name}' for feature in network.inputs)})"


def _parameters(features: Sequence[Feature]) -> str:
    return ", ".join(f"{feature.swift_name}: {feature.swift_type}{' = 1' if feature.kind == 'number' else ''}" for feature in features)


def _result_type(features: Sequence[Feature]) -> str:
    return _tuple([feature.swift_type for feature in features])


def _tuple(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"({', '.join(parts)})"


def _about(feature: Feature) -> str:
    sizes = [f"{width}x{height}" for width, height in feature.sizes]
    return f"{feature.about}, {' or '.join(sizes)}" if sizes else feature.about


def _value(feature: Feature) -> str:
    name = feature.swift_name
    if feature.kind == "image":
        return f"MLFeatureValue(pixelBuffer: try fitted({name}, [{', '.join(map(str, feature.sizes))}], {feature.pixel_format}))"
    if feature.kind == "number":
        return f"MLFeatureValue(multiArray: try Self.array({name}, .{feature.array_type}))"
    return f"MLFeatureValue(multiArray: {name})"


def _found(feature: Feature) -> str:
    got = f'outputs.featureValue(for: "{feature.name}")'
    if feature.kind == "image":
        return f'try Self.unwrap({got}?.imageBufferValue, "{feature.name}")'
    array = f'try Self.unwrap({got}?.multiArrayValue, "{feature.name}")'
    return f"{array}[0].doubleValue" if feature.kind == "number" else array


HEAD = """\
// Generated by instantstyle from the packages beside it. It was not compiled where it was generated.

import CoreImage
import CoreML
import CoreVideo
import Foundation

public enum ModelError: Error {
    case missingPackage(String)
    case missingOutput(String)
    case noPixelBuffer(CVReturn)
}
"""

TAIL = """
    private static func load(_ name: String, _ bundle: Bundle, _ configuration: MLModelConfiguration) throws -> MLModel {
        guard let url = bundle.url(forResource: name, withExtension: "mlmodelc") else {
            throw ModelError.missingPackage(name)
        }
        return try MLModel(contentsOf: url, configuration: configuration)
    }

    private static func array(_ number: Double, _ type: MLMultiArrayDataType) throws -> MLMultiArray {
        let array = try MLMultiArray(shape: [1], dataType: type)
        array[0] = NSNumber(value: number)
        return array
    }

    private static func unwrap<Value>(_ value: Value?, _ name: String) throws -> Value {
        guard let value = value else {
            throw ModelError.missingOutput(name)
        }
        return value
    }

    /// The buffer itself if it has one of the sizes (width, height) and that format; otherwise a copy, stretched to the first size.
    private func fitted(_ buffer: CVPixelBuffer, _ sizes: [(Int, Int)], _ format: OSType) throws -> CVPixelBuffer {
        let own = (CVPixelBufferGetWidth(buffer), CVPixelBufferGetHeight(buffer))
        let size = sizes.first { $0 == own } ?? sizes[0]
        if own == size && CVPixelBufferGetPixelFormatType(buffer) == format {
            return buffer
        }
        var copy: CVPixelBuffer?
        let attributes = [kCVPixelBufferIOSurfacePropertiesKey as String: [String: Any]()] as CFDictionary
        let status = CVPixelBufferCreate(nil, size.0, size.1, format, attributes, &copy)
        guard let target = copy, status == kCVReturnSuccess else {
            throw ModelError.noPixelBuffer(status)
        }
        let scale = CGAffineTransform(scaleX: CGFloat(size.0) / CGFloat(own.0), y: CGFloat(size.1) / CGFloat(own.1))
        context.render(CIImage(cvPixelBuffer: buffer).transformed(by: scale), to: target)
        return target
    }
}
"""
