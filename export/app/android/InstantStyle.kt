// Runs a pulled model with onnxruntime-android. Everything that differs between models is read from model.json.
// It was compiled against stubs of the interfaces that it imports, and never run on a phone, where it was written.

package instantstyle

import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtSession
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.FloatBuffer
import org.json.JSONArray
import org.json.JSONObject

/** A tensor of the model: shape (N, C, H, W) of an image, (1, length) of anything else. */
class Tensor(description: JSONObject) {
    val name: String = description.getString("name")
    val isImage: Boolean = description.getString("kind") == "image"
    val shape: LongArray = description.getJSONArray("shape").let { LongArray(it.length()) { index -> it.getLong(index) } }
    val minimum: Float = description.getDouble("minimum").toFloat()
    val maximum: Float = description.getDouble("maximum").toFloat()
    val mean: FloatArray = numbers(description.optJSONArray("mean"))
    val std: FloatArray = numbers(description.optJSONArray("std"))
    val isBgr: Boolean = description.optString("order") == "BGR"
    val channels: Int get() = shape[1].toInt()
    val height: Int get() = shape[2].toInt()
    val width: Int get() = shape[3].toInt()

    /** The network's value of a level from 0 to 255 in one channel of the network's order. */
    fun encode(level: Float, channel: Int): Float {
        val pixel = level * (maximum - minimum) / 255f + minimum
        return if (std.isEmpty() && mean.isEmpty()) pixel
        else (pixel - (mean.getOrElse(channel) { 0f })) / std.getOrElse(channel) { 1f }
    }

    /** The inverse, not rounded, within 0 to 255. */
    fun decode(value: Float, channel: Int): Float {
        val pixel = value * std.getOrElse(channel) { 1f } + mean.getOrElse(channel) { 0f }
        return ((pixel - minimum) * 255f / (maximum - minimum)).coerceIn(0f, 255f)
    }

    private fun numbers(values: JSONArray?): FloatArray =
        FloatArray(values?.length() ?: 0) { index -> values!!.getDouble(index).toFloat() }
}

/** One file of the model. */
class Network(val session: OrtSession, description: JSONObject) : AutoCloseable {
    val inputs: List<Tensor> = objects(description.getJSONArray("inputs")).map { Tensor(it) }
    val outputs: List<Tensor> = objects(description.getJSONArray("outputs")).map { Tensor(it) }

    override fun close() = session.close()
}

/** How a golden pair came out on this device. */
data class GoldenResult(val pair: String, val ssim: Double, val passed: Boolean)

/**
 * The model in a folder that `instantstyle pull` made. Not thread-safe; close it when it is no longer needed.
 *
 * Photos have the size of the model's image input; `photoWidth` and `photoHeight` say it.
 */
class InstantStyle(private val folder: File, threads: Int = 4) : AutoCloseable {
    private val environment: OrtEnvironment = OrtEnvironment.getEnvironment()
    private val description = JSONObject(File(folder, "model.json").readText())
    private val networks: List<Network> = objects(description.getJSONArray("graphs")).map { graph ->
        val options = OrtSession.SessionOptions()
        options.setIntraOpNumThreads(threads)
        Network(environment.createSession(File(folder, graph.getString("file")).path, options), graph)
    }
    private val picture: Tensor = networks.last().outputs.first { it.isImage }
    private val photo: Tensor = networks.last().inputs.first { it.isImage }
    val photoWidth: Int get() = photo.width
    val photoHeight: Int get() = photo.height

    /** Names of the styles that the folder brings along. */
    val styles: List<String> = objects(description.getJSONArray("styles")).map { it.getString("name") }

    /** What the model makes of a photo in one of the styles; `scalars` such as alpha are their maximum if they are not given. */
    fun stylize(bitmap: Bitmap, style: String, scalars: Map<String, Float> = emptyMap()): Bitmap {
        val known = HashMap<String, FloatArray>()
        known[photo.name] = valuesOf(bitmap, photo)
        known.putAll(codesOf(style))
        scalars.forEach { (name, value) -> known[name] = floatArrayOf(value) }
        return bitmapOf(run(known), picture)
    }

    /** Runs the golden pairs of the folder (`instantstyle pull --golden`) and compares them with the reference, as the release did. */
    fun selfTest(): List<GoldenResult> {
        val home = File(folder, "golden")
        val golden = JSONObject(File(home, "golden.json").readText())
        val window = golden.getJSONArray("window").let { IntArray(4) { index -> it.getInt(index) } }
        val limits = description.getJSONObject("golden_limits")
        return objects(golden.getJSONArray("pairs")).map { pair ->
            val known = HashMap<String, FloatArray>()
            for (image in objects(pair.getJSONArray("images"))) {
                val spec = networks.flatMap { it.inputs }.first { it.name == image.getString("input") }
                val small = readLevels(File(home, image.getString("file")), spec.channels)
                known[spec.name] = encoded(enlarged(small, image.getInt("enlarged")), spec)
            }
            for (scalar in objects(pair.getJSONArray("scalars"))) {
                known[scalar.getString("input")] = floatArrayOf(scalar.getDouble("value").toFloat())
            }
            val expected = readLevels(File(home, pair.getString("output")), picture.channels)
            val ssim = similarity(expected, run(known), window)
            val limit = limits.optDouble(if (pair.getBoolean("hard")) "min_ssim_hard" else "min_ssim_worst", -1.0)
            GoldenResult(pair.getString("name"), ssim, ssim >= limit)
        }
    }

    override fun close() = networks.forEach { it.close() }

    /** The graphs one after the other: what one gives is what a later one takes. Graphs whose results are known are left out. */
    private fun run(known: HashMap<String, FloatArray>): FloatArray {
        for (network in networks) {
            if (network.outputs.all { it.name in known }) continue
            val tensors = network.inputs.associate { spec ->
                val values = known[spec.name] ?: floatArrayOf(spec.maximum)
                spec.name to OnnxTensor.createTensor(environment, FloatBuffer.wrap(values), spec.shape)
            }
            try {
                val results = network.session.run(tensors)
                for (spec in network.outputs) {
                    val buffer = (results.get(spec.name).get() as OnnxTensor).floatBuffer
                    known[spec.name] = FloatArray(buffer.remaining()).also { buffer.get(it) }
                }
                results.close()
            } finally {
                tensors.values.forEach { it.close() }
            }
        }
        return known.getValue(picture.name)
    }

    private fun codesOf(style: String): Map<String, FloatArray> {
        val entry = objects(description.getJSONArray("styles")).firstOrNull { it.getString("name") == style }
        requireNotNull(entry) { "no style '$style', only ${styles.joinToString()}" }
        val buffer = ByteBuffer.wrap(File(folder, entry.getString("file")).readBytes()).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer()
        return objects(description.getJSONArray("codes")).associate { code ->
            code.getString("name") to FloatArray(code.getInt("length")).also { buffer.get(it) }
        }
    }

    private fun valuesOf(bitmap: Bitmap, spec: Tensor): FloatArray {
        require(bitmap.width == spec.width && bitmap.height == spec.height) {
            "the model takes ${spec.width}x${spec.height} pixels, not ${bitmap.width}x${bitmap.height}"
        }
        return encoded(levelsOf(bitmap, spec.channels), spec)
    }

    private fun encoded(picture: Levels, spec: Tensor): FloatArray {
        val area = picture.height * picture.width
        return FloatArray(picture.channels * area) { index ->
            val channel = index / area
            spec.encode(picture.values[order(spec, channel) * area + index % area].toFloat(), channel)
        }
    }

    private fun bitmapOf(values: FloatArray, spec: Tensor): Bitmap {
        val area = spec.height * spec.width
        fun level(channel: Int, place: Int): Int {
            val own = order(spec, minOf(channel, spec.channels - 1))
            return Math.round(spec.decode(values[own * area + place], own))
        }
        val pixels = IntArray(area) { place ->
            val alpha = if (spec.channels == 4) level(3, place) else 255
            (alpha shl 24) or (level(0, place) shl 16) or (level(1, place) shl 8) or level(2, place)
        }
        return Bitmap.createBitmap(pixels, spec.width, spec.height, Bitmap.Config.ARGB_8888)
    }

    /** Structural similarity (Wang et al. 2004: Gaussian window of 11x11, sigma 1.5) of a window of the picture to the reference. */
    private fun similarity(expected: Levels, values: FloatArray, window: IntArray): Double {
        val taps = DoubleArray(11) { Math.exp(-0.5 * (it - 5) * (it - 5) / 2.25) }
        val sum = taps.sum()
        val c1 = (0.01 * 255) * (0.01 * 255)
        val c2 = (0.03 * 255) * (0.03 * 255)
        val height = expected.height
        val width = expected.width
        var total = 0.0
        var count = 0
        for (channel in 0 until picture.channels) {
            val own = order(picture, channel)
            fun found(row: Int, column: Int): Double {
                val place = (window[0] + row) * picture.width + window[1] + column
                return picture.decode(values[own * picture.height * picture.width + place], own).toDouble()
            }
            for (top in 0..height - 11) for (left in 0..width - 11) {
                var x = 0.0
                var y = 0.0
                var xx = 0.0
                var yy = 0.0
                var xy = 0.0
                for (row in 0 until 11) for (column in 0 until 11) {
                    val weight = taps[row] * taps[column] / (sum * sum)
                    val a = expected.values[(channel * height + top + row) * width + left + column].toDouble()
                    val b = found(top + row, left + column)
                    x += weight * a
                    y += weight * b
                    xx += weight * a * a
                    yy += weight * b * b
                    xy += weight * a * b
                }
                total += (2 * x * y + c1) * (2 * (xy - x * y) + c2) / ((x * x + y * y + c1) * (xx - x * x + yy - y * y + c2))
                count += 1
            }
        }
        return total / count
    }

    /** Of a picture's channel the network's, and the other way round. */
    private fun order(spec: Tensor, channel: Int): Int = if (spec.isBgr && channel < 3) 2 - channel else channel
}

/** A picture in 8 bits, channel by channel: red, green, blue and alpha, or luma. */
class Levels(val values: IntArray, val channels: Int, val height: Int, val width: Int)

private fun readLevels(file: File, channels: Int): Levels {
    val options = BitmapFactory.Options()
    options.inPremultiplied = false
    return levelsOf(BitmapFactory.decodeFile(file.path, options), channels)
}

private fun levelsOf(bitmap: Bitmap, channels: Int): Levels {
    val area = bitmap.width * bitmap.height
    val pixels = IntArray(area)
    bitmap.getPixels(pixels, 0, bitmap.width, 0, 0, bitmap.width, bitmap.height)
    val shifts = intArrayOf(16, 8, 0, 24)
    val values = IntArray(channels * area) { index ->
        val pixel = pixels[index % area]
        if (channels == 1) luma(pixel) else (pixel shr shifts[index / area]) and 255
    }
    return Levels(values, channels, bitmap.height, bitmap.width)
}

/** ITU-R BT.601, in integers. */
private fun luma(pixel: Int): Int =
    (((pixel shr 16) and 255) * 19595 + ((pixel shr 8) and 255) * 38470 + (pixel and 255) * 7471 + 0x8000) shr 16

/** Bilinear between the centres of pixels, in integers, rounded half up at the end: the same on every machine. */
private fun enlarged(levels: Levels, factor: Int): Levels {
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
    val wide = along(levels.values, levels.channels * levels.height, levels.width, 1)
    val width = levels.width * factor
    val tall = along(wide, levels.channels * width, levels.height, width)
    val whole = 4 * factor * factor
    return Levels(IntArray(tall.size) { (tall[it] + whole / 2) / whole }, levels.channels, levels.height * factor, width)
}

private fun objects(array: JSONArray): List<JSONObject> = List(array.length()) { array.getJSONObject(it) }
