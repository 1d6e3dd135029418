// From logits to codes, as helpers/musicgen/decoding.py has it: the delay pattern, the choice of a token, windows.
// Codes (Int32Array) and columns go codebook after codebook.

import { Generator, gumbel } from "../noise.js";
import { ascending, logSumExp } from "../sampling.js";

export const UNKNOWN = -1; // in codes that are still to be generated
const { fround } = Math;

export const DEFAULTS = { guidance: 3, temperature: 1, top_k: 250, top_p: 0, greedy: false };

/** Codes of K books -> columns, 1 + frames + the longest delay; places without a token hold `special`. */
export function delayed(codes, delays, special) {
  const nFrames = codes.length / delays.length;
  const nColumns = 1 + nFrames + Math.max(...delays);
  const columns = new Int32Array(delays.length * nColumns).fill(special);
  delays.forEach((delay, book) => {
    columns.set(codes.subarray(book * nFrames, (book + 1) * nFrames), book * nColumns + 1 + delay);
  });
  return columns;
}

/** The way back. */
export function undelayed(columns, delays) {
  const nColumns = columns.length / delays.length;
  const nFrames = nColumns - 1 - Math.max(...delays);
  const codes = new Int32Array(delays.length * nFrames);
  delays.forEach((delay, book) => {
    const begin = book * nColumns + 1 + delay;
    codes.set(columns.subarray(begin, begin + nFrames), book * nFrames);
  });
  return codes;
}

/** The probabilities that a token is sampled from, of a row of logits. */
export function probabilities(logits, { temperature, top_k: topK, top_p: topP }) {
  const scale = fround(temperature);
  const scaled = logits.map((logit) => logit / scale);
  const total = logSumExp(scaled);
  const p = scaled.map((logit) => Math.exp(fround(logit - total)));
  let kept = p;
  if (topP > 0) {
    kept = new Float32Array(p.length);
    let sum = 0;
    for (const token of ascending(p.map((one) => -one))) {
      sum = fround(sum + p[token]);
      if (fround(sum - p[token]) > fround(topP)) break;
      kept[token] = p[token];
    }
  } else if (topK > 0 && topK < p.length) {
    const least = Float32Array.from(p).sort()[p.length - topK];
    kept = p.map((one) => (one >= least ? one : 0));
  } else return p;
  const whole = fround(kept.reduce((sum, one) => sum + one, 0));
  return kept.map((one) => one / whole);
}

function largest(values) {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}

/**
 * One token for each codebook, of logits (K, V). An item's noise depends on its seed, the window (`key`, its
 * first frame) and the column alone.
 */
export function choose(logits, nBooks, settings, seed, key, column) {
  const size = logits.length / nBooks;
  const rows = Array.from({ length: nBooks }, (_, book) => logits.subarray(book * size, (book + 1) * size));
  if (settings.greedy || settings.temperature < 1e-6) return rows.map(largest);
  const uniform = new Generator([seed, key, column, 0]).floats(logits.length);
  return rows.map((row, book) =>
    largest(
      probabilities(row, settings).map((p, token) => fround(Math.log(p)) + gumbel(uniform[book * size + token])),
    ),
  );
}

/** [first frame, frames, frames known within] of each window that has something to generate. */
export function windows(nFrames, nKnown, longest, stride) {
  const found = [];
  for (let first = 0; nKnown < nFrames; first += stride) {
    const length = Math.min(nFrames - first, longest);
    if (first + length <= nKnown) continue;
    found.push([first, length, nKnown - first]);
    nKnown = first + length;
  }
  return found;
}

/**
 * Generates what is UNKNOWN in the codes, column after column; places that are known stay. Yields each column that
 * is filled, and all of them.
 *
 * logitsOf: columns (K, S), which follow those before -> a promise of logits (K, V) of the last.
 * pick: logits, column -> K tokens.
 */
export async function* fill(logitsOf, codes, nKnown, delays, special, pick) {
  const nBooks = delays.length;
  const columns = delayed(codes, delays, special);
  const nColumns = columns.length / nBooks;
  const part = (from, to) => {
    const cut = new Int32Array(nBooks * (to - from));
    for (let book = 0; book < nBooks; book++)
      cut.set(columns.subarray(book * nColumns + from, book * nColumns + to), book * (to - from));
    return cut;
  };
  let given = part(0, nKnown + 1);
  for (let column = nKnown + 1; column < nColumns; column++) {
    const chosen = pick(await logitsOf(given), column);
    chosen.forEach((token, book) => {
      const place = book * nColumns + column;
      if (columns[place] === UNKNOWN) columns[place] = token;
    });
    given = part(column, column + 1);
    yield [column, columns];
  }
}
