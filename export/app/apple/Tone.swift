// One tone for a picture that was painted in tiles.

import Foundation

private let leastGain: Float = 0.1
private let leastVariance: Float = 127.5 * 127.5 * 1e-6

/// Gives a picture the tone of `guide`, and no more contrast: means and deviations over cells, smoothly between them.
func tone(_ picture: inout Levels, _ guide: Picture, down: Int, across: Int) {
    let wanted = Statistics(guide, down, across)
    let own = Statistics(resized(picture, height: guide.height, width: guide.width), down, across)
    let gains = zip(wanted.variance, own.variance).map { min(max(($0 / $1).squareRoot(), leastGain), 1) }
    let rows = Cubic(from: down, to: picture.height)
    let columns = Cubic(from: across, to: picture.width)
    let maps = wanted.means + own.means + [gains]
    for row in 0..<picture.height {
        let lines = maps.map { map in (0..<across).map { column in rows.mixed(row) { map[$0 * across + column] } } }
        for column in 0..<picture.width {
            let gain = min(max(columns.mixed(column) { lines[lines.count - 1][$0] }, leastGain), 1)
            for channel in 0..<picture.channels {
                let tone = columns.mixed(column) { lines[channel][$0] }
                let before = columns.mixed(column) { lines[picture.channels + channel][$0] }
                picture[channel, row, column] = level(tone + (Float(picture[channel, row, column]) - before) * gain)
            }
        }
    }
}

/// Mean of each channel and mean variance of all of them in each cell; cells whose borders fall within a pixel share it.
private struct Statistics {
    var means: [[Float]]
    var variance: [Float]

    init(_ picture: Picture, _ down: Int, _ across: Int) {
        means = [[Float]](repeating: [Float](repeating: 0, count: down * across), count: picture.channels)
        variance = [Float](repeating: 0, count: down * across)
        for i in 0..<down {
            for j in 0..<across {
                let rows = (i * picture.height / down)..<((i + 1) * picture.height + down - 1) / down
                let columns = (j * picture.width / across)..<((j + 1) * picture.width + across - 1) / across
                let area = Double(rows.count * columns.count)
                var total = 0.0
                for channel in 0..<picture.channels {
                    var sum = 0.0
                    var squares = 0.0
                    for row in rows {
                        for column in columns {
                            let value = Double(picture[channel, row, column])
                            sum += value
                            squares += value * value
                        }
                    }
                    means[channel][i * across + j] = Float(sum / area)
                    total += squares / area - (sum / area) * (sum / area)
                }
                variance[i * across + j] = max(Float(total / Double(picture.channels)), leastVariance)
            }
        }
    }
}

/// Bicubic interpolation along one side (Keys 1981, a = -0.75), replicated at the border.
private struct Cubic {
    private let from: Int
    private var firsts: [Int] = []
    private var taps: [[Float]] = []

    init(from: Int, to: Int) {
        self.from = from
        for index in 0..<to {
            let position = (Double(index) + 0.5) * Double(from) / Double(to) - 0.5
            let first = Int(position.rounded(.down)) - 1
            firsts.append(first)
            taps.append((0..<4).map { Float(Cubic.weight(abs(position - Double(first + $0)))) })
        }
    }

    func mixed(_ index: Int, _ value: (Int) -> Float) -> Float {
        var sum: Float = 0
        for tap in 0..<4 {
            sum += taps[index][tap] * value(min(max(firsts[index] + tap, 0), from - 1))
        }
        return sum
    }

    private static func weight(_ x: Double) -> Double {
        x <= 1 ? (1.25 * x - 2.25) * x * x + 1 : ((-0.75 * x + 3.75) * x - 6) * x + 3
    }
}
