// What helpers/vampnet/pipeline.py does with a bundle: encode, fill in coarse then fine tokens, decode.
// Audio is mono float32 at the bundle's rate. Codes (Int32Array) and masks (Uint8Array) go codebook after
// codebook.

import { decodeMasked, DEFAULTS } from "./decoding.js";
import { matched, normalized } from "./loudness.js";
import { secondsToFrames } from "./masks.js";
import { evenSize, windows } from "./windows.js";

const STAGES = ["coarse", "c2f"];
const TARGET_LUFS = -24; // the loudness VampNet's models were trained at
const PIECE_SECONDS = 5; // how much audio is worked on at once; more takes memory and no less time

/** A part of time of an array (rows, n), filled up to `length` with `filling`. */
function cut(array, rows, from, to, length = to - from, filling = 0) {
  const n = array.length / rows;
  const part = new array.constructor(rows * length).fill(filling);
  for (let row = 0; row < rows; row++) part.set(array.subarray(row * n + from, row * n + to), row * length);
  return part;
}

/** The opposite of `cut`: writes the part, but for what fills it up, into the array. */
function put(array, part, rows, from, to) {
  const [n, length] = [array.length / rows, part.length / rows];
  for (let row = 0; row < rows; row++) {
    array.set(part.subarray(row * length, row * length + to - from), row * n + from);
  }
}

function fitted(audio, length) {
  const result = new Float32Array(length);
  result.set(audio.subarray(0, length));
  return result;
}

export class Pipeline {
  /**
   * spec: the numbers of bundle.json. graphs: name -> function of tensors to a promise of tensors, see serving.js.
   */
  constructor(spec, graphs) {
    this.spec = spec;
    this.graphs = graphs;
    this.maskToken = spec.codebook_size;
  }

  /** Codes of audio of any loudness. */
  async encode(audio) {
    const { spec } = this;
    const lost = (spec.shortest_input - 1) * spec.hop; // what a codec with odd rates would lose from the end
    const conditioned = normalized(fitted(audio, audio.length + lost), spec.sample_rate, TARGET_LUFS);
    const nHops = Math.max(Math.ceil(conditioned.length / spec.hop), spec.shortest_input);
    const padded = fitted(conditioned, nHops * spec.hop);
    return this.inPieces(
      "codec_encoder",
      padded,
      1,
      nHops,
      spec.encoder_context,
      spec.hop,
      spec.n_codebooks,
      1,
    );
  }

  /** Audio of codes, as long as their frames say. */
  async decode(codes) {
    const { spec } = this;
    const nFrames = codes.length / spec.n_codebooks;
    return this.inPieces(
      "codec_decoder",
      codes,
      spec.n_codebooks,
      nFrames,
      spec.decoder_context,
      1,
      1,
      spec.hop,
    );
  }

  /** A convolutional graph over n frames, a few seconds at a time: what it gives for all at once. */
  async inPieces(graph, input, rowsIn, nFrames, context, stepIn, rowsOut, stepOut) {
    const longest = secondsToFrames(PIECE_SECONDS, this.spec);
    const parts = [];
    for (const { begin, end, from, to } of windows(nFrames, evenSize(nFrames, longest), context)) {
      const piece = cut(input, rowsIn, begin * stepIn, end * stepIn);
      const output = await this.run(graph, piece, [1, rowsIn, (end - begin) * stepIn]);
      const n = output.length / rowsOut;
      parts.push(cut(output, rowsOut, from * stepOut, Math.min(n, to * stepOut)));
    }
    const total = parts.reduce((sum, part) => sum + part.length, 0);
    const whole = new parts[0].constructor(total);
    let at = 0;
    for (const part of parts) {
      put(whole, part, rowsOut, at, at + part.length / rowsOut);
      at += part.length / rowsOut;
    }
    return whole;
  }

  /** The places of the coarse codebooks to generate: a chunk that keeps anything keeps its ends too. */
  coarseMask(mask) {
    const { n_coarse_codebooks: nBooks, coarse_chunk: length, n_codebooks } = this.spec;
    const nFrames = mask.length / n_codebooks;
    const coarse = mask.slice(0, nBooks * nFrames);
    for (let start = 0; start < nFrames; start += length) {
      const end = Math.min(nFrames, start + length);
      if (cut(coarse, nBooks, start, end).every(Boolean)) continue;
      for (let book = 0; book < nBooks; book++)
        coarse[book * nFrames + start] = coarse[book * nFrames + end - 1] = 0;
    }
    return coarse;
  }

  /** The places that `vamp` generates with this mask: a few ends of chunks fewer. */
  generated(mask) {
    const { n_codebooks: nBooks, n_conditioning_codebooks: nKept } = this.spec;
    const generated = Uint8Array.from(mask);
    generated.set(this.coarseMask(mask).subarray(0, (nKept * mask.length) / nBooks));
    return generated;
  }

  /** Coarse, then fine, with the same mask, settings and seed. onStep: told of each step, see `fill`. */
  async vamp(codes, mask, settings, onStep = () => {}) {
    const { spec } = this;
    const {
      seed,
      steps,
      fine_steps: fineSteps,
      ...how
    } = { ...DEFAULTS, seed: 0, fine_steps: 2, ...settings };
    const nFrames = codes.length / spec.n_codebooks;
    const coarseSize = spec.n_coarse_codebooks * nFrames;
    const filled = Int32Array.from(codes);
    const [coarse, coarseMask] = [filled.slice(0, coarseSize), this.coarseMask(mask)];
    await this.fill("coarse", coarse, coarseMask, 0, spec.coarse_chunk, 0, { ...how, steps }, seed, onStep);
    filled.set(coarse);
    const nKept = spec.n_conditioning_codebooks;
    const fineMask = Uint8Array.from(mask).fill(0, 0, nKept * nFrames);
    const { c2f_chunk: length } = spec;
    await this.fill(
      "c2f",
      filled,
      fineMask,
      nKept,
      length,
      length,
      { ...how, steps: fineSteps },
      seed,
      onStep,
    );
    return filled;
  }

  /**
   * Masked decoding chunk by chunk, `length` frames each, into the codes. A chunk shorter than `shortest` is
   * padded with tokens 0, and the padding is generated too, in all but the first nKept books.
   */
  async fill(graph, codes, mask, nKept, length, shortest, settings, seed, onStep) {
    const nBooks = graph === "coarse" ? this.spec.n_coarse_codebooks : this.spec.n_codebooks;
    const nFrames = codes.length / nBooks;
    const nChunks = Math.ceil(nFrames / length);
    for (let chunk = 0; chunk < nChunks; chunk++) {
      const [start, end] = [chunk * length, Math.min((chunk + 1) * length, nFrames)];
      if (!cut(mask, nBooks, start, end).some(Boolean)) continue;
      const padded = Math.max(end - start, shortest);
      const chunkMask = cut(mask, nBooks, start, end, padded, 1);
      for (let book = 0; book < nKept; book++)
        chunkMask.fill(0, book * padded + end - start, (book + 1) * padded);
      const logitsOf = (asked) => this.logits(graph, asked, nBooks, nBooks - nKept);
      const chunkCodes = cut(codes, nBooks, start, end, padded);
      const entropy = [seed, STAGES.indexOf(graph), chunk];
      let step = 0;
      const run = decodeMasked(
        logitsOf,
        chunkCodes,
        chunkMask,
        nBooks,
        nKept,
        this.maskToken,
        settings,
        entropy,
      );
      for await (const { codes: filled, masked } of run) {
        put(codes, filled, nBooks, start, end);
        step += 1;
        onStep({
          stage: graph,
          chunk,
          nChunks,
          start,
          step,
          nSteps: settings.steps,
          codes: cut(filled, nBooks, 0, end - start),
          masked: cut(masked, nBooks, 0, end - start),
        });
      }
    }
  }

  /** The array that comes out of a graph for one that goes in. */
  async run(graph, data, shape) {
    const [output] = await this.graphs[graph]({ data, shape });
    return output.data;
  }

  async logits(graph, codes, nBooks, nPredicted) {
    const logits = await this.run(graph, codes, [1, nBooks, codes.length / nBooks]);
    if (logits.length !== (codes.length / nBooks) * nPredicted * this.maskToken) {
      throw new Error(`${graph} gives logits of another shape than bundle.json says; export it again`);
    }
    return logits;
  }

  /** Audio to audio: vamped, as long and as loud as it came, and by how many decibels that failed. */
  async vampAudio(audio, codes, mask, settings, onStep) {
    const made = await this.vamp(codes, mask, settings, onStep);
    const [vamped, missingDb] = matched(
      fitted(await this.decode(made), audio.length),
      audio,
      this.spec.sample_rate,
    );
    return { audio: vamped, codes: made, mask: this.generated(mask), missingDb };
  }
}
