package com.google.ai.edge.litert

import peer.Peer

enum class Accelerator(val value: Int) { NONE(0), CPU(1), GPU(2), NPU(3) }

class TensorBuffer internal constructor() : AutoCloseable {
    internal var values: FloatArray? = null

    fun writeFloat(data: FloatArray) {
        values = data.copyOf()
    }

    fun readFloat(): FloatArray = checkNotNull(values)

    override fun close() = Unit
}

class CompiledModel private constructor(private val peer: Peer) : AutoCloseable {
    data class CpuOptions(val numThreads: Int? = null, val xnnPackFlags: Int? = null, val xnnPackWeightCachePath: String? = null)

    class Options(vararg val accelerators: Accelerator) {
        var cpuOptions: CpuOptions? = null
    }

    fun createInputBuffer(inputName: String, signature: String? = null): TensorBuffer = TensorBuffer()

    fun createOutputBuffer(outputName: String, signature: String? = null): TensorBuffer = TensorBuffer()

    fun run(inputs: Map<String, TensorBuffer>, outputs: Map<String, TensorBuffer>, signature: String? = null) {
        val found = peer.run(inputs.mapValues { it.value.readFloat() })
        for ((name, buffer) in outputs) buffer.values = found.getValue(name)
    }

    override fun close() = peer.close()

    companion object {
        fun create(filePath: String, options: Options): CompiledModel = CompiledModel(Peer(filePath))
    }
}
