import Foundation

// PHOTO CHANNELS HEIGHT WIDTH TILE_HEIGHT TILE_WIDTH FACTOR RESULT: levels as bytes; the network is that of `test_app_swift.py`.
let arguments = CommandLine.arguments
let sides = arguments[2..<8].map { Int($0)! }
let photo = Levels(
    values: [UInt8](try Data(contentsOf: URL(fileURLWithPath: arguments[1]))), channels: sides[0], height: sides[1], width: sides[2])
let factor = sides[5]
let tiles = Tiles(height: sides[3], width: sides[4], channels: sides[0], factor: factor) { tile in
    let mean = tile.values.reduce(0) { $0 + Double($1) } / Double(tile.values.count)
    var picture = Picture(channels: tile.channels, height: tile.height * factor, width: tile.width * factor)
    for channel in 0..<picture.channels {
        for row in 0..<picture.height {
            for column in 0..<picture.width {
                let value = tile[channel, row / factor, column / factor]
                picture[channel, row, column] = min(max(255 - value + Float(arguments[9])! * Float(mean - 128), 0), 255)
            }
        }
    }
    return picture
}
try Data(try tiles.painted(photo).values).write(to: URL(fileURLWithPath: arguments[8]))
