package ai.onnxruntime;

import java.nio.FloatBuffer;

public final class OnnxTensor implements OnnxValue {
    final float[] values;
    private boolean closed;

    OnnxTensor(float[] values) {
        this.values = values;
    }

    public static OnnxTensor createTensor(OrtEnvironment environment, FloatBuffer data, long[] shape) throws OrtException {
        long size = 1;
        for (long each : shape) size *= each;
        float[] values = new float[data.remaining()];
        data.get(values);
        if (size != values.length) throw new IllegalArgumentException(values.length + " values for a shape of " + size);
        return new OnnxTensor(values);
    }

    public FloatBuffer getFloatBuffer() {
        if (closed) throw new IllegalStateException("closed");
        return FloatBuffer.wrap(values.clone());
    }

    @Override
    public void close() {
        closed = true;
    }
}
