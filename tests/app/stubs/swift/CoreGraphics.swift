@_exported import Foundation

public enum CGColorSpaceModel { case unknown, monochrome, rgb, cmyk }

public final class CGColorSpace { public var model: CGColorSpaceModel { .rgb } }

public func CGColorSpaceCreateDeviceRGB() -> CGColorSpace { CGColorSpace() }

public enum CGImageAlphaInfo: UInt32 { case none, premultipliedLast, premultipliedFirst, last, first, noneSkipLast, noneSkipFirst }

public final class CGImage {
    public var width: Int { 0 }
    public var height: Int { 0 }
    public var colorSpace: CGColorSpace? { nil }
}

public final class CGContext {
    public init?(
        data: UnsafeMutableRawPointer?, width: Int, height: Int, bitsPerComponent: Int, bytesPerRow: Int, space: CGColorSpace, bitmapInfo: UInt32
    ) {}

    public func draw(_ image: CGImage, in rect: CGRect, byTiling: Bool = false) {}

    public func makeImage() -> CGImage? { nil }
}
