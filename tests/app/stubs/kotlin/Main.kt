import android.graphics.Bitmap
import android.graphics.BitmapFactory
import instantstyle.InstantStyle
import instantstyle.LiteRt
import instantstyle.OnnxRuntime
import java.awt.image.BufferedImage
import java.io.File
import javax.imageio.ImageIO

/** The app: RUNTIME FOLDER test, or RUNTIME FOLDER paint PHOTO PICTURE [STYLE [NUMBER VALUE]]. */
fun main(arguments: Array<String>) {
    val (runtime, folder, verb) = arguments
    val engine = if (runtime == "litert") LiteRt() else OnnxRuntime()
    InstantStyle(File(folder), engine).use { model ->
        if (verb == "test") return model.selfTest().forEach { println("${it.pair}\t${it.ssim}\t${it.passed}") }
        val photo = BitmapFactory.decodeFile(arguments[3], BitmapFactory.Options())
        val scalars = if (arguments.size > 6) mapOf(arguments[6] to arguments[7].toFloat()) else emptyMap()
        write(model.stylize(photo, arguments.getOrNull(5), scalars), File(arguments[4]))
    }
}

private fun write(bitmap: Bitmap, file: File) {
    val image = BufferedImage(bitmap.width, bitmap.height, BufferedImage.TYPE_INT_ARGB)
    val pixels = IntArray(bitmap.width * bitmap.height)
    bitmap.getPixels(pixels, 0, bitmap.width, 0, 0, bitmap.width, bitmap.height)
    image.setRGB(0, 0, bitmap.width, bitmap.height, pixels, 0, bitmap.width)
    ImageIO.write(image, "PNG", file)
}
