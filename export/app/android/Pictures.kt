// Pictures as arrays of levels from 0 to 255, and their sizes.

package instantstyle

import kotlin.math.abs
import kotlin.math.max
import kotlin.math.min
import kotlin.math.round

/** A picture in 8 bits, channel by channel, row by row: red, green, blue and alpha, or luma. */
class Levels(val values: ByteArray, val channels: Int, val height: Int, val width: Int) {
    constructor(channels: Int, height: Int, width: Int) : this(ByteArray(channels * height * width), channels, height, width)

    operator fun get(channel: Int, row: Int, column: Int): Int = values[(channel * height + row) * width + column].toInt() and 255
}

/** The same from 0 to 255 without rounding. */
class Picture(val values: FloatArray, val channels: Int, val height: Int, val width: Int) {
    constructor(channels: Int, height: Int, width: Int) : this(FloatArray(channels * height * width), channels, height, width)

    operator fun get(channel: Int, row: Int, column: Int): Float = values[(channel * height + row) * width + column]

    operator fun set(channel: Int, row: Int, column: Int, value: Float) {
        values[(channel * height + row) * width + column] = value
    }
}

/** Another size, a triangle as wide as the reduction for each pixel; first across, then down. */
internal fun resized(picture: Levels, height: Int, width: Int): Picture {
    val across = Picture(picture.channels, picture.height, width)
    for (column in 0 until width) {
        val (first, taps) = triangle(column, picture.width, width)
        for (channel in 0 until picture.channels) for (row in 0 until picture.height) {
            var sum = 0f
            for (tap in taps.indices) sum += taps[tap] * picture[channel, row, first + tap]
            across[channel, row, column] = sum
        }
    }
    val result = Picture(picture.channels, height, width)
    for (row in 0 until height) {
        val (first, taps) = triangle(row, picture.height, height)
        for (channel in 0 until picture.channels) for (tap in taps.indices) for (column in 0 until width) {
            result[channel, row, column] += taps[tap] * across[channel, first + tap, column]
        }
    }
    return result
}

private fun triangle(index: Int, from: Int, to: Int): Pair<Int, FloatArray> {
    val scale = from.toDouble() / to
    val support = max(scale, 1.0)
    val centre = scale * (index + 0.5)
    val first = max((centre - support + 0.5).toInt(), 0)
    val end = min((centre + support + 0.5).toInt(), from)
    val taps = DoubleArray(end - first) { max(0.0, 1 - abs((first + it - centre + 0.5) / support)) }
    val sum = taps.sum()
    return Pair(first, FloatArray(taps.size) { (taps[it] / sum).toFloat() })
}

internal fun floats(photo: Levels): Picture =
    Picture(FloatArray(photo.values.size) { (photo.values[it].toInt() and 255).toFloat() }, photo.channels, photo.height, photo.width)

internal fun rounded(picture: Picture): Levels =
    Levels(ByteArray(picture.values.size) { level(picture.values[it]) }, picture.channels, picture.height, picture.width)

internal fun level(value: Float): Byte = round(value.coerceIn(0f, 255f)).toInt().toByte()

internal fun cut(picture: Picture, height: Int, width: Int): Picture {
    val part = Picture(picture.channels, height, width)
    for (channel in 0 until picture.channels) for (row in 0 until height) for (column in 0 until width) {
        part[channel, row, column] = picture[channel, row, column]
    }
    return part
}

/** The border's pixel comes twice; more than once over where a photo is smaller than what it is mirrored into. */
internal fun mirrored(place: Int, length: Int): Int = (place % (2 * length)).let { if (it < length) it else 2 * length - 1 - it }
