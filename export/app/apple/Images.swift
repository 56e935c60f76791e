// Between pictures of Apple's frameworks and levels. Colours are never converted: levels are those that lie in the picture.

import CoreGraphics
import CoreVideo
import Foundation
import ImageIO

func read(_ file: URL, channels: Int) throws -> Levels {
    guard let source = CGImageSourceCreateWithURL(file as CFURL, nil), let image = CGImageSourceCreateImageAtIndex(source, 0, nil) else {
        throw PainterError.noPicture(file.path)
    }
    return try levels(of: image, channels: channels)
}

/// Drawn into its own colour space. Luma of colours is that of ITU-R BT.601, in integers.
func levels(of image: CGImage, channels: Int) throws -> Levels {
    let isGrey = image.colorSpace?.model == .monochrome
    let step = isGrey ? 1 : 4
    var bytes = [UInt8](repeating: 0, count: image.height * image.width * step)
    let drawn: Bool = bytes.withUnsafeMutableBytes { buffer in
        guard let context = context(buffer.baseAddress, image.width, image.height, space(of: image), step) else {
            return false
        }
        context.draw(image, in: CGRect(x: 0, y: 0, width: CGFloat(image.width), height: CGFloat(image.height)))
        return true
    }
    if !drawn {
        throw PainterError.noPicture("\(image.width)x\(image.height)")
    }
    return unpacked(bytes, stride: image.width * step, step: step, order: [0, 1, 2], channels, image.height, image.width)
}

func cgImage(of levels: Levels, like image: CGImage) throws -> CGImage {
    let isGrey = image.colorSpace?.model == .monochrome
    let step = isGrey ? 1 : 4
    var bytes = packed(levels, stride: levels.width * step, step: step, order: [0, 1, 2])
    let made = bytes.withUnsafeMutableBytes { context($0.baseAddress, levels.width, levels.height, space(of: image), step)?.makeImage() }
    guard let picture = made else {
        throw PainterError.noPicture("\(levels.width)x\(levels.height)")
    }
    return picture
}

func pixelBuffer(of levels: Levels) throws -> CVPixelBuffer {
    let isGrey = levels.channels == 1
    let format = isGrey ? kCVPixelFormatType_OneComponent8 : kCVPixelFormatType_32BGRA
    let attributes = [kCVPixelBufferIOSurfacePropertiesKey as String: [String: Any]()] as CFDictionary
    var made: CVPixelBuffer?
    guard CVPixelBufferCreate(nil, levels.width, levels.height, format, attributes, &made) == kCVReturnSuccess, let buffer = made else {
        throw PainterError.noPicture("\(levels.width)x\(levels.height)")
    }
    CVPixelBufferLockBaseAddress(buffer, [])
    defer { CVPixelBufferUnlockBaseAddress(buffer, []) }
    let stride = CVPixelBufferGetBytesPerRow(buffer)
    let bytes = packed(levels, stride: stride, step: isGrey ? 1 : 4, order: isGrey ? [0] : [2, 1, 0])
    CVPixelBufferGetBaseAddress(buffer)?.copyMemory(from: bytes, byteCount: bytes.count)
    return buffer
}

func pixels(of buffer: CVPixelBuffer, channels: Int) -> Levels {
    CVPixelBufferLockBaseAddress(buffer, .readOnly)
    defer { CVPixelBufferUnlockBaseAddress(buffer, .readOnly) }
    let (height, width) = (CVPixelBufferGetHeight(buffer), CVPixelBufferGetWidth(buffer))
    let stride = CVPixelBufferGetBytesPerRow(buffer)
    let bytes = [UInt8](UnsafeRawBufferPointer(start: CVPixelBufferGetBaseAddress(buffer), count: stride * height))
    let isGrey = CVPixelBufferGetPixelFormatType(buffer) == kCVPixelFormatType_OneComponent8
    return unpacked(bytes, stride: stride, step: isGrey ? 1 : 4, order: [2, 1, 0], channels, height, width)
}

private func context(_ bytes: UnsafeMutableRawPointer?, _ width: Int, _ height: Int, _ space: CGColorSpace, _ step: Int) -> CGContext? {
    let alpha: CGImageAlphaInfo = step == 1 ? .none : .noneSkipLast
    return CGContext(
        data: bytes, width: width, height: height, bitsPerComponent: 8, bytesPerRow: width * step, space: space, bitmapInfo: alpha.rawValue
    )
}

private func space(of image: CGImage) -> CGColorSpace {
    if let own = image.colorSpace, own.model == .rgb || own.model == .monochrome {
        return own
    }
    return CGColorSpaceCreateDeviceRGB()
}

/// Rows of `stride` bytes and pixels of `step` bytes, of which `order` says where red, green and blue are.
private func packed(_ levels: Levels, stride: Int, step: Int, order: [Int]) -> [UInt8] {
    var bytes = [UInt8](repeating: 255, count: stride * levels.height)
    for row in 0..<levels.height {
        for column in 0..<levels.width {
            let place = row * stride + column * step
            for channel in 0..<min(step, 3) {
                bytes[place + order[channel]] = levels[min(channel, levels.channels - 1), row, column]
            }
        }
    }
    return bytes
}

private func unpacked(
    _ bytes: [UInt8], stride: Int, step: Int, order: [Int], _ channels: Int, _ height: Int, _ width: Int
) -> Levels {
    var levels = Levels(channels: channels, height: height, width: width)
    for row in 0..<height {
        for column in 0..<width {
            let colours = (0..<3).map { Int(bytes[row * stride + column * step + (step == 1 ? 0 : order[$0])]) }
            let luma = UInt8((colours[0] * 19595 + colours[1] * 38470 + colours[2] * 7471 + 0x8000) >> 16)
            for channel in 0..<channels {
                levels[channel, row, column] = channels == 1 ? luma : UInt8(colours[channel])
            }
        }
    }
    return levels
}
