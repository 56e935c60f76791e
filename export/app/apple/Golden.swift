// How golden pairs are enlarged and compared, as the release does it.

import Foundation

/// How a golden pair came out on this device.
public struct GoldenResult {
    public let pair: String
    public let ssim: Double
    public let passed: Bool
}

/// `golden/golden.json`.
struct Golden: Decodable {
    struct Image: Decodable {
        let input: String
        let file: String
        let enlarged: Int
    }

    struct Scalar: Decodable {
        let input: String
        let value: Double
    }

    struct Pair: Decodable {
        let name: String
        let hard: Bool
        let images: [Image]
        let scalars: [Scalar]
        let output: String
    }

    let window: [Int]
    let pairs: [Pair]
}

/// Bilinear between the centres of pixels, in integers, rounded half up at the end: the same on every machine.
func enlarged(_ levels: Levels, _ factor: Int) -> Levels {
    func along(_ values: [Int], lines: Int, length: Int, stride: Int) -> [Int] {
        var result = [Int](repeating: 0, count: values.count * factor)
        for line in 0..<lines {
            for place in 0..<length * factor {
                let position = min(max(2 * place + 1 - factor, 0), 2 * factor * (length - 1))
                let share = position % (2 * factor)
                let start = (line / stride) * stride * length + line % stride
                let left = values[start + (position / (2 * factor)) * stride]
                let right = values[start + min(position / (2 * factor) + 1, length - 1) * stride]
                let target = (line / stride) * stride * length * factor + line % stride + place * stride
                result[target] = left * (2 * factor - share) + right * share
            }
        }
        return result
    }
    let wide = along(levels.values.map(Int.init), lines: levels.channels * levels.height, length: levels.width, stride: 1)
    let width = levels.width * factor
    let tall = along(wide, lines: levels.channels * width, length: levels.height, stride: width)
    let whole = 4 * factor * factor
    let values = tall.map { UInt8(($0 + whole / 2) / whole) }
    return Levels(values: values, channels: levels.channels, height: levels.height * factor, width: width)
}

/// Structural similarity (Wang et al. 2004: Gaussian window of 11x11, sigma 1.5) of the part of a picture that begins at `top` and `left`
/// to a reference; the mean of its channels.
func similarity(_ expected: Levels, _ found: Picture, top: Int, left: Int) -> Double {
    let line = (0..<11).map { exp(-0.5 * Double(($0 - 5) * ($0 - 5)) / 2.25) }
    let sum = line.reduce(0, +)
    let taps = line.map { $0 / sum }
    let c1 = (0.01 * 255) * (0.01 * 255)
    let c2 = (0.03 * 255) * (0.03 * 255)
    var total = 0.0
    var count = 0
    for channel in 0..<expected.channels {
        for y in 0...expected.height - 11 {
            for x in 0...expected.width - 11 {
                var (a, b, aa, bb, ab) = (0.0, 0.0, 0.0, 0.0, 0.0)
                for row in 0..<11 {
                    for column in 0..<11 {
                        let weight = taps[row] * taps[column]
                        let own = Double(expected[channel, y + row, x + column])
                        let other = Double(found[channel, top + y + row, left + x + column])
                        a += weight * own
                        b += weight * other
                        aa += weight * own * own
                        bb += weight * other * other
                        ab += weight * own * other
                    }
                }
                let likeness = (2 * a * b + c1) * (2 * (ab - a * b) + c2)
                total += likeness / ((a * a + b * b + c1) * (aa - a * a + bb - b * b + c2))
                count += 1
            }
        }
    }
    return total / Double(count)
}
