// Masked iterative decoding, as helpers/vampnet/decoding.py has it (MaskGIT, Chang et al. 2022; VampNet,
// arXiv 2307.04686): all masked tokens are sampled at once, the least certain are masked again, fewer at each
// step. Codes (Int32Array) and masks (1 = generate) go codebook after codebook; MASK is the codebook size.

import { Generator, gumbel } from "../noise.js";
import { filterTopP, filterTypical, logSumExp } from "../sampling.js";

const { fround } = Math;

export const DEFAULTS = {
  steps: 12,
  temperature: 1,
  mask_temperature: 10.5,
  typical_mass: null,
  typical_min_tokens: 64,
  top_p: null,
  sample_cutoff: 1,
  greedy: false,
};

/** The share of tokens still masked at `progress` (0 to 1): cos(pi/2 * progress), in float32. */
export function cosineSchedule(progress) {
  const angle = fround(fround(fround(progress) * fround(Math.PI)) / 2);
  return Math.min(1, Math.max(fround(1e-10), fround(Math.cos(angle))));
}

/** How many tokens are masked again: ever fewer, at least one, none after the last step. */
export function nRemasked(step, nSteps, nStart, nNow) {
  const count = Math.floor(fround(cosineSchedule((step + 1) / nSteps) * fround(nStart)));
  return step + 1 < nSteps ? Math.max(1, Math.min(nNow - 1, count)) : count;
}

/** Adds to the confidence of each place Gumbel noise that fades to nothing by the last step. */
function shake(confidence, entropy, step, settings) {
  const size = settings.greedy ? 0 : settings.mask_temperature * (1 - (step + 1) / settings.steps);
  if (size === 0) return;
  const uniform = new Generator([...entropy, step, 1]).floats(confidence.length);
  for (let i = 0; i < confidence.length; i++) confidence[i] += fround(fround(size) * gumbel(uniform[i]));
}

/** One token for a row of logits, and its log-probability. Without uniform noise, the most probable token. */
export function choose(logits, settings, uniform) {
  if (uniform && settings.typical_mass !== null) {
    logits = filterTypical(logits, settings.typical_mass, settings.typical_min_tokens);
  }
  if (uniform && settings.top_p !== null) logits = filterTopP(logits, settings.top_p);
  const temperature = fround(settings.temperature);
  logits = logits.map((logit) => logit / temperature);
  let [token, best] = [0, -Infinity];
  for (let i = 0; i < logits.length; i++) {
    const value = uniform ? fround(logits[i] + gumbel(uniform[i])) : logits[i];
    if (value > best) [token, best] = [i, value];
  }
  return [token, fround(logits[token] - logSumExp(logits))];
}

/** Marks the `count` least confident places: those below the count-th in order. */
export function leastConfident(confidence, count) {
  const threshold = Float32Array.from(confidence).sort()[Math.min(count, confidence.length - 1)];
  return Uint8Array.from(confidence, (value) => (value < threshold ? 1 : 0));
}

/** Places (frame, book) of the books that are predicted, frame after frame: where each is in the codes. */
function placesOf(nBooks, nFrames, nGiven) {
  const nPredicted = nBooks - nGiven;
  return Int32Array.from({ length: nFrames * nPredicted }, (_, place) => {
    const [frame, book] = [Math.floor(place / nPredicted), nGiven + (place % nPredicted)];
    return book * nFrames + frame;
  });
}

/**
 * Fills the masked places of the codes; yields { codes, masked, confidence } after each step: all places
 * filled, those that the next step generates anew, and how sure each was (infinitely where it was given).
 *
 * logitsOf: codes with MASK -> a promise of logits (books predicted, frames, V). The first `nGiven` of the
 * nBooks are only read. entropy: seed, and what tells the noise of stages and chunks apart.
 */
export async function* decodeMasked(logitsOf, codes, mask, nBooks, nGiven, maskToken, settings, entropy) {
  const nFrames = codes.length / nBooks;
  const places = placesOf(nBooks, nFrames, nGiven);
  const offset = nGiven * nFrames; // the logits begin with the first book that is predicted
  let masked = Uint8Array.from(places, (at) => (mask[at] || codes[at] === maskToken ? 1 : 0));
  const nStart = masked.reduce((sum, one) => sum + one, 0);
  const filled = Int32Array.from(codes);

  for (let step = 0; step < settings.steps; step++) {
    const asked = Int32Array.from(filled);
    places.forEach((at, place) => {
      if (masked[place]) asked[at] = maskToken;
    });
    const logits = await logitsOf(asked);
    const samples = !settings.greedy && step / settings.steps <= settings.sample_cutoff;
    const noise = samples && new Generator([...entropy, step, 0]);
    const confidence = new Float32Array(places.length).fill(Infinity);
    for (let place = 0; place < places.length; place++) {
      if (!masked[place]) {
        if (noise) noise.skip(maskToken); // a place has its own noise, whatever else is masked
        continue;
      }
      const at = places[place];
      const row = logits.subarray((at - offset) * maskToken, (at - offset + 1) * maskToken);
      [filled[at], confidence[place]] = choose(row, settings, noise && noise.floats(maskToken));
    }
    shake(confidence, entropy, step, settings);
    const nNow = masked.reduce((sum, one) => sum + one, 0);
    masked = leastConfident(confidence, nRemasked(step, settings.steps, nStart, nNow));
    yield spread({ filled, masked, confidence, places });
  }
}

/** The arrays of a step in the codes' order. */
function spread({ filled, masked, confidence, places }) {
  const maskedThere = new Uint8Array(filled.length);
  const confidenceThere = new Float32Array(filled.length).fill(Infinity);
  places.forEach((at, place) => {
    maskedThere[at] = masked[place];
    confidenceThere[at] = confidence[place];
  });
  return { codes: Int32Array.from(filled), masked: maskedThere, confidence: confidenceThere };
}
