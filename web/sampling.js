// Which tokens are likely. Logits are float32, one row of them; what is dropped becomes -Infinity.
// Each operation rounds to float32, as numpy's do.

const { fround } = Math;

export function logSumExp(logits) {
  let top = -Infinity;
  for (const logit of logits) if (logit > top) top = logit;
  let sum = 0;
  for (const logit of logits) sum += fround(Math.exp(fround(logit - top)));
  return fround(top + fround(Math.log(fround(sum))));
}

/** The places of the values from the least to the largest, equal ones in the order they come in. */
export function ascending(values) {
  const bits = new Uint32Array(values.map((value) => value + 0).buffer); // -0 + 0 is 0
  // As whole numbers, floats are in order once the sign is taken care of; the place goes below them.
  const keys = Float64Array.from(bits, (b, i) => ((b >>> 31 ? ~b : b | 0x80000000) >>> 0) * 2 ** 20 + i);
  return keys.sort().map((key) => key % 2 ** 20);
}

function keepFirst(logits, order, isKept) {
  const kept = new Float32Array(logits.length).fill(-Infinity);
  order.forEach((token, rank) => {
    if (isKept(rank)) kept[token] = logits[token];
  });
  return kept;
}

/** The sum of the probabilities before each rank. */
function massBefore(probabilities, order) {
  const before = new Float32Array(order.length);
  for (let i = 1; i < order.length; i++) before[i] = before[i - 1] + probabilities[order[i - 1]];
  return before;
}

/** Nucleus sampling: the most probable tokens, up to and including the one that passes `topP`. */
export function filterTopP(logits, topP) {
  const order = ascending(logits.map((logit) => -logit));
  const total = logSumExp(logits.map((_, i) => logits[order[i]]));
  const before = massBefore(
    logits.map((logit) => Math.exp(fround(logit - total))),
    order,
  );
  return keepFirst(logits, order, (rank) => rank === 0 || !(before[rank] > fround(topP)));
}

/** Locally typical sampling: the tokens whose surprise is nearest to the entropy, up to `mass`. */
export function filterTypical(logits, mass, minTokens) {
  const total = logSumExp(logits);
  const logP = logits.map((logit) => logit - total);
  const p = logP.map((value) => Math.exp(value));
  let entropy = 0;
  for (let i = 0; i < p.length; i++) if (p[i] > 0) entropy -= fround(p[i] * logP[i]);
  entropy = fround(entropy);
  const strangeness = logP.map((value) => Math.abs(fround(-value - entropy)));
  const order = ascending(strangeness);
  const before = massBefore(p, order);
  return keepFirst(logits, order, (rank) => rank < minTokens || !(before[rank] >= fround(mass)));
}
