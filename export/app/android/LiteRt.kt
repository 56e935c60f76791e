// Runs .tflite files, of the target `litert`. Gradle: implementation("com.google.ai.edge.litert:litert:2.3.0"), the release that the
// files were tried with, and litert-gpu of the same number for Accelerator.GPU.

package instantstyle

import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel
import java.io.File

/** LiteRT; on its CPU by XNNPACK, which the release measured. What another accelerator makes of the model, `selfTest` tells. */
class LiteRt(private val accelerator: Accelerator = Accelerator.CPU, private val threads: Int = 4) : Engine {
    override fun open(file: File, inputs: List<Tensor>, outputs: List<Tensor>): Network {
        val options = CompiledModel.Options(accelerator)
        if (accelerator == Accelerator.CPU) options.cpuOptions = CompiledModel.CpuOptions(numThreads = threads)
        val model = CompiledModel.create(file.path, options)
        val given = inputs.associateWith { model.createInputBuffer(it.name) }
        val made = outputs.associateWith { model.createOutputBuffer(it.name) }
        return object : Network {
            override fun run(inputs: Map<String, FloatArray>): Map<String, FloatArray> {
                for ((spec, buffer) in given) buffer.writeFloat(channelsLast(inputs.getValue(spec.name), spec))
                model.run(given.mapKeys { it.key.name }, made.mapKeys { it.key.name })
                return made.entries.associate { (spec, buffer) -> spec.name to channelsFirst(buffer.readFloat(), spec) }
            }

            override fun close() {
                (given.values + made.values).forEach { it.close() }
                model.close()
            }
        }
    }

    /** Images are (1, H, W, C) in the files. */
    private fun channelsLast(values: FloatArray, spec: Tensor): FloatArray {
        if (!spec.isImage) return values
        val area = spec.height * spec.width
        return FloatArray(values.size) { values[it % spec.channels * area + it / spec.channels] }
    }

    private fun channelsFirst(values: FloatArray, spec: Tensor): FloatArray {
        if (!spec.isImage) return values
        val area = spec.height * spec.width
        return FloatArray(values.size) { values[it % area * spec.channels + it / area] }
    }
}
