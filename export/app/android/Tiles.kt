// Paints photos of any size with a network of one fixed size. The arithmetic is that of `instantstyle apply`, held to it by tests.

package instantstyle

import kotlin.math.PI
import kotlin.math.abs
import kotlin.math.ceil
import kotlin.math.cos
import kotlin.math.max
import kotlin.math.min
import kotlin.math.round
import kotlin.math.sqrt

private const val LARGEST_DISAGREEMENT = 5.0 // levels, root of the mean square between tiles, above which they need one tone
private const val TONE_CELLS = 8 // along a tile, within which tone and contrast are those of the reduced photo

/**
 * Tiles overlap by a quarter and fade into each other within the middle half of that. A network that looks at the whole of its input
 * gives each tile another tone; where tiles disagree so, the whole photo, reduced to one tile, gives the tone and limits the contrast.
 *
 * The memory that it takes besides both pictures is that of one row of tiles in floats, twice.
 *
 * @param height, width of what the network takes.
 * @param channels of the picture that it gives.
 * @param factor height and width of that picture as a multiple of the photo's.
 * @param paint the network, on pictures of that size.
 */
class Tiles(
    private val height: Int,
    private val width: Int,
    private val channels: Int,
    private val factor: Int,
    private val paint: (Picture) -> Picture,
) {
    fun painted(photo: Levels): Levels {
        if (photo.height <= height && photo.width <= width) return rounded(paintedSmall(floats(photo)))
        val (picture, disagreement) = paintedInTiles(photo)
        if (disagreement > LARGEST_DISAGREEMENT) tone(picture, paintedSmall(reduced(photo)), cells(photo.height), cells(photo.width))
        return picture
    }

    /** Mirrored at the lower and right border up to the size of a tile, painted and cut. */
    private fun paintedSmall(photo: Picture): Picture {
        val whole = Picture(photo.channels, height, width)
        for (channel in 0 until photo.channels) for (row in 0 until height) for (column in 0 until width) {
            whole[channel, row, column] = photo[channel, mirrored(row, photo.height), mirrored(column, photo.width)]
        }
        return cut(paint(whole), photo.height * factor, photo.width * factor)
    }

    /** The picture in 8 bits, and how much tiles disagree where several of them count. */
    private fun paintedInTiles(photo: Levels): Pair<Levels, Double> {
        val rows = Axis(max(photo.height, height), height)
        val columns = Axis(max(photo.width, width), width)
        val picture = Levels(channels, photo.height * factor, photo.width * factor)
        val stripWidth = columns.length * factor
        val strip = Picture(channels, height * factor, stripWidth)
        val squares = Picture(channels, height * factor, stripWidth)
        var deviation = 0.0
        var shared = 0L
        for (i in rows.starts.indices) {
            for (j in columns.starts.indices) {
                val part = paint(tile(photo, rows.starts[i], columns.starts[j]))
                for (channel in 0 until channels) for (row in 0 until height * factor) {
                    val down = rows.shares[i][row / factor]
                    if (down == 0f) continue
                    for (column in 0 until width * factor) {
                        val share = down * columns.shares[j][column / factor]
                        val value = part[channel, row, column]
                        val place = (channel * strip.height + row) * stripWidth + columns.starts[j] * factor + column
                        strip.values[place] += share * value
                        squares.values[place] += share * value * value
                    }
                }
            }
            // Rows above the next tiles are complete.
            val done = ((if (i + 1 < rows.starts.size) rows.starts[i + 1] else rows.length) - rows.starts[i]) * factor
            for (channel in 0 until channels) for (row in 0 until done) {
                val y = rows.starts[i] * factor + row
                for (column in 0 until stripWidth) {
                    val value = strip[channel, row, column]
                    if (rows.counts[y / factor] * columns.counts[column / factor] > 1) {
                        deviation += max(squares[channel, row, column] - value * value, 0f)
                        shared += 1
                    }
                    if (y < picture.height && column < picture.width) {
                        picture.values[(channel * picture.height + y) * picture.width + column] = level(value)
                    }
                }
            }
            moveUp(strip, done)
            moveUp(squares, done)
        }
        return Pair(picture, if (shared > 0) sqrt(deviation / shared) else 0.0)
    }

    private fun tile(photo: Levels, top: Int, left: Int): Picture {
        val part = Picture(photo.channels, height, width)
        for (channel in 0 until photo.channels) for (row in 0 until height) for (column in 0 until width) {
            part[channel, row, column] = photo[channel, mirrored(top + row, photo.height), mirrored(left + column, photo.width)].toFloat()
        }
        return part
    }

    private fun reduced(photo: Levels): Picture {
        val ratio = min(1.0, min(height.toDouble() / photo.height, width.toDouble() / photo.width))
        return resized(photo, max(1, round(photo.height * ratio).toInt()), max(1, round(photo.width * ratio).toInt()))
    }

    private fun cells(length: Int): Int = (length * TONE_CELLS + max(height, width) - 1) / max(height, width)
}

/** Evenly spread tiles along one side of a picture: where they begin, how much of each pixel is theirs, how many count there. */
internal class Axis(val length: Int, window: Int) {
    val starts: IntArray
    val shares: List<FloatArray>
    val counts = IntArray(length)

    init {
        val overlap = round(window / 4.0).toInt()
        val margin = round(window / 16.0).toInt()
        val count = 1 + ceil((length - window).toDouble() / (window - overlap)).toInt()
        starts = IntArray(count) { round(it.toDouble() * (length - window) / max(1, count - 1)).toInt() }
        val total = DoubleArray(length)
        val weights = starts.indices.map { index ->
            val own = DoubleArray(window) { 1.0 }
            for (neighbour in listOf(index - 1, index + 1).filter { it in starts.indices }) {
                val shared = window - abs(starts[index] - starts[neighbour])
                for (place in 0 until shared) {
                    val along = ((place + 0.5 - margin) / (shared - 2 * margin)).coerceIn(0.0, 1.0)
                    own[if (neighbour < index) place else window - 1 - place] *= 0.5 - 0.5 * cos(PI * along)
                }
            }
            own.also { it.forEachIndexed { place, weight -> total[starts[index] + place] += weight } }
        }
        shares = weights.mapIndexed { index, own -> FloatArray(window) { (own[it] / total[starts[index] + it]).toFloat() } }
        shares.forEachIndexed { index, own -> own.forEachIndexed { place, share -> if (share > 0f) counts[starts[index] + place] += 1 } }
    }
}

private fun moveUp(strip: Picture, rows: Int) {
    for (channel in 0 until strip.channels) {
        val start = channel * strip.height * strip.width
        val end = start + strip.height * strip.width
        strip.values.copyInto(strip.values, start, start + rows * strip.width, end)
        strip.values.fill(0f, end - rows * strip.width, end)
    }
}
