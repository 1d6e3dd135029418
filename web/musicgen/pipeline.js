// What helpers/musicgen/pipeline.py does with a bundle, for one piece: listen, read, go on, sound. Audio is mono
// float32 at the bundle's rate.

import { Cache } from "./cache.js";
import { choose, DEFAULTS, fill, undelayed, UNKNOWN, windows } from "./decoding.js";
import { Tokenizer } from "./tokenizer.js";

const STRIDE = 0.6; // of a window: how far the next one begins behind it

export class Pipeline {
  /**
   * spec: the numbers of bundle.json. graphs: name -> function of tensors to a promise of tensors, see serving.js.
   * tables: the tokenizer's, or null.
   */
  constructor(spec, graphs, tables) {
    Object.assign(this, { spec, graphs, tokenizer: tables && new Tokenizer(tables) });
  }

  /** Codes (K, T) of audio, T = its length in hops, rounded up. */
  async encode(audio) {
    const [codes] = await this.graphs.encodec_encoder({ data: audio, shape: [1, 1, audio.length] });
    if (codes.shape[1] !== this.spec.n_codebooks) throw new Error("the codec's graph is of another model");
    return codes.data;
  }

  /** Audio of codes. */
  async decode(codes) {
    const { n_codebooks: nBooks } = this.spec;
    const shape = [1, nBooks, codes.length / nBooks];
    const [audio] = await this.graphs.encodec_decoder({ data: codes, shape });
    return audio.data;
  }

  /** What the language model reads: { states, mask }, tensors of one item; without a text, nothing. */
  async condition(text) {
    const { width, text_padding: padding } = this.spec;
    if (text === null || (text === "" && padding === "attend"))
      return {
        states: { data: new Float32Array(width), shape: [1, 1, width] },
        mask: { data: new Int32Array(1), shape: [1, 1] },
      };
    if (!this.tokenizer) throw new Error("this bundle has no tokenizer, and reads no text");
    const ids = this.tokenizer.ids(text);
    const shape = [1, ids.length];
    const mask = { data: new Int32Array(ids.length).fill(1), shape };
    const [states] = await this.graphs.text_encoder({ data: ids, shape }, mask);
    return { states, mask };
  }

  /** A function of the columns that follow, (K, S), to a promise of the guided logits (K, V) of the last. */
  async listener(condition, guidance) {
    const { spec } = this;
    const isGuided = guidance !== 1 && condition.states.data.some((one) => one !== 0);
    const batch = isGuided ? 2 : 1;
    const states = twice(condition.states, isGuided, 0);
    const mask = twice(condition.mask, isGuided);
    if (spec.text_padding !== "mask") mask.data.fill(1);
    const text = await this.graphs.lm_text(states);
    const cache = new Cache(batch, spec.n_layers, spec.n_heads, spec.width / spec.n_heads);
    const factor = Math.fround(guidance);
    return async (columns) => {
      const n = columns.length / spec.n_codebooks;
      const codes = twice({ data: columns, shape: [1, spec.n_codebooks, n] }, isGuided);
      const past = { data: Int32Array.of(cache.n), shape: [] };
      const [logits, ...made] = await this.graphs.lm(codes, mask, past, ...text, ...cache.tensors);
      cache.add(made);
      const said = this.last(logits, 0);
      if (!isGuided) return said;
      const unsaid = this.last(logits, 1);
      return unsaid.map((u, i) => u + Math.fround(factor * Math.fround(said[i] - u)));
    };
  }

  /** The logits (K, V) of an item's last column. */
  last({ data, shape }, item) {
    const [, nBooks, n, size] = shape;
    if (nBooks !== this.spec.n_codebooks || size !== this.spec.codebook_size)
      throw new Error("the language model's graph is of another model");
    const logits = new Float32Array(nBooks * size);
    for (let book = 0; book < nBooks; book++) {
      const at = ((item * nBooks + book + 1) * n - 1) * size;
      logits.set(data.subarray(at, at + size), book * size);
    }
    return logits;
  }

  /** Whole frames in a time, as the models count them. */
  frames(seconds) {
    return Math.floor(seconds * this.spec.frame_rate);
  }

  /**
   * Music from a text (or null), from audio that goes on (or null), or from both: { codes, audio }.
   *
   * settings: seconds, of the whole, the prompt included; seed; how tokens are chosen. onStep is told of each
   * column: { column, nColumns }.
   */
  async generate({ text, audio, settings }, onStep = () => {}) {
    const { spec } = this;
    const { n_codebooks: nBooks, delays, special_token: special } = spec;
    const { seconds, seed, ...how } = { seconds: 10, seed: 0, ...DEFAULTS, ...settings };
    const nFrames = this.frames(seconds);
    const prompt = audio ? await this.encode(audio) : new Int32Array(0);
    const nGiven = prompt.length / nBooks;
    if (nGiven >= nFrames) throw new Error("the sound alone is as long as the whole; ask for more seconds");
    const codes = new Int32Array(nBooks * nFrames).fill(UNKNOWN);
    for (let book = 0; book < nBooks; book++)
      codes.set(prompt.subarray(book * nGiven, (book + 1) * nGiven), book * nFrames);
    const longest = this.frames(spec.max_seconds);
    const stride = Math.max(1, Math.floor(longest * STRIDE + 1e-9));
    const condition = await this.condition(text);
    const nColumns = 1 + nFrames + Math.max(...delays);
    for (const [first, length, nKnown] of windows(nFrames, nGiven, longest, stride)) {
      const part = new Int32Array(nBooks * length);
      for (let book = 0; book < nBooks; book++)
        part.set(codes.subarray(book * nFrames + first, book * nFrames + first + length), book * length);
      const listener = await this.listener(condition, how.guidance);
      const pick = (logits, column) => choose(logits, nBooks, how, seed, first, column);
      let filled = null;
      for await (const [column, columns] of fill(listener, part, nKnown, delays, special, pick)) {
        filled = columns;
        onStep({ column: first + column, nColumns });
      }
      const made = undelayed(filled, delays);
      for (let book = 0; book < nBooks; book++)
        codes.set(made.subarray(book * length, (book + 1) * length), book * nFrames + first);
    }
    return { codes, audio: await this.decode(codes) };
  }
}

/** A tensor of one item, or with `isTwo` of two: itself once more, or filled with a number. */
function twice({ data, shape }, isTwo, filling = null) {
  if (!isTwo) return { data: data.slice(), shape };
  const both = new data.constructor(2 * data.length);
  both.set(data);
  if (filling === null) both.set(data, data.length);
  else both.fill(filling, data.length);
  return { data: both, shape: [2, ...shape.slice(1)] };
}
