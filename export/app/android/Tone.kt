// One tone for a picture that was painted in tiles.

package instantstyle

import kotlin.math.abs
import kotlin.math.floor
import kotlin.math.max
import kotlin.math.sqrt

private const val LEAST_GAIN = 0.1f
private const val LEAST_VARIANCE = 127.5f * 127.5f * 1e-6f

/** Gives a picture in place the tone of `guide`, and no more contrast: means and deviations over cells, smoothly between them. */
internal fun tone(picture: Levels, guide: Picture, down: Int, across: Int) {
    val wanted = Statistics(guide, down, across)
    val own = Statistics(resized(picture, guide.height, guide.width), down, across)
    val gains = FloatArray(down * across) { (sqrt(wanted.variance[it] / own.variance[it])).coerceIn(LEAST_GAIN, 1f) }
    val rows = Cubic(down, picture.height)
    val columns = Cubic(across, picture.width)
    val maps = List(picture.channels) { wanted.means[it] } + List(picture.channels) { own.means[it] } + listOf(gains)
    val lines = List(maps.size) { FloatArray(across) }
    for (row in 0 until picture.height) {
        for ((map, line) in maps.zip(lines)) for (column in 0 until across) line[column] = rows.mixed(row) { map[it * across + column] }
        for (column in 0 until picture.width) {
            val gain = columns.mixed(column) { lines.last()[it] }.coerceIn(LEAST_GAIN, 1f)
            for (channel in 0 until picture.channels) {
                val tone = columns.mixed(column) { lines[channel][it] }
                val before = columns.mixed(column) { lines[picture.channels + channel][it] }
                val place = (channel * picture.height + row) * picture.width + column
                picture.values[place] = level(tone + ((picture.values[place].toInt() and 255) - before) * gain)
            }
        }
    }
}

/** Mean of each channel and mean variance of all of them in each cell; cells whose borders fall within a pixel share it. */
private class Statistics(picture: Picture, down: Int, across: Int) {
    val means = List(picture.channels) { FloatArray(down * across) }
    val variance = FloatArray(down * across)

    init {
        for (i in 0 until down) for (j in 0 until across) {
            val rows = (i * picture.height / down) until ((i + 1) * picture.height + down - 1) / down
            val columns = (j * picture.width / across) until ((j + 1) * picture.width + across - 1) / across
            val area = (rows.last - rows.first + 1) * (columns.last - columns.first + 1)
            var total = 0.0
            for (channel in 0 until picture.channels) {
                var sum = 0.0
                var squares = 0.0
                for (row in rows) for (column in columns) {
                    val value = picture[channel, row, column].toDouble()
                    sum += value
                    squares += value * value
                }
                means[channel][i * across + j] = (sum / area).toFloat()
                total += squares / area - (sum / area) * (sum / area)
            }
            variance[i * across + j] = max((total / picture.channels).toFloat(), LEAST_VARIANCE)
        }
    }
}

/** Bicubic interpolation along one side (Keys 1981, a = -0.75), replicated at the border. */
private class Cubic(private val from: Int, to: Int) {
    private val firsts = IntArray(to)
    private val taps = Array(to) { FloatArray(4) }

    init {
        for (index in 0 until to) {
            val position = (index + 0.5) * from / to - 0.5
            firsts[index] = floor(position).toInt() - 1
            for (tap in 0 until 4) taps[index][tap] = weight(abs(position - (firsts[index] + tap))).toFloat()
        }
    }

    inline fun mixed(index: Int, value: (Int) -> Float): Float {
        var sum = 0f
        for (tap in 0 until 4) sum += taps[index][tap] * value((firsts[index] + tap).coerceIn(0, from - 1))
        return sum
    }

    private fun weight(x: Double): Double =
        if (x <= 1) (1.25 * x - 2.25) * x * x + 1 else ((-0.75 * x + 3.75) * x - 6) * x + 3
}
