// Runs cases in the page's modules, without a browser: JSON in on stdin, JSON out on stdout.

import { readFileSync } from "node:fs";
import { choose, cosineSchedule, nRemasked } from "../../web/vampnet/decoding.js";
import { loudness, matched, normalized } from "../../web/vampnet/loudness.js";
import { maskOf } from "../../web/vampnet/masks.js";
import { Generator } from "../../web/noise.js";
import { PALETTE } from "../../web/palette.js";
import { Pipeline } from "../../web/vampnet/pipeline.js";
import { filterTopP, filterTypical } from "../../web/sampling.js";
import { windows } from "../../web/vampnet/windows.js";

const sum = (count, term) =>
  Array.from({ length: count }, (_, i) => term(i)).reduce((total, one) => total + one, 0);

/** Graphs that any language computes alike: whole numbers, and one division at the end. */
function graphsOf(spec) {
  const { hop, n_codebooks: books, codebook_size: size } = spec;
  const around = (t, n, context, term) => {
    const [from, to] = [Math.max(0, t - context), Math.min(n, t + context + 1)];
    return sum(to - from, (i) => term(from + i));
  };
  const encoder = (audio) => {
    const n = audio.length / hop;
    const frame = (t) => sum(hop, (i) => Math.floor(audio[t * hop + i] * 100));
    const frames = Array.from({ length: n }, (_, t) => frame(t));
    return Int32Array.from({ length: books * n }, (_, i) => {
      const wide = around(i % n, n, spec.encoder_context, (t) => frames[t]);
      return (((wide * (Math.floor(i / n) + 1)) % size) + size) % size;
    });
  };
  const decoder = (codes) => {
    const n = codes.length / books;
    const column = (t) => sum(books, (book) => (book + 1) * codes[book * n + t]);
    const frames = Array.from({ length: n }, (_, t) => around(t, n, spec.decoder_context, column));
    return Float32Array.from(
      { length: n * hop },
      (_, i) => ((frames[Math.floor(i / hop)] + 5 * i) % 97) / 97 - 0.5,
    );
  };
  const model =
    (predicted) =>
    (codes, [, given]) => {
      const n = codes.length / given;
      const column = (t) => sum(given, (book) => (book + 1) * codes[book * n + t]);
      const frames = Array.from({ length: n }, (_, t) => around(t, n, 1, column));
      return Float32Array.from({ length: predicted * n * size }, (_, i) => {
        const [book, t, token] = [Math.floor(i / size / n), Math.floor(i / size) % n, i % size];
        const place = frames[t] + 31 * token + 7 * book + 3 * t;
        return ((13 * place * place + 7919 * place) % 10007) / 1500 - 3;
      });
    };
  const tensors = (graph) => async ({ data, shape }) => [{ data: graph(data, shape) }];
  return {
    codec_encoder: tensors(encoder),
    codec_decoder: tensors(decoder),
    coarse: tensors(model(spec.n_coarse_codebooks)),
    c2f: tensors(model(books - spec.n_conditioning_codebooks)),
  };
}

const does = {
  floats({ entropy, parts }) {
    const generator = new Generator(entropy.map(BigInt));
    return parts.flatMap(([n, isSkipped]) =>
      isSkipped ? (generator.skip(n), []) : [...generator.floats(n)],
    );
  },
  doubles: ({ entropy, n }) => [...new Generator(entropy.map(BigInt)).doubles(n)],
  mask: ({ prompt, spec, frames, seed }) => [...maskOf(prompt, spec, frames, seed)],
  topP: ({ logits, mass }) => [...filterTopP(Float32Array.from(logits), mass)].map(Number.isFinite),
  typical: ({ logits, mass, least }) =>
    [...filterTypical(Float32Array.from(logits), mass, least)].map(Number.isFinite),
  choose: ({ logits, settings }) => choose(Float32Array.from(logits), settings, null),
  schedule: ({ progress }) => progress.map(cosineSchedule),
  remasked: ({ cases }) => cases.map((one) => nRemasked(...one)),
  windows: ({ frames, size, context }) =>
    windows(frames, size, context).map(({ begin, end, from, to }) => [
      begin,
      end,
      from,
      Number.isFinite(to) ? to : null,
    ]),
  loudness: ({ audio, rate }) => loudness(Float32Array.from(audio), rate),
  normalized: ({ audio, rate }) => [...normalized(Float32Array.from(audio), rate, -24)],
  matched({ audio, reference, rate }) {
    const [made, missing] = matched(Float32Array.from(audio), Float32Array.from(reference), rate);
    return [[...made], missing];
  },
  palette: () => [...PALETTE],
  async vamp({ spec, audio, mask, settings }) {
    const pipeline = new Pipeline(spec, graphsOf(spec));
    const samples = Float32Array.from(audio);
    const codes = await pipeline.encode(samples);
    const steps = [];
    const made = await pipeline.vampAudio(
      samples,
      codes,
      Uint8Array.from(mask),
      settings,
      ({ stage, chunk, step }) => steps.push([stage, chunk, step - 1]),
    );
    return {
      input: [...codes],
      codes: [...made.codes],
      mask: [...made.mask],
      audio: [...made.audio],
      missing: made.missingDb,
      steps,
    };
  },
};

const results = [];
for (const { does: what, ...given } of JSON.parse(readFileSync(0, "utf8")))
  results.push(await does[what](given));
console.log(JSON.stringify(results));
