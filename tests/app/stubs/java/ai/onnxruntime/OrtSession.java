package ai.onnxruntime;

import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;
import peer.Peer;

public class OrtSession implements AutoCloseable {
    private final Peer peer;

    OrtSession(String file) {
        peer = new Peer(file);
    }

    public Result run(Map<String, ? extends OnnxTensor> inputs) throws OrtException {
        Map<String, float[]> values = new LinkedHashMap<>();
        inputs.forEach((name, tensor) -> values.put(name, tensor.values));
        Map<String, OnnxValue> outputs = new LinkedHashMap<>();
        peer.run(values).forEach((name, found) -> outputs.put(name, new OnnxTensor(found)));
        return new Result(outputs);
    }

    @Override
    public void close() throws OrtException {
        peer.close();
    }

    public static class SessionOptions implements AutoCloseable {
        public void setIntraOpNumThreads(int threads) throws OrtException {}

        @Override
        public void close() {}
    }

    public static class Result implements AutoCloseable, Iterable<Map.Entry<String, OnnxValue>> {
        private final Map<String, OnnxValue> values;

        Result(Map<String, OnnxValue> values) {
            this.values = values;
        }

        @Override
        public Iterator<Map.Entry<String, OnnxValue>> iterator() {
            return values.entrySet().iterator();
        }

        @Override
        public void close() {
            values.values().forEach(OnnxValue::close);
        }
    }
}
