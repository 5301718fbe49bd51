// The exported student in this browser: its graph in onnxruntime-web (WebAssembly, one thread), asked one picture at a
// time. Files of another export than web.json's are refused: each is fetched by the sha256 that web.json has of it.

import * as ort from "./ort/ort.wasm.min.mjs";
import { prepare } from "./pixels.js";

ort.env.wasm.numThreads = 1; // more would ask the server for headers that most do not send

export async function loadClassifier() {
  const began = performance.now();
  const about = await (await fetched("web.json")).json();
  const [graph] = Object.values(about.exported.graphs);
  const bytes = await (await fetched(graph.file, about.page.files[graph.file])).arrayBuffer();
  const session = await ort.InferenceSession.create(new Uint8Array(bytes), { executionProviders: ["wasm"] });
  const classifier = new Classifier(about, session);
  await classifier.warm();
  return Object.assign(classifier, { loadMs: performance.now() - began });
}

async function fetched(file, integrity) {
  let response;
  try {
    response = await fetch(file, { cache: "no-cache", ...(integrity ? { integrity } : {}) });
  } catch (error) {
    const why = integrity ? "it may be of another export: copy the whole folder again" : error.message;
    throw new Error(`${file} cannot be loaded (${why})`);
  }
  if (!response.ok) throw new Error(`${file} cannot be loaded (the server says ${response.status})`);
  return response;
}

class Classifier {
  constructor(about, session) {
    this.about = about;
    this.session = session;
    [[this.input, this.settings]] = Object.entries(about.preprocessing.inputs);
  }

  // The first run is slower than those after it.
  warm() {
    const { channels, size } = this.settings;
    return this.run(new Float32Array(channels * size * size));
  }

  async run(values) {
    const { channels, size } = this.settings;
    const tensor = new ort.Tensor("float32", values, [1, channels, size, size]);
    const { logits } = await this.session.run({ [this.input]: tensor }, ["logits"]);
    return Float32Array.from(logits.data);
  }

  // Of RGBA pixels {data, width, height}: logits, the classes by probability, and milliseconds.
  async classify(picture) {
    const began = performance.now(), values = prepare(picture, this.settings);
    const prepared = performance.now(), logits = await this.run(values);
    const answered = performance.now();
    if (!logits.every(Number.isFinite)) throw new Error("the student's answer to this picture is no finite number");
    const times = { prepareMs: prepared - began, runMs: answered - prepared };
    return { logits, classes: likeliest(logits, this.about.labels), ...times };
  }
}

// [{number, name, probability}], the likeliest first; the softmax at temperature 1.
function likeliest(logits, labels) {
  const most = Math.max(...logits), shares = Array.from(logits, logit => Math.exp(logit - most));
  const sum = shares.reduce((a, b) => a + b);
  const found = shares.map((share, number) => ({ number, name: labels?.[number] ?? `${number}`, probability: share / sum }));
  return found.sort((a, b) => b.probability - a.probability || a.number - b.number);
}
