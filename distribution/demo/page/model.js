// An artifact in onnxruntime-web: pictures in, pictures out. What it knows of the model is app/model.json, the file that apps read, and
// demo.json, which says what the photo, the style and the picture are called.
import * as ort from "./runtime/ort.wasm.min.mjs";

export async function load(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${answer.statusText}`);
  return answer;
}

export class Model {
  #sessions = new Map();
  #last = Promise.resolve();

  static async open() {
    const model = new Model();
    Object.assign(model, await (await load("demo.json")).json());
    const { graphs, codes, styles } = await (await load("app/model.json")).json();
    model.graphs = graphs;
    model.codes = codes;
    model.styles = [...styles.map(({ name, file }) => ({ name, url: `app/${file}`, isCode: true })), ...model.artworks];
    ort.env.wasm.wasmPaths = new URL("runtime/", location).href;
    ort.env.wasm.numThreads = crossOriginIsolated ? model.threads : 1;
    ort.env.wasm.proxy = true; // in a worker of its own, or the page would stand still
    for (const { name, file } of graphs) {
      const bytes = new Uint8Array(await (await load(`web/${file}`)).arrayBuffer());
      model.#sessions.set(name, await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] }));
    }
    const tensors = graphs.flatMap(({ inputs, outputs }) => [...inputs, ...outputs]);
    model.tensor = Object.fromEntries(tensors.map((spec) => [spec.name, spec]));
    return model;
  }

  // What the graphs make of a style: a name of `styles`, or an image file (Blob) of which the centre counts.
  async prepare(style) {
    if (!this.style) return {};
    const found = style instanceof Blob ? { url: null } : this.styles.find(({ name }) => name === style);
    if (!found) throw new Error(`no style '${style}'; there are ${this.styles.map(({ name }) => name).join(", ")}`);
    if (found.isCode) return this.#split(new Float32Array(await (await load(found.url)).arrayBuffer()));
    const spec = this.tensor[this.style];
    const blob = found.url ? await (await load(found.url)).blob() : style;
    return this.#advance({ [spec.name]: encode(spec, await centre(blob, spec)) });
  }

  // A photo (Blob) -> ImageData before and after, and the milliseconds that the graphs took. One at a time, in the order of the calls.
  paint(photo, style, scalars = {}) {
    return (this.#last = this.#last.catch(() => {}).then(() => this.#paint(photo, style, scalars)));
  }

  async #paint(photo, style, scalars) {
    const spec = this.tensor[this.photo];
    const before = await whole(photo, spec);
    if (this.prepared?.style !== style) this.prepared = { style, known: await this.prepare(style) };
    const known = { ...this.prepared.known, [spec.name]: encode(spec, before) };
    for (const name of this.scalars) {
      known[name] = new ort.Tensor("float32", [scalars[name] ?? this.tensor[name].maximum], this.tensor[name].shape);
    }
    const start = performance.now();
    const picture = (await this.#advance(known))[this.picture];
    const milliseconds = performance.now() - start;
    const after = decode(this.tensor[this.picture], picture.data, before.width * this.factor, before.height * this.factor);
    return { before, after, milliseconds };
  }

  // Runs every graph all of whose inputs are known, in order; what is known afterwards.
  async #advance(given) {
    const known = { ...given };
    for (const { name, inputs, outputs } of this.graphs) {
      if (outputs.every((spec) => spec.name in known) || !inputs.every((spec) => spec.name in known)) continue;
      const feeds = Object.fromEntries(inputs.map((spec) => [spec.name, copy(known[spec.name])]));
      Object.assign(known, await this.#sessions.get(name).run(feeds));
    }
    return known;
  }

  #split(values) {
    let start = 0;
    return Object.fromEntries(this.codes.map(({ name, length }) => {
      const part = values.slice(start, (start += length));
      return [name, new ort.Tensor("float32", part, this.tensor[name].shape)];
    }));
  }
}

// The worker takes what it is given away from the page.
const copy = (tensor) => new ort.Tensor(tensor.type, tensor.data.slice(), tensor.dims);

const decoded = (blob) => createImageBitmap(blob, { colorSpaceConversion: "none" }); // as the toolchain reads pictures: profiles are ignored

// The photo in its proportions, reduced to fit the network's window.
async function whole(blob, { shape: [, channels, height, width] }) {
  const bitmap = await decoded(blob);
  const reduction = Math.min(1, width / bitmap.width, height / bitmap.height);
  const size = [bitmap.width, bitmap.height].map((length) => Math.max(1, Math.round(length * reduction)));
  return resized(bitmap, [0, 0, bitmap.width, bitmap.height], size, channels);
}

// The centre of a picture in the proportions of the network's input.
async function centre(blob, { shape: [, channels, height, width] }) {
  const bitmap = await decoded(blob);
  const share = Math.min(bitmap.width / width, bitmap.height / height);
  const [w, h] = [Math.round(width * share), Math.round(height * share)];
  return resized(bitmap, [(bitmap.width - w) >> 1, (bitmap.height - h) >> 1, w, h], [width, height], channels);
}

async function resized(bitmap, part, [width, height], channels) {
  const small = await createImageBitmap(bitmap, ...part, { resizeWidth: width, resizeHeight: height, resizeQuality: "high" });
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.fillStyle = "white";
  if (channels < 4) context.fillRect(0, 0, width, height); // what is transparent lies on white paper
  context.drawImage(small, 0, 0);
  return context.getImageData(0, 0, width, height);
}

// Of a picture's channel the network's, and the other way round.
const ordered = ({ order }, channel) => (order === "BGR" && channel < 3 ? 2 - channel : channel);
const mirrored = (place, length) => ((place %= 2 * length), place < length ? place : 2 * length - 1 - place);
const luma = ([red, green, blue]) => (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16; // ITU-R BT.601

// Levels 0 to 255 -> (1, C, H, W), mirrored at the lower and right border up to the network's size.
function encode(spec, { data, width: w, height: h }) {
  const { shape: [, channels, height, width], minimum, maximum, mean, std } = spec;
  const values = new Float32Array(channels * height * width);
  for (let channel = 0, index = 0; channel < channels; channel++) {
    const own = ordered(spec, channel);
    for (let y = 0; y < height; y++) for (let x = 0; x < width; x++, index++) {
      const pixel = 4 * (mirrored(y, h) * w + mirrored(x, w));
      const level = channels === 1 ? luma(data.subarray(pixel, pixel + 3)) : data[pixel + own];
      values[index] = ((level / 255) * (maximum - minimum) + minimum - (mean[channel] ?? 0)) / (std[channel] ?? 1);
    }
  }
  return new ort.Tensor("float32", values, spec.shape);
}

function decode(spec, values, w, h) {
  const { shape: [, channels, height, width], minimum, maximum, mean, std } = spec;
  const image = new ImageData(w, h);
  for (let y = 0; y < h; y++) for (let x = 0; x < w; x++) for (let level = 0; level < 4; level++) {
    const channel = ordered(spec, channels === 1 ? 0 : level);
    const value = values[(channel * height + y) * width + x] * (std[channel] ?? 1) + (mean[channel] ?? 0);
    image.data[4 * (y * w + x) + level] = level === 3 && channels < 4 ? 255 : ((value - minimum) / (maximum - minimum)) * 255;
  }
  return image;
}
