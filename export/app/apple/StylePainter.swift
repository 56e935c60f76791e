// Runs a pulled model of the target `coreml` in an app, with the other Swift files beside it. What differs between models is read from
// model.json and the packages. Where it was written it was compiled against stubs of Apple's frameworks, and never run on top of them.

import CoreGraphics
import CoreML
import CoreVideo
import Foundation
import ImageIO

public enum PainterError: Error {
    case missingPackage(String)
    case missingValue(String)
    case unknownStyle(String)
    case noPicture(String)
}

/// `model.json`, as much of it as is needed here. Ranges and the order of channels are the packages' own matter.
struct Description: Decodable {
    struct Tensor: Decodable {
        let name: String
        let kind: String
        let shape: [Int]
        let maximum: Double

        var isImage: Bool { kind == "image" }
    }

    struct Graph: Decodable {
        let name: String
        let inputs: [Tensor]
        let outputs: [Tensor]
    }

    struct Code: Decodable {
        let name: String
        let length: Int
    }

    struct Style: Decodable {
        let name: String
        let file: String
    }

    struct Limits: Decodable {
        let min_ssim_worst: Double?
        let min_ssim_hard: Double?
    }

    let graphs: [Graph]
    let codes: [Code]
    let styles: [Style]
    let golden_limits: Limits
}

/// The model in a folder that `instantstyle pull` made, of pictures with three colours or grey. Not thread-safe.
public final class StylePainter {
    private let folder: URL
    private let description: Description
    private let models: [MLModel]
    private let photo: Description.Tensor
    private let picture: Description.Tensor

    /// - Parameters:
    ///   - folder: with `model.json`, `styles` and, for `selfTest`, `golden`: copy it into the app as a folder reference.
    ///   - bundle: where Xcode put the compiled packages; drag them into the project.
    public init(folder: URL, bundle: Bundle = .main, configuration: MLModelConfiguration = MLModelConfiguration()) throws {
        self.folder = folder
        let content = try Data(contentsOf: folder.appendingPathComponent("model.json"))
        let description = try JSONDecoder().decode(Description.self, from: content)
        models = try description.graphs.map { graph in
            guard let url = bundle.url(forResource: graph.name, withExtension: "mlmodelc") else {
                throw PainterError.missingPackage(graph.name)
            }
            return try MLModel(contentsOf: url, configuration: configuration)
        }
        guard let photo = description.graphs.last?.inputs.first(where: \.isImage),
            let picture = description.graphs.last?.outputs.first(where: \.isImage)
        else {
            throw PainterError.missingValue("an image")
        }
        (self.description, self.photo, self.picture) = (description, photo, picture)
    }

    /// Names of the styles that the folder brings along.
    public var styles: [String] { description.styles.map(\.name) }

    /// What the model makes of a photo of any size, in one of the styles if it takes any, in the photo's colour space.
    ///
    /// - Parameter scalars: numbers such as alpha; their maximum if they are not given.
    public func paint(_ image: CGImage, style: String? = nil, scalars: [String: Double] = [:]) throws -> CGImage {
        var prepared = scalars.mapValues { [Float($0)] }
        if let style = style {
            prepared.merge(try codes(of: style)) { $1 }
        }
        let painted = try tiles(prepared).painted(try levels(of: image, channels: photo.shape[1]))
        return try cgImage(of: painted, like: image)
    }

    /// Runs the golden pairs of the folder (`instantstyle pull --golden`) and compares them with the reference, as the release did.
    public func selfTest() throws -> [GoldenResult] {
        let home = folder.appendingPathComponent("golden")
        let golden = try JSONDecoder().decode(Golden.self, from: Data(contentsOf: home.appendingPathComponent("golden.json")))
        let specs = description.graphs.flatMap(\.inputs)
        return try golden.pairs.map { pair in
            var pictures: [String: Picture] = [:]
            for image in pair.images {
                guard let spec = specs.first(where: { $0.name == image.input }) else {
                    throw PainterError.missingValue(image.input)
                }
                let small = try read(home.appendingPathComponent(image.file), channels: spec.shape[1])
                pictures[spec.name] = enlarged(small, image.enlarged).picture
            }
            let numbers = Dictionary(uniqueKeysWithValues: pair.scalars.map { ($0.input, [Float($0.value)]) })
            let expected = try read(home.appendingPathComponent(pair.output), channels: picture.shape[1])
            let found = try run(pictures, numbers)
            let ssim = similarity(expected, found, top: golden.window[0], left: golden.window[1])
            let limit = pair.hard ? description.golden_limits.min_ssim_hard : description.golden_limits.min_ssim_worst
            return GoldenResult(pair: pair.name, ssim: ssim, passed: ssim >= limit ?? -1)
        }
    }

    private func tiles(_ prepared: [String: [Float]]) -> Tiles {
        let factor = picture.shape[2] / photo.shape[2]
        return Tiles(height: photo.shape[2], width: photo.shape[3], channels: picture.shape[1], factor: factor) { tile in
            try self.run([self.photo.name: tile], prepared)
        }
    }

    /// The graphs one after the other: what one gives is what a later one takes. Graphs whose results are known are left out.
    private func run(_ pictures: [String: Picture], _ numbers: [String: [Float]]) throws -> Picture {
        var known: [String: MLFeatureValue] = [:]
        for (graph, model) in zip(description.graphs, models) where !graph.outputs.allSatisfy({ numbers[$0.name] != nil }) {
            var inputs: [String: MLFeatureValue] = [:]
            for spec in graph.inputs {
                inputs[spec.name] = try known[spec.name] ?? value(spec, pictures[spec.name], numbers[spec.name], model)
            }
            let outputs = try model.prediction(from: MLDictionaryFeatureProvider(dictionary: inputs))
            for spec in graph.outputs {
                known[spec.name] = outputs.featureValue(for: spec.name)
            }
        }
        guard let buffer = known[picture.name]?.imageBufferValue else {
            throw PainterError.missingValue(picture.name)
        }
        return pixels(of: buffer, channels: picture.shape[1]).picture
    }

    private func value(_ spec: Description.Tensor, _ picture: Picture?, _ numbers: [Float]?, _ model: MLModel) throws -> MLFeatureValue {
        if let picture = picture {
            return MLFeatureValue(pixelBuffer: try pixelBuffer(of: picture.rounded))
        }
        guard let numbers = numbers ?? (spec.kind == "scalar" ? [Float(spec.maximum)] : nil),
            let constraint = model.modelDescription.inputDescriptionsByName[spec.name]?.multiArrayConstraint
        else {
            throw PainterError.missingValue(spec.name)
        }
        let array = try MLMultiArray(shape: constraint.shape, dataType: constraint.dataType)
        for (place, number) in numbers.enumerated() {
            array[place] = NSNumber(value: number)
        }
        return MLFeatureValue(multiArray: array)
    }

    private func codes(of style: String) throws -> [String: [Float]] {
        guard let entry = description.styles.first(where: { $0.name == style }) else {
            throw PainterError.unknownStyle(style)
        }
        let content = try Data(contentsOf: folder.appendingPathComponent(entry.file))
        var numbers = content.withUnsafeBytes { bytes in
            stride(from: 0, to: bytes.count, by: 4).map { place in
                Float(bitPattern: UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: place, as: UInt32.self)))
            }
        }[...]
        return Dictionary(uniqueKeysWithValues: description.codes.map { code in
            defer { numbers = numbers.dropFirst(code.length) }
            return (code.name, Array(numbers.prefix(code.length)))
        })
    }
}
