// Serves onnxruntime-web to the process that started this one: node worker.mjs LIBRARY THREADS ANSWERS
//
// Questions come on standard input, answers go to the file descriptor ANSWERS: the runtime itself prints to standard output. Both are
// frames of a length (32 bits, little endian), a JSON object of that length, and after it the float32 numbers of its `tensors` in order.
import fs from "node:fs";
import { pathToFileURL } from "node:url";

const [libraryPath, threads, answers] = process.argv.slice(2);
const ort = await import(pathToFileURL(libraryPath).href);
ort.env.wasm.numThreads = Number(threads);
const sessions = new Map();
let nextSession = 1;

const handlers = {
  async open({ file }) {
    const options = { executionProviders: ["wasm"], logSeverityLevel: 4 };
    const session = await ort.InferenceSession.create(new Uint8Array(fs.readFileSync(file)), options);
    sessions.set(nextSession, session);
    return [{ session: nextSession++ }];
  },
  async run({ session, tensors }, arrays) {
    const feeds = {};
    tensors.forEach(({ name, shape }, index) => (feeds[name] = new ort.Tensor("float32", arrays[index], shape)));
    const results = Object.entries(await sessions.get(session).run(feeds));
    return [{ tensors: results.map(([name, { dims }]) => ({ name, shape: dims })) }, results.map(([, { data }]) => data)];
  },
  async close({ session }) {
    await sessions.get(session).release();
    sessions.delete(session);
    return [{}];
  },
  async memory() {
    return [{ peak: process.resourceUsage().maxRSS * 1024 }];
  },
};

function read(length) {
  const buffer = Buffer.alloc(length);
  for (let done = 0; done < length; ) {
    const count = fs.readSync(0, buffer, done, length - done, null);
    if (count === 0) process.exit(0); // whoever asked is gone
    done += count;
  }
  return buffer;
}

function write(buffer) {
  for (let done = 0; done < buffer.length; ) done += fs.writeSync(Number(answers), buffer, done);
}

function answer(header, arrays = []) {
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(text.length);
  write(Buffer.concat([length, text]));
  for (const array of arrays) write(Buffer.from(array.buffer, array.byteOffset, array.byteLength));
}

answer({ library: ort.env.versions.web, node: process.versions.node, baseline: process.memoryUsage.rss() });
for (;;) {
  const question = JSON.parse(read(read(4).readUInt32LE()));
  const arrays = (question.tensors ?? []).map(({ shape }) => {
    const count = shape.reduce((product, length) => product * length, 1);
    return new Float32Array(read(4 * count).buffer.slice(0));
  });
  try {
    answer(...(await handlers[question.op](question, arrays)));
  } catch (error) {
    answer({ error: String(error?.message ?? error) });
  }
}
