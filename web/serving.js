// A pipeline in a thread of its own: the page stays alive while it computes, and can end it at once.
// A message asks for one thing, { id, ask, ... }; answers: { id, step }, then { id, done } or { id, failed }.

import { graphOf, setUp } from "./graphs.js";

const MOST_THREADS = 2; // a page may have several where a server isolates it from all others

async function unpacked(blob) {
  const stream = blob.stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/**
 * Answers the page from now on. made: from the page's `given` and the graphs by name to a pipeline.
 * answers: what is asked -> function of (pipeline, what was given, onStep).
 */
export function serve(made, answers) {
  let pipeline = null;

  /** Gets the pipeline ready; on how many threads it computes. */
  async function open({ runtime, graphs, ...given }) {
    const nThreads = globalThis.crossOriginIsolated ? MOST_THREADS : 1;
    setUp(await unpacked(runtime), nThreads);
    const named = Object.entries(graphs).map(([name, blob]) => [name, graphOf(() => unpacked(blob))]);
    pipeline = made(given, Object.fromEntries(named));
    return nThreads;
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
