// Pictures as arrays of levels from 0 to 255, and their sizes.

import Foundation

/// A picture in 8 bits, channel by channel, row by row: red, green and blue, or luma.
public struct Levels {
    public var values: [UInt8]
    public let channels: Int
    public let height: Int
    public let width: Int

    public init(values: [UInt8], channels: Int, height: Int, width: Int) {
        (self.values, self.channels, self.height, self.width) = (values, channels, height, width)
    }

    public init(channels: Int, height: Int, width: Int) {
        self.init(values: [UInt8](repeating: 0, count: channels * height * width), channels: channels, height: height, width: width)
    }

    public subscript(channel: Int, row: Int, column: Int) -> UInt8 {
        get { values[(channel * height + row) * width + column] }
        set { values[(channel * height + row) * width + column] = newValue }
    }

    /// The same as numbers.
    var picture: Picture {
        Picture(values: values.map { Float($0) }, channels: channels, height: height, width: width)
    }
}

/// The same from 0 to 255 without rounding.
public struct Picture {
    public var values: [Float]
    public let channels: Int
    public let height: Int
    public let width: Int

    public init(values: [Float], channels: Int, height: Int, width: Int) {
        (self.values, self.channels, self.height, self.width) = (values, channels, height, width)
    }

    public init(channels: Int, height: Int, width: Int) {
        self.init(values: [Float](repeating: 0, count: channels * height * width), channels: channels, height: height, width: width)
    }

    public subscript(channel: Int, row: Int, column: Int) -> Float {
        get { values[(channel * height + row) * width + column] }
        set { values[(channel * height + row) * width + column] = newValue }
    }

    var rounded: Levels {
        Levels(values: values.map(level), channels: channels, height: height, width: width)
    }

    /// The upper left part.
    func cut(height: Int, width: Int) -> Picture {
        var part = Picture(channels: channels, height: height, width: width)
        for channel in 0..<channels {
            for row in 0..<height {
                for column in 0..<width {
                    part[channel, row, column] = self[channel, row, column]
                }
            }
        }
        return part
    }
}

func level(_ value: Float) -> UInt8 {
    UInt8(min(max(value, 0), 255).rounded(.toNearestOrEven))
}

/// The border's pixel comes twice; more than once over where a photo is smaller than what it is mirrored into.
func mirrored(_ place: Int, _ length: Int) -> Int {
    let turn = place % (2 * length)
    return turn < length ? turn : 2 * length - 1 - turn
}

/// Another size, a triangle as wide as the reduction for each pixel; first across, then down.
func resized(_ picture: Levels, height: Int, width: Int) -> Picture {
    var across = Picture(channels: picture.channels, height: picture.height, width: width)
    for column in 0..<width {
        let (first, taps) = triangle(column, picture.width, width)
        for channel in 0..<picture.channels {
            for row in 0..<picture.height {
                var sum: Float = 0
                for tap in taps.indices {
                    sum += taps[tap] * Float(picture[channel, row, first + tap])
                }
                across[channel, row, column] = sum
            }
        }
    }
    var result = Picture(channels: picture.channels, height: height, width: width)
    for row in 0..<height {
        let (first, taps) = triangle(row, picture.height, height)
        for channel in 0..<picture.channels {
            for tap in taps.indices {
                for column in 0..<width {
                    result[channel, row, column] += taps[tap] * across[channel, first + tap, column]
                }
            }
        }
    }
    return result
}

private func triangle(_ index: Int, _ from: Int, _ to: Int) -> (Int, [Float]) {
    let scale = Double(from) / Double(to)
    let support = max(scale, 1)
    let centre = scale * (Double(index) + 0.5)
    let first = max(Int(centre - support + 0.5), 0)
    let end = min(Int(centre + support + 0.5), from)
    let taps = (first..<end).map { max(0, 1 - abs((Double($0) - centre + 0.5) / support)) }
    let sum = taps.reduce(0, +)
    return (first, taps.map { Float($0 / sum) })
}
