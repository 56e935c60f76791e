// What model.json says of the graphs, and what runs one: OnnxRuntime.kt or LiteRt.kt.

package instantstyle

import java.io.File
import org.json.JSONArray
import org.json.JSONObject

/** A tensor of the model: shape (N, C, H, W) of an image, (1, length) of anything else. */
class Tensor(description: JSONObject) {
    val name: String = description.getString("name")
    val isImage: Boolean = description.getString("kind") == "image"
    val shape: LongArray = description.getJSONArray("shape").let { LongArray(it.length()) { index -> it.getLong(index) } }
    val minimum: Float = description.getDouble("minimum").toFloat()
    val maximum: Float = description.getDouble("maximum").toFloat()
    val channels: Int get() = shape[1].toInt()
    val height: Int get() = shape[2].toInt()
    val width: Int get() = shape[3].toInt()
    private val mean: FloatArray = numbers(description.optJSONArray("mean"))
    private val std: FloatArray = numbers(description.optJSONArray("std"))
    private val isBgr: Boolean = description.optString("order") == "BGR"

    /** What the network takes for a picture of levels from 0 to 255. */
    fun encoded(picture: Picture): FloatArray {
        val area = picture.height * picture.width
        return FloatArray(picture.values.size) { index ->
            val channel = index / area
            val pixel = picture.values[ordered(channel) * area + index % area] * (maximum - minimum) / 255f + minimum
            if (std.isEmpty() && mean.isEmpty()) pixel else (pixel - mean.getOrElse(channel) { 0f }) / std.getOrElse(channel) { 1f }
        }
    }

    /** The inverse, not rounded, within 0 to 255. */
    fun decoded(values: FloatArray): Picture {
        val area = height * width
        val picture = FloatArray(values.size) { index ->
            val channel = ordered(index / area)
            val pixel = values[channel * area + index % area] * std.getOrElse(channel) { 1f } + mean.getOrElse(channel) { 0f }
            ((pixel - minimum) * 255f / (maximum - minimum)).coerceIn(0f, 255f)
        }
        return Picture(picture, channels, height, width)
    }

    /** Of a picture's channel the network's, and the other way round. */
    private fun ordered(channel: Int): Int = if (isBgr && channel < 3) 2 - channel else channel

    private fun numbers(values: JSONArray?): FloatArray =
        FloatArray(values?.length() ?: 0) { index -> values!!.getDouble(index).toFloat() }
}

/** One file of the model, loaded. Values are flat, by name, images as (C, H, W). */
interface Network : AutoCloseable {
    fun run(inputs: Map<String, FloatArray>): Map<String, FloatArray>
}

/** A runtime. */
interface Engine {
    fun open(file: File, inputs: List<Tensor>, outputs: List<Tensor>): Network
}

internal fun objects(array: JSONArray): List<JSONObject> = List(array.length()) { array.getJSONObject(it) }
