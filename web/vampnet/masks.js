// Masks: which tokens the model generates (1) and which it keeps (0), as helpers/vampnet/masks.py and Prompt
// have them. A mask is a Uint8Array, codebook after codebook.

import { Generator } from "../noise.js";

const MASK_NOISE = 2; // tells the noise that draws a mask apart from the noise that draws tokens

export const PROMPT = {
  periodic: 7,
  width: 1,
  roll: 0,
  prefix: 0,
  suffix: 0,
  random: 1,
  dropout: 0,
  codebooks: 3,
};

/** Codec frames that cover so many seconds. */
export function secondsToFrames(seconds, spec) {
  return Math.ceil((seconds * spec.sample_rate) / spec.hop - 1e-6); // 0.07 * 100 is a hair over 7
}

/** Per frame: 0 at every `period`-th, `width` frames wide, cut at both ends, then moved right in a ring. */
function periodic(nFrames, period, width, roll) {
  const generated = new Uint8Array(nFrames).fill(1);
  if (period === 0) return generated;
  const side = Math.floor(width / 2);
  for (let frame = 0; frame < nFrames; frame += period) {
    generated.fill(0, Math.max(0, frame - side), frame + side + 1);
  }
  return generated.map((_, frame) => generated[(((frame - roll) % nFrames) + nFrames) % nFrames]);
}

/** Per frame: 0 in the first `nPrefix` and the last `nSuffix`. */
function inpaint(nFrames, nPrefix, nSuffix) {
  return Uint8Array.from({ length: nFrames }, (_, frame) =>
    frame < nPrefix || frame >= nFrames - nSuffix ? 0 : 1,
  );
}

/** The mask of a prompt: a place is generated if every rule says so; dropout and codebooks come last. */
export function maskOf(prompt, spec, nFrames, seed) {
  const {
    periodic: period,
    width,
    roll,
    prefix,
    suffix,
    random,
    dropout,
    codebooks,
  } = { ...PROMPT, ...prompt };
  const rng = new Generator([seed, MASK_NOISE]);
  const inTime = periodic(nFrames, period, width, roll);
  const between = inpaint(nFrames, secondsToFrames(prefix, spec), secondsToFrames(suffix, spec));
  const size = spec.n_codebooks * nFrames;
  const mask = Uint8Array.from(rng.doubles(size), (drawn, at) => {
    const frame = at % nFrames;
    return drawn < random ? inTime[frame] & between[frame] : 0;
  });
  if (dropout) rng.doubles(size).forEach((drawn, at) => (mask[at] |= drawn < dropout ? 1 : 0));
  if (codebooks !== null) mask.fill(1, Math.min(size, codebooks * nFrames));
  return mask;
}
