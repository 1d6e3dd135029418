// The models, in a thread of their own: the page stays alive while they compute, and can end them at once.
// A message asks for one thing, { id, ask, ... }; answers: { id, step }, then { id, done } or { id, failed }.

import * as ort from "./ort.js";
import { Pipeline } from "./pipeline.js";

let pipeline = null;

async function unpacked(blob) {
  const stream = blob.stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** A graph as a function of one array; its session starts at the first call. */
function graphOf(blob) {
  let starting = null;
  return async (array, shape) => {
    starting ??= unpacked(blob).then((bytes) =>
      ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] }),
    );
    const session = await starting;
    const input =
      array instanceof Int32Array
        ? new ort.Tensor("int64", BigInt64Array.from(array, BigInt), shape)
        : new ort.Tensor("float32", array, shape);
    const outputs = await session.run({ [session.inputNames[0]]: input });
    const { type, data } = outputs[session.outputNames[0]];
    return type === "int64" ? Int32Array.from(data, Number) : data;
  };
}

const answers = {
  async open({ spec, runtime, graphs }) {
    Object.assign(ort.env.wasm, { wasmBinary: await unpacked(runtime), numThreads: 1, proxy: false });
    ort.env.logLevel = "error";
    pipeline = new Pipeline(
      spec,
      Object.fromEntries(Object.entries(graphs).map(([name, blob]) => [name, graphOf(blob)])),
    );
  },
  encode: ({ audio }) => pipeline.encode(audio),
  vamp: ({ audio, codes, mask, settings }, onStep) =>
    pipeline.vampAudio(audio, codes, mask, settings, onStep),
};

onmessage = async ({ data: { id, ask, ...given } }) => {
  try {
    postMessage({ id, done: await answers[ask](given, (step) => postMessage({ id, step })) });
  } catch (error) {
    postMessage({ id, failed: String(error?.message ?? error) });
  }
};

postMessage("here");
