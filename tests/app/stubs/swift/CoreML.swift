@_exported import Foundation
import CoreVideo

public enum MLMultiArrayDataType: Int { case double, float32, float16, int32 }

public final class MLMultiArray {
    public init(shape: [NSNumber], dataType: MLMultiArrayDataType) throws {}
    public subscript(index: Int) -> NSNumber {
        get { 0 }
        set {}
    }
}

public final class MLMultiArrayConstraint {
    public var shape: [NSNumber] { [] }
    public var dataType: MLMultiArrayDataType { .float32 }
}

public final class MLFeatureDescription { public var multiArrayConstraint: MLMultiArrayConstraint? { nil } }

public final class MLModelDescription { public var inputDescriptionsByName: [String: MLFeatureDescription] { [:] } }

public final class MLFeatureValue {
    public init(pixelBuffer: CVPixelBuffer) {}
    public init(multiArray: MLMultiArray) {}
    public var imageBufferValue: CVPixelBuffer? { nil }
    public var multiArrayValue: MLMultiArray? { nil }
}

public protocol MLFeatureProvider { func featureValue(for featureName: String) -> MLFeatureValue? }

public final class MLDictionaryFeatureProvider: MLFeatureProvider {
    public init(dictionary: [String: Any]) throws {}
    public func featureValue(for featureName: String) -> MLFeatureValue? { nil }
}

public final class MLModelConfiguration { public init() {} }

public final class MLModel {
    public init(contentsOf url: URL, configuration: MLModelConfiguration) throws {}
    public var modelDescription: MLModelDescription { MLModelDescription() }
    public func prediction(from input: MLFeatureProvider) throws -> MLFeatureProvider { input }
}
