// Paints photos of any size with a network of one fixed size. The arithmetic is that of `instantstyle apply`, held to it by tests.

import Foundation

private let largestDisagreement = 5.0 // levels, root of the mean square between tiles, above which they need one tone
private let toneCells = 8 // along a tile, within which tone and contrast are those of the reduced photo

/// Tiles overlap by a quarter and fade into each other within the middle half of that. A network that looks at the whole of its input
/// gives each tile another tone; where tiles disagree so, the whole photo, reduced to one tile, gives the tone and limits the contrast.
///
/// The memory that it takes besides both pictures is that of one row of tiles in floats, twice.
public struct Tiles {
    let height: Int
    let width: Int
    let channels: Int
    let factor: Int
    let paint: (Picture) throws -> Picture

    /// - Parameters:
    ///   - height: of what the network takes, as `width`.
    ///   - channels: of the picture that it gives.
    ///   - factor: height and width of that picture as a multiple of the photo's.
    ///   - paint: the network, on pictures of that size.
    public init(height: Int, width: Int, channels: Int, factor: Int, paint: @escaping (Picture) throws -> Picture) {
        (self.height, self.width, self.channels, self.factor, self.paint) = (height, width, channels, factor, paint)
    }

    public func painted(_ photo: Levels) throws -> Levels {
        if photo.height <= height && photo.width <= width {
            return try paintedSmall(photo.picture).rounded
        }
        var (picture, disagreement) = try paintedInTiles(photo)
        if disagreement > largestDisagreement {
            tone(&picture, try paintedSmall(reduced(photo)), down: cells(photo.height), across: cells(photo.width))
        }
        return picture
    }

    /// Mirrored at the lower and right border up to the size of a tile, painted and cut.
    private func paintedSmall(_ photo: Picture) throws -> Picture {
        var whole = Picture(channels: photo.channels, height: height, width: width)
        for channel in 0..<photo.channels {
            for row in 0..<height {
                for column in 0..<width {
                    whole[channel, row, column] = photo[channel, mirrored(row, photo.height), mirrored(column, photo.width)]
                }
            }
        }
        return try paint(whole).cut(height: photo.height * factor, width: photo.width * factor)
    }

    /// The picture in 8 bits, and how much tiles disagree where several of them count.
    private func paintedInTiles(_ photo: Levels) throws -> (Levels, Double) {
        let rows = Axis(length: max(photo.height, height), window: height)
        let columns = Axis(length: max(photo.width, width), window: width)
        var picture = Levels(channels: channels, height: photo.height * factor, width: photo.width * factor)
        var strip = Picture(channels: channels, height: height * factor, width: columns.length * factor)
        var squares = strip
        var (deviation, shared) = (0.0, 0)
        for (i, top) in rows.starts.enumerated() {
            for (j, left) in columns.starts.enumerated() {
                let part = try paint(tile(photo, top, left))
                for channel in 0..<channels {
                    for row in 0..<height * factor where rows.shares[i][row / factor] > 0 {
                        for column in 0..<width * factor {
                            let share = rows.shares[i][row / factor] * columns.shares[j][column / factor]
                            let value = part[channel, row, column]
                            strip[channel, row, left * factor + column] += share * value
                            squares[channel, row, left * factor + column] += share * value * value
                        }
                    }
                }
            }
            // Rows above the next tiles are complete.
            let done = ((i + 1 < rows.starts.count ? rows.starts[i + 1] : rows.length) - top) * factor
            for channel in 0..<channels {
                for row in 0..<done {
                    let y = top * factor + row
                    for column in 0..<strip.width {
                        let value = strip[channel, row, column]
                        if rows.counts[y / factor] * columns.counts[column / factor] > 1 {
                            deviation += Double(max(squares[channel, row, column] - value * value, 0))
                            shared += 1
                        }
                        if y < picture.height && column < picture.width {
                            picture[channel, y, column] = level(value)
                        }
                    }
                }
            }
            moveUp(&strip, done)
            moveUp(&squares, done)
        }
        return (picture, shared > 0 ? (deviation / Double(shared)).squareRoot() : 0)
    }

    private func tile(_ photo: Levels, _ top: Int, _ left: Int) -> Picture {
        var part = Picture(channels: photo.channels, height: height, width: width)
        for channel in 0..<photo.channels {
            for row in 0..<height {
                for column in 0..<width {
                    part[channel, row, column] = Float(photo[channel, mirrored(top + row, photo.height), mirrored(left + column, photo.width)])
                }
            }
        }
        return part
    }

    private func reduced(_ photo: Levels) -> Picture {
        let ratio = min(1, Double(height) / Double(photo.height), Double(width) / Double(photo.width))
        let sides = [photo.height, photo.width].map { max(1, Int((Double($0) * ratio).rounded(.toNearestOrEven))) }
        return resized(photo, height: sides[0], width: sides[1])
    }

    private func cells(_ length: Int) -> Int {
        (length * toneCells + max(height, width) - 1) / max(height, width)
    }

    private func moveUp(_ strip: inout Picture, _ rows: Int) {
        for channel in 0..<strip.channels {
            for row in 0..<strip.height {
                for column in 0..<strip.width {
                    strip[channel, row, column] = row + rows < strip.height ? strip[channel, row + rows, column] : 0
                }
            }
        }
    }
}

/// Evenly spread tiles along one side of a picture: where they begin, how much of each pixel is theirs, how many count there.
struct Axis {
    let length: Int
    let starts: [Int]
    let shares: [[Float]]
    let counts: [Int]

    init(length: Int, window: Int) {
        let overlap = Int((Double(window) / 4).rounded(.toNearestOrEven))
        let margin = (Double(window) / 16).rounded(.toNearestOrEven)
        let count = 1 + Int((Double(length - window) / Double(window - overlap)).rounded(.up))
        let starts = (0..<count).map { Int((Double($0) * Double(length - window) / Double(max(1, count - 1))).rounded(.toNearestOrEven)) }
        var total = [Double](repeating: 0, count: length)
        let weights = starts.indices.map { index in
            var own = [Double](repeating: 1, count: window)
            for neighbour in [index - 1, index + 1] where starts.indices.contains(neighbour) {
                let shared = window - abs(starts[index] - starts[neighbour])
                for place in 0..<shared {
                    let along = min(max((Double(place) + 0.5 - margin) / (Double(shared) - 2 * margin), 0), 1)
                    own[neighbour < index ? place : window - 1 - place] *= 0.5 - 0.5 * cos(Double.pi * along)
                }
            }
            for place in 0..<window {
                total[starts[index] + place] += own[place]
            }
            return own
        }
        let shares = weights.indices.map { index in (0..<window).map { Float(weights[index][$0] / total[starts[index] + $0]) } }
        var counts = [Int](repeating: 0, count: length)
        for (index, own) in shares.enumerated() {
            for place in 0..<window where own[place] > 0 {
                counts[starts[index] + place] += 1
            }
        }
        (self.length, self.starts, self.shares, self.counts) = (length, starts, shares, counts)
    }
}
