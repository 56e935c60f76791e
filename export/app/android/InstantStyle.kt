// Runs a pulled model in an app. Everything that differs between models is read from model.json; a runtime runs its graphs.
// These files were compiled against stubs of the interfaces that they import, and run on a JVM on top of them; never on a phone.

package instantstyle

import android.graphics.Bitmap
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.json.JSONObject

/** The model in a folder that `instantstyle pull` made. Not thread-safe; close it when it is no longer needed. */
class InstantStyle(private val folder: File, engine: Engine) : AutoCloseable {
    private class Graph(val inputs: List<Tensor>, val outputs: List<Tensor>, val network: Network)

    private val description = JSONObject(File(folder, "model.json").readText())
    private val graphs: List<Graph> = objects(description.getJSONArray("graphs")).map { graph ->
        val inputs = objects(graph.getJSONArray("inputs")).map { Tensor(it) }
        val outputs = objects(graph.getJSONArray("outputs")).map { Tensor(it) }
        Graph(inputs, outputs, engine.open(File(folder, graph.getString("file")), inputs, outputs))
    }
    private val picture: Tensor = graphs.last().outputs.first { it.isImage }
    private val photo: Tensor = graphs.last().inputs.first { it.isImage }

    /** The size at which a photo goes through in one piece; smaller ones are mirrored up to it, larger ones go through in tiles. */
    val tileWidth: Int get() = photo.width
    val tileHeight: Int get() = photo.height

    /** Names of the styles that the folder brings along. */
    val styles: List<String> = objects(description.getJSONArray("styles")).map { it.getString("name") }

    /**
     * What the model makes of a photo of any size, in one of the styles if it takes any; `scalars` such as alpha are their maximum if they
     * are not given.
     */
    fun stylize(bitmap: Bitmap, style: String? = null, scalars: Map<String, Float> = emptyMap()): Bitmap {
        val prepared = HashMap<String, FloatArray>()
        if (style != null) prepared.putAll(codesOf(style))
        scalars.forEach { (name, value) -> prepared[name] = floatArrayOf(value) }
        val tiles = Tiles(photo.height, photo.width, picture.channels, picture.height / photo.height) { tile ->
            picture.decoded(run(HashMap(prepared).also { it[photo.name] = photo.encoded(tile) }))
        }
        return bitmapOf(tiles.painted(levelsOf(bitmap, photo.channels)))
    }

    /** Runs the golden pairs of the folder (`instantstyle pull --golden`) and compares them with the reference, as the release did. */
    fun selfTest(): List<GoldenResult> {
        val home = File(folder, "golden")
        val golden = JSONObject(File(home, "golden.json").readText())
        val window = golden.getJSONArray("window")
        val limits = description.getJSONObject("golden_limits")
        return objects(golden.getJSONArray("pairs")).map { pair ->
            val known = HashMap<String, FloatArray>()
            for (image in objects(pair.getJSONArray("images"))) {
                val spec = graphs.flatMap { it.inputs }.first { it.name == image.getString("input") }
                val small = readLevels(File(home, image.getString("file")), spec.channels)
                known[spec.name] = spec.encoded(floats(enlarged(small, image.getInt("enlarged"))))
            }
            for (scalar in objects(pair.getJSONArray("scalars"))) {
                known[scalar.getString("input")] = floatArrayOf(scalar.getDouble("value").toFloat())
            }
            val expected = readLevels(File(home, pair.getString("output")), picture.channels)
            val ssim = similarity(expected, picture.decoded(run(known)), window.getInt(0), window.getInt(1))
            val limit = limits.optDouble(if (pair.getBoolean("hard")) "min_ssim_hard" else "min_ssim_worst", -1.0)
            GoldenResult(pair.getString("name"), ssim, ssim >= limit)
        }
    }

    override fun close() = graphs.forEach { it.network.close() }

    /** The graphs one after the other: what one gives is what a later one takes. Graphs whose results are known are left out. */
    private fun run(known: HashMap<String, FloatArray>): FloatArray {
        for (graph in graphs) {
            if (graph.outputs.all { it.name in known }) continue
            known.putAll(graph.network.run(graph.inputs.associate { it.name to (known[it.name] ?: alone(it)) }))
        }
        return known.getValue(picture.name)
    }

    /** Of a number that was not given. */
    private fun alone(spec: Tensor): FloatArray {
        require(spec.shape.size == 2 && spec.shape[1] == 1L) { "the model takes '${spec.name}', which was not given" }
        return floatArrayOf(spec.maximum)
    }

    private fun codesOf(style: String): Map<String, FloatArray> {
        val entry = objects(description.getJSONArray("styles")).firstOrNull { it.getString("name") == style }
        requireNotNull(entry) { "no style '$style', only ${styles.joinToString()}" }
        val buffer = ByteBuffer.wrap(File(folder, entry.getString("file")).readBytes()).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer()
        return objects(description.getJSONArray("codes")).associate { code ->
            code.getString("name") to FloatArray(code.getInt("length")).also { buffer.get(it) }
        }
    }
}

internal fun levelsOf(bitmap: Bitmap, channels: Int): Levels {
    val levels = Levels(channels, bitmap.height, bitmap.width)
    val shifts = intArrayOf(16, 8, 0, 24)
    val pixels = IntArray(bitmap.width)
    for (row in 0 until bitmap.height) {
        bitmap.getPixels(pixels, 0, bitmap.width, 0, row, bitmap.width, 1)
        for (channel in 0 until channels) for (column in pixels.indices) {
            val level = if (channels == 1) luma(pixels[column]) else pixels[column] shr shifts[channel]
            levels.values[(channel * bitmap.height + row) * bitmap.width + column] = level.toByte()
        }
    }
    return levels
}

private fun bitmapOf(levels: Levels): Bitmap {
    val bitmap = Bitmap.createBitmap(levels.width, levels.height, Bitmap.Config.ARGB_8888)
    val pixels = IntArray(levels.width)
    for (row in 0 until levels.height) {
        for (column in pixels.indices) {
            fun level(channel: Int) = levels[minOf(channel, levels.channels - 1), row, column]
            val alpha = if (levels.channels == 4) level(3) else 255
            pixels[column] = (alpha shl 24) or (level(0) shl 16) or (level(1) shl 8) or level(2)
        }
        bitmap.setPixels(pixels, 0, levels.width, 0, row, levels.width, 1)
    }
    return bitmap
}

/** ITU-R BT.601, in integers. */
private fun luma(pixel: Int): Int =
    (((pixel shr 16) and 255) * 19595 + ((pixel shr 8) and 255) * 38470 + (pixel and 255) * 7471 + 0x8000) shr 16
