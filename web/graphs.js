// ONNX Runtime Web, as functions of tensors. A tensor is { data, shape }, data an Int32Array where the graph has
// int64.

import * as ort from "./runtime/ort.js";

function toRuntime({ data, shape }) {
  return data instanceof Int32Array
    ? new ort.Tensor("int64", BigInt64Array.from(data, BigInt), shape)
    : new ort.Tensor("float32", data, shape);
}

function fromRuntime({ type, data, dims }) {
  return { data: type === "int64" ? Int32Array.from(data, Number) : data, shape: [...dims] };
}

/** Before the first graph: the runtime's WebAssembly (bytes), and on how many threads it computes. */
export function setUp(wasmBinary, numThreads) {
  Object.assign(ort.env.wasm, { wasmBinary, numThreads, proxy: false });
  ort.env.logLevel = "error";
}

/**
 * A graph as a function of tensors, in its inputs' order, to its outputs. bytes: a function to a promise of the
 * file's, called when the graph first is.
 */
export function graphOf(bytes) {
  const options = { executionProviders: ["wasm"], logSeverityLevel: 3 };
  let starting = null;
  return async (...tensors) => {
    starting ??= bytes().then((file) => ort.InferenceSession.create(file, options));
    const session = await starting;
    const feeds = session.inputNames.map((name, i) => [name, toRuntime(tensors[i])]);
    const outputs = await session.run(Object.fromEntries(feeds));
    return session.outputNames.map((name) => fromRuntime(outputs[name]));
  };
}
