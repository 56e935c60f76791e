// Runs .ort and .onnx files, of the targets `android` and `onnx`. Gradle: implementation("com.microsoft.onnxruntime:onnxruntime-android:1.27.0"),
// the first release whose libraries are all aligned to pages of 16 KB, or a newer one. Files made by 1.32.0 gave 1.27.0 the same numbers.

package instantstyle

import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtSession
import java.io.File
import java.nio.FloatBuffer

/** ONNX Runtime on the CPU: what the release measured. */
class OnnxRuntime(private val threads: Int = 4) : Engine {
    private val environment: OrtEnvironment = OrtEnvironment.getEnvironment()

    override fun open(file: File, inputs: List<Tensor>, outputs: List<Tensor>): Network {
        val options = OrtSession.SessionOptions()
        options.setIntraOpNumThreads(threads)
        val session = environment.createSession(file.path, options)
        return object : Network {
            override fun run(inputs: Map<String, FloatArray>): Map<String, FloatArray> = run(session, inputs, shapes)

            override fun close() {
                session.close()
                options.close()
            }

            private val shapes = inputs.associate { it.name to it.shape }
        }
    }

    private fun run(session: OrtSession, inputs: Map<String, FloatArray>, shapes: Map<String, LongArray>): Map<String, FloatArray> {
        val tensors = HashMap<String, OnnxTensor>()
        try {
            for ((name, values) in inputs) {
                tensors[name] = OnnxTensor.createTensor(environment, FloatBuffer.wrap(values), shapes.getValue(name))
            }
            session.run(tensors).use { results ->
                return results.associate { (name, value) ->
                    val buffer = (value as OnnxTensor).floatBuffer
                    name to FloatArray(buffer.remaining()).also { buffer.get(it) }
                }
            }
        } finally {
            tensors.values.forEach { it.close() }
        }
    }
}
