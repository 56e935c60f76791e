package peer;

import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.File;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** A process that runs one model file in the place of a phone's runtime: named flat tensors go to it and come back through pipes. */
public final class Peer implements AutoCloseable {
    private final Process process;
    private final DataOutputStream out;
    private final DataInputStream in;

    public Peer(String file) {
        try {
            List<String> command = new ArrayList<>(List.of(System.getProperty("peer").split(File.pathSeparator)));
            command.add(file);
            process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
            out = new DataOutputStream(new BufferedOutputStream(process.getOutputStream(), 1 << 16));
            in = new DataInputStream(new BufferedInputStream(process.getInputStream(), 1 << 16));
        } catch (java.io.IOException error) {
            throw new RuntimeException(error);
        }
    }

    public Map<String, float[]> run(Map<String, float[]> inputs) {
        try {
            out.writeInt(inputs.size());
            for (Map.Entry<String, float[]> each : inputs.entrySet()) {
                out.writeUTF(each.getKey());
                out.writeInt(each.getValue().length);
                for (float value : each.getValue()) out.writeFloat(value);
            }
            out.flush();
            Map<String, float[]> outputs = new LinkedHashMap<>();
            for (int count = in.readInt(); count > 0; count--) {
                String name = in.readUTF();
                float[] values = new float[in.readInt()];
                for (int index = 0; index < values.length; index++) values[index] = in.readFloat();
                outputs.put(name, values);
            }
            return outputs;
        } catch (java.io.IOException error) {
            throw new RuntimeException(error);
        }
    }

    @Override
    public void close() {
        process.destroy();
    }
}
