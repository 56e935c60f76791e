// How golden pairs are read and compared, as the release does it.

package instantstyle

import android.graphics.BitmapFactory
import java.io.File
import kotlin.math.exp

/** How a golden pair came out on this device. */
data class GoldenResult(val pair: String, val ssim: Double, val passed: Boolean)

internal fun readLevels(file: File, channels: Int): Levels {
    val options = BitmapFactory.Options()
    options.inPremultiplied = false
    return levelsOf(BitmapFactory.decodeFile(file.path, options), channels)
}

/** Bilinear between the centres of pixels, in integers, rounded half up at the end: the same on every machine. */
internal fun enlarged(levels: Levels, factor: Int): Levels {
    fun along(values: IntArray, lines: Int, length: Int, stride: Int): IntArray {
        val result = IntArray(values.size * factor)
        for (line in 0 until lines) for (place in 0 until length * factor) {
            val position = (2 * place + 1 - factor).coerceIn(0, 2 * factor * (length - 1))
            val share = position % (2 * factor)
            val start = (line / stride) * stride * length + line % stride
            val left = values[start + (position / (2 * factor)) * stride]
            val right = values[start + minOf(position / (2 * factor) + 1, length - 1) * stride]
            val target = (line / stride) * stride * length * factor + line % stride + place * stride
            result[target] = left * (2 * factor - share) + right * share
        }
        return result
    }
    val values = IntArray(levels.values.size) { levels.values[it].toInt() and 255 }
    val wide = along(values, levels.channels * levels.height, levels.width, 1)
    val width = levels.width * factor
    val tall = along(wide, levels.channels * width, levels.height, width)
    val whole = 4 * factor * factor
    return Levels(ByteArray(tall.size) { ((tall[it] + whole / 2) / whole).toByte() }, levels.channels, levels.height * factor, width)
}

/**
 * Structural similarity (Wang et al. 2004: Gaussian window of 11x11, sigma 1.5) of the part of a picture that begins at `top` and `left`
 * to a reference; the mean of its channels.
 */
internal fun similarity(expected: Levels, found: Picture, top: Int, left: Int): Double {
    val taps = DoubleArray(11) { exp(-0.5 * (it - 5) * (it - 5) / 2.25) }
    val sum = taps.sum()
    val c1 = (0.01 * 255) * (0.01 * 255)
    val c2 = (0.03 * 255) * (0.03 * 255)
    var total = 0.0
    var count = 0
    for (channel in 0 until expected.channels) for (y in 0..expected.height - 11) for (x in 0..expected.width - 11) {
        var a = 0.0
        var b = 0.0
        var aa = 0.0
        var bb = 0.0
        var ab = 0.0
        for (row in 0 until 11) for (column in 0 until 11) {
            val weight = taps[row] * taps[column] / (sum * sum)
            val own = expected[channel, y + row, x + column].toDouble()
            val other = found[channel, top + y + row, left + x + column].toDouble()
            a += weight * own
            b += weight * other
            aa += weight * own * own
            bb += weight * other * other
            ab += weight * own * other
        }
        total += (2 * a * b + c1) * (2 * (ab - a * b) + c2) / ((a * a + b * b + c1) * (aa - a * a + bb - b * b + c2))
        count += 1
    }
    return total / count
}
