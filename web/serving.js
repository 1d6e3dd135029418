// A pipeline in a thread of its own: the page stays alive while it computes, and can end it at once.
// A message asks for one thing, { id, ask, ... }; answers: { id, step }, then { id, done } or { id, failed }.
// A tensor is { data, shape }, data an Int32Array where the graph has int64.

import * as ort from "./ort.js";

const MOST_THREADS = 2; // more gain little; a page has them where a server isolates it from all others

async function unpacked(blob) {
  const stream = blob.stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function toRuntime({ data, shape }) {
  return data instanceof Int32Array
    ? new ort.Tensor("int64", BigInt64Array.from(data, BigInt), shape)
    : new ort.Tensor("float32", data, shape);
}

function fromRuntime({ type, data, dims }) {
  return { data: type === "int64" ? Int32Array.from(data, Number) : data, shape: [...dims] };
}

/** A graph as a function of tensors, in its inputs' order, to its outputs; its session starts when first called. */
function graphOf(blob) {
  let starting = null;
  return async (...tensors) => {
    starting ??= unpacked(blob).then((bytes) =>
      ort.InferenceSession.create(bytes, { executionProviders: ["wasm"], logSeverityLevel: 3 }),
    );
    const session = await starting;
    const feeds = session.inputNames.map((name, i) => [name, toRuntime(tensors[i])]);
    const outputs = await session.run(Object.fromEntries(feeds));
    return session.outputNames.map((name) => fromRuntime(outputs[name]));
  };
}

/**
 * Answers the page from now on. made: from the page's `given` and the graphs by name to a pipeline.
 * answers: what is asked -> function of (pipeline, what was given, onStep).
 */
export function serve(made, answers) {
  let pipeline = null;

  async function open({ runtime, graphs, ...given }) {
    const numThreads = globalThis.crossOriginIsolated ? MOST_THREADS : 1;
    Object.assign(ort.env.wasm, { wasmBinary: await unpacked(runtime), numThreads, proxy: false });
    ort.env.logLevel = "error";
    const named = Object.entries(graphs).map(([name, blob]) => [name, graphOf(blob)]);
    pipeline = made(given, Object.fromEntries(named));
    return numThreads;
  }

  globalThis.onmessage = async ({ data: { id, ask, ...given } }) => {
    const told = (step) => postMessage({ id, step });
    try {
      const done = ask === "open" ? open(given) : answers[ask](pipeline, given, told);
      postMessage({ id, done: await done });
    } catch (error) {
      postMessage({ id, failed: String(error?.message ?? error) });
    }
  };
  postMessage("here");
}
